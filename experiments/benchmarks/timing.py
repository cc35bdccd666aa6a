"""Contenders side by side: one process each, one at work at a time, round after round.

A contender is a program that calls `serve`: it builds its work, then does steps when asked to. So
libraries with threads of their own do not meet in one process, and each round sees the same machine
for all of them. The ratios are only worth something on a quiet machine: `too_busy` decides.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_LOAD = 0.5  # load average at the start above which no ratio is printed
MOST_SPREAD = 1.3  # slowest over fastest round of a contender, likewise
_PAUSE = 0.3  # seconds; lets the threads of the last contender fall asleep


def serve(step: Callable[[], object], facts: Mapping[str, Any]) -> None:
    """The life of a contender: says its facts, then does as many steps as each line asks for.

    Args:
      step: does the work once and returns when it is done.
      facts: about the work, such as {"parameters": 39638869}.
    """
    start = time.perf_counter(), time.process_time()
    step()
    first = {"wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}
    print("\n" + json.dumps({**facts, "first_step": first}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter(), time.process_time()
            step()
            times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        print("\n" + json.dumps(times), flush=True)


@dataclasses.dataclass
class Contender:
    """A running program and what was measured of it."""

    name: str
    process: subprocess.Popen[str]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    rounds: list[float] = dataclasses.field(default_factory=list)  # median wall seconds of each
    cpu: list[float] = dataclasses.field(default_factory=list)  # least CPU seconds of each

    @classmethod
    def start(cls, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Starts the program and waits for its first step."""
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

    def _answer(self) -> Any:
        """The next line of JSON; other lines are what libraries print."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with status {self.process.wait()}; see above")

    def round(self, steps: int) -> None:
        """One unmeasured step, then `steps` measured ones."""
        assert self.process.stdin is not None
        print(steps + 1, file=self.process.stdin, flush=True)
        times = self._answer()[1:]
        self.rounds.append(statistics.median(wall for wall, _ in times))
        self.cpu.append(min(cpu for _, cpu in times))

    @property
    def spread(self) -> float:
        """Slowest over fastest round."""
        return max(self.rounds) / min(self.rounds)

    def to_json(self) -> dict[str, Any]:
        """What was measured, in seconds a step."""
        return {
            **self.facts,
            "median": statistics.median(self.rounds),
            "minimum": min(self.rounds),
            "spread": self.spread,
            "cpu": min(self.cpu),
            "rounds": self.rounds,
        }


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
    """Lets every contender do its steps, `rounds` times over; every second round backwards."""
    for i in range(rounds):
        for contender in contenders if i % 2 == 0 else reversed(contenders):
            time.sleep(_PAUSE)
            contender.round(steps)
        print(f"  round {i + 1} of {rounds}", file=sys.stderr, flush=True)


def wait_until_quiet(minutes: float) -> float:
    """Waits at most that long for a load average below MOST_LOAD; the load at the end."""
    end = time.monotonic() + 60 * minutes
    while os.getloadavg()[0] > MOST_LOAD and time.monotonic() < end:
        time.sleep(5)
    return os.getloadavg()[0]


def too_busy(load: float, spreads: Mapping[str, float]) -> str:
    """Why no ratio may be told; "" where it may.

    Args:
      load: average of the last minute before anything was started.
      spreads: of each contender in the ratio.
    """
    if load > MOST_LOAD:
        return f"the load was {load:.2f} at the start (at most {MOST_LOAD})"
    unsteady = [f"{name} {s:.2f}" for name, s in spreads.items() if s > MOST_SPREAD]
    if unsteady:
        return f"slowest over fastest round: {', '.join(unsteady)} (at most {MOST_SPREAD})"
    return ""


def machine() -> dict[str, Any]:
    """Processor, cores and system, for the record."""
    model = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform()}
