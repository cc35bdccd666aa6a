"""Runs programs of different libraries alternately on the same work, round after round.

Each runs in its own process, and only one works at a time: the thread pools of two libraries in one
process compete for the cores. A contender is a program that calls `serve`; `running` starts
several, and `interleave` makes them work in turn.
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

VALUES = 3  # first results that a contender reports, for comparison
_PAUSE = 0.3  # seconds, so that the threads of the last contender fall asleep


def serve(
    step: Callable[[], object],
    value: Callable[[Any], float],
    facts: Mapping[str, Any],
    rest: Callable[[], object] | None = None,
) -> None:
    """The main loop of a contender: reports its facts, then does the steps that each line asks for.

    Args:
      step: does the work once, and blocks until it is done.
      value: the loss, computed from the result of `step`, for comparison between contenders.
      facts: about the work, such as {"parameters": 39638869}.
      rest: called, unmeasured, before the turns of the others.
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
    """A running program and its measurements."""

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
        """The next line of JSON; other lines are printed by libraries and skipped."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with status {self.process.wait()}; see above")

    def round(self, steps: int) -> list[tuple[float, float]]:
        """Runs one unmeasured step, then `steps` measured ones: (wall, CPU) seconds of each."""
        assert self.process.stdin is not None
        print(steps + 1, file=self.process.stdin, flush=True)
        answer = self._answer()
        self.facts["resident_mb"] = answer["resident_mb"]
        return answer["steps"][1:]


@contextlib.contextmanager
def running(
    commands: Mapping[str, tuple[Sequence[str], Mapping[str, str]]],
) -> Iterator[list[Contender]]:
    """Starts name -> (command, environment) one after the other; ends all of them at exit."""
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
    """Lets every contender do its steps, for `rounds` rounds, always in the same order.

    This way all idle equally long: a system that reclaims idle memory takes the large pages of a
    process that idles for a minute. A warm-up round is not counted; after it the memory of each
    process is stable. A round in which the machine's host gave its processors to others is not
    counted either and is repeated, at most `rounds` times in total.
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
    """One turn of each: the times of its steps, and the largest share that the host took."""
    measured, stolen = [], 0.0
    for contender in contenders:
        time.sleep(_PAUSE)
        before = processor_time()
        measured.append(contender.round(steps))
        stolen = max(stolen, share_stolen(before, processor_time()))
    return measured, stolen
