"""Runs programs of different libraries on the same work in turn, round after round.

Each runs as a process of its own, one at work at a time: thread pools of two libraries in one
process keep each other's cores busy. A contender is a program that calls `serve`; `running` starts
several, `interleave` lets them work.
"""

import contextlib
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from experiments.benchmarks.timing import (
    MOST_STOLEN,
    ROOT,
    Times,
    processor_time,
    share_stolen,
    timed,
)
from jaxseg.percent import percent

VALUES = 3  # first results that a contender tells, to compare
_PAUSE = 0.3  # seconds; lets the threads of the last contender fall asleep


def serve(
    step: Callable[[], object],
    value: Callable[[Any], float],
    facts: Mapping[str, Any],
    rest: Callable[[], object] | None = None,
) -> None:
    """The life of a contender: says its facts, then does as many steps as each line asks for.

    Args:
      step: does the work once and returns when it is done.
      value: of what `step` returned: the loss, to be compared between contenders.
      facts: about the work, such as {"parameters": 39638869}.
      rest: done, unmeasured, before the others' turns.
    """
    rest = rest or (lambda: None)
    results: list[object] = []
    wall, cpu = timed(lambda: results.append(step()))
    values = [value(results.pop())] + [value(step()) for _ in range(VALUES - 1)]
    first = {"wall": wall, "cpu": cpu}
    rest()
    print("\n" + json.dumps({**facts, "values": values, "first_step": first}), flush=True)
    for line in sys.stdin:
        steps = [timed(step) for _ in range(int(line))]
        rest()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux
        print("\n" + json.dumps({"steps": steps, "resident_mb": peak // 1000}), flush=True)


@dataclasses.dataclass
class Contender:
    """A running program and what was measured of it."""

    name: str
    process: subprocess.Popen[str]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    times: Times = dataclasses.field(default_factory=Times)

    @classmethod
    def start(cls, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Starts the program and waits for its first steps."""
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        contender = cls(name, process)
        contender.facts = contender._answer()
        return contender

    def _answer(self) -> dict[str, Any]:
        """The next line of JSON; other lines are what libraries print."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with status {self.process.wait()}; see above")

    def round(self, steps: int) -> list[tuple[float, float]]:
        """One unmeasured step, then `steps` measured ones: (wall, CPU) seconds of each."""
        assert self.process.stdin is not None
        print(steps + 1, file=self.process.stdin, flush=True)
        answer = self._answer()
        self.facts["resident_mb"] = answer["resident_mb"]
        return answer["steps"][1:]


@contextlib.contextmanager
def running(
    commands: Mapping[str, tuple[Sequence[str], Mapping[str, str]]],
) -> Iterator[list[Contender]]:
    """Starts name -> (command, environment) one after the other and ends all of them."""
    contenders: list[Contender] = []
    try:
        for name, (command, environment) in commands.items():
            print(f"  starting {name} ...", file=sys.stderr, flush=True)
            contenders.append(Contender.start(name, command, environment))
        yield contenders
    finally:
        for contender in contenders:
            contender.process.kill()
            contender.process.wait()


def interleave(contenders: Sequence[Contender], rounds: int, steps: int) -> None:
    """Lets every contender do its steps, `rounds` times over, always in the same order.

    So all rest equally long: a system that reclaims idle memory takes the large pages of whoever
    rests a minute. One round before is not counted: after it the memory of each is as it stays.
    Nor is one in which the machine's host gave its processors to others, which a further round
    stands in for: at most as many as `rounds`.
    """
    for contender in contenders:
        contender.round(steps)
    spare = rounds
    for i in range(rounds):
        measured, stolen = _round(contenders, steps)
        while stolen > MOST_STOLEN and spare:
            spare -= 1
            print(f"  again: {percent(stolen, 0)} % of a turn went to others", file=sys.stderr)
            measured, stolen = _round(contenders, steps)
        for contender, times in zip(contenders, measured, strict=True):
            contender.times.add(times)
        last = ", ".join(f"{c.name} {c.times.wall[-1]:.3f}" for c in contenders)
        print(f"  round {i + 1} of {rounds}: {last} s", file=sys.stderr, flush=True)


def _round(
    contenders: Sequence[Contender], steps: int
) -> tuple[list[list[tuple[float, float]]], float]:
    """A turn of each: the times of its steps; and the most of a turn that the host took."""
    measured, stolen = [], 0.0
    for contender in contenders:
        time.sleep(_PAUSE)
        before = processor_time()
        measured.append(contender.round(steps))
        stolen = max(stolen, share_stolen(before, processor_time()))
    return measured, stolen
