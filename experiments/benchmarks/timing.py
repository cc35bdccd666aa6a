"""Times contenders side by side, and decides whether their times may be stated as a ratio.

Calls of one library take turns in this process (`take_turns`); programs of several libraries run in
separate processes (see `processes`). Ratios are stated only on a quiet machine: see `Comparison`.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from jaxseg import whole_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_LOAD = 0.5  # above this load average at the start no ratio is printed
MOST_SPREAD = 1.3  # likewise for the slowest over the fastest round of a contender
MOST_STOLEN = 0.05  # share of the processors taken by the host of a virtual machine in one turn
_BLOCKS = 3  # blocks of calls in a round of `take_turns`; their median counts


def cores() -> int:
    """The number of cores that this process may use; each contender uses as many threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclasses.dataclass
class Times:
    """Seconds per step of one contender in each round: wall time, and CPU time of all threads."""

    wall: list[float] = dataclasses.field(default_factory=list)  # median of each round
    cpu: list[float] = dataclasses.field(default_factory=list)  # minimum of each round

    def add(self, steps: Sequence[Sequence[float]]) -> None:
        """Adds a round, given the (wall, CPU) seconds of each step."""
        self.wall.append(statistics.median(wall for wall, _ in steps))
        self.cpu.append(min(cpu for _, cpu in steps))

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.wall)

    @property
    def spread(self) -> float:
        """The slowest over the fastest round."""
        return max(self.wall) / min(self.wall)

    def __add__(self, other: Self) -> "Times":
        """The times of both steps in sequence, round by round."""
        wall = [a + b for a, b in zip(self.wall, other.wall, strict=True)]
        cpu = [a + b for a, b in zip(self.cpu, other.cpu, strict=True)]
        return Times(wall, cpu)

    def to_json(self) -> dict[str, Any]:
        """Seconds; "cpu" is the minimum over the rounds, which other programs hardly affect."""
        return {
            "median": self.median,
            "minimum": min(self.wall),
            "spread": self.spread,
            "cpu": min(self.cpu),
            "rounds": self.wall,
        }


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The ratio of the median times of two contenders, if the machine was quiet."""

    ratio: float | None
    busy: str  # why the ratio is missing; "" if it is given
    target: float | None = None  # the maximum ratio

    @classmethod
    def of(
        cls,
        ours: tuple[str, Times],
        other: tuple[str, Times],
        load: float,
        target: float | None = None,
    ) -> Self:
        """Compares two contenders of the same rounds.

        Args:
          ours: name and times.
          other: name and times.
          load: average of the last minute before anything was started.
          target: the maximum ratio, if there is a goal.
        """
        busy = too_busy(load, {name: times.spread for name, times in (ours, other)})
        return cls(None if busy else ours[1].median / other[1].median, busy, target)

    def __str__(self) -> str:
        """A table cell: the ratio with its target, or the reason why there is none."""
        if self.ratio is None:
            return f"no ratio: {self.busy}"
        if self.target is None:
            return f"{self.ratio:.2f}"
        return f"{self.ratio:.2f} (at most {self.target:g}{'' if self.met else ': MISSED'})"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a ratio."""
        if self.ratio is None or self.target is None:
            return None
        return round(self.ratio, 2) <= self.target

    def to_json(self) -> dict[str, Any]:
        """The fields and `met`."""
        return {**dataclasses.asdict(self), "met": self.met}


def too_busy(load: float, spreads: Mapping[str, float]) -> str:
    """The reason why no ratio may be stated; "" if there is none.

    Args:
      load: average of the last minute before anything was started.
      spreads: of each contender in the ratio.
    """
    if load > MOST_LOAD:
        return f"busy, load {load:.2f} at the start, over {MOST_LOAD}"
    unsteady = [f"{name} {spread:.2f}" for name, spread in spreads.items() if spread > MOST_SPREAD]
    if unsteady:
        return f"busy, slowest / fastest round {', '.join(unsteady)}, over {MOST_SPREAD}"
    return ""


def wait_until_quiet(minutes: float) -> float:
    """Waits up to the given time for a load average below MOST_LOAD; returns the last load."""
    end = time.monotonic() + 60 * minutes
    while os.getloadavg()[0] > MOST_LOAD and time.monotonic() < end:
        time.sleep(5)
    return os.getloadavg()[0]


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a call: wall time, and CPU time of all threads of this process."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def processor_time() -> tuple[int, int]:
    """Ticks that the host took from this virtual machine, and all ticks; (0, 0) if unknown."""
    try:
        ticks = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return ticks[7], sum(ticks)


def share_stolen(before: tuple[int, int], after: tuple[int, int]) -> float:
    """The share of processor time that the host took between two calls of `processor_time`."""
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def take_turns(
    blocks: Mapping[str, Callable[[int], object]], rounds: int, seconds: float
) -> dict[str, Times]:
    """Times calls in this process in turn; every second round runs in reverse order.

    A turn in which the machine's host gave the processors to others is repeated, for each contender
    at most as many times as there are rounds.

    Args:
      blocks: name -> a function that does its work the given number of times and waits for it.
      rounds: number of rounds, each with a turn of every contender.
      seconds: minimum duration of a block of calls; a round has three blocks of each contender.

    Returns:
      Name -> the time of one call.
    """
    counts = {}
    for name, block in blocks.items():
        block(1)
        once = min(timed(lambda block=block: block(1))[0] for _ in range(2))  # type: ignore[misc]
        counts[name] = max(1, round(seconds / once))
    times = {name: Times() for name in blocks}
    spare = dict.fromkeys(blocks, rounds)
    for i in range(rounds):
        for name in list(blocks) if i % 2 == 0 else reversed(list(blocks)):
            samples, stolen = _turn(blocks[name], counts[name])
            while stolen > MOST_STOLEN and spare[name]:
                spare[name] -= 1
                samples, stolen = _turn(blocks[name], counts[name])
            times[name].add(samples)
    return times


def _turn(block: Callable[[int], object], count: int) -> tuple[list[tuple[float, float]], float]:
    """(wall, CPU) seconds per call in each block, and the share that the host took."""
    before = processor_time()
    samples = [timed(lambda: block(count)) for _ in range(_BLOCKS)]
    stolen = share_stolen(before, processor_time())
    return [(wall / count, cpu / count) for wall, cpu in samples], stolen


def environment() -> dict[str, Any]:
    """Command, code, versions, devices, processor, cores, system and load, for the record."""
    from jaxseg.workdir.environment import environment as program

    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    found = program()
    del found["host"]
    # Paths of this machine are meaningless elsewhere.
    found["command"] = re.sub(r"=/\S*/", "=", found["command"])
    return found | {
        "processor": model,
        "cores": cores(),
        "system": platform.platform(),
        "load": os.getloadavg()[0],
    }


def write(path: str, record: Mapping[str, Any]) -> None:
    """Writes the record as JSON, with the time of writing."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    whole_file.write_text(file, json.dumps({**record, "written": now}, indent=1) + "\n")
