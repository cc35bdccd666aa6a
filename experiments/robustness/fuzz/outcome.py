"""The outcome of a case: a result, one clear line of our own, or a fault."""

import collections
import contextlib
import dataclasses
import pathlib
import re
import signal
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

import jaxseg

RESULT, REFUSED, FAULT = "result", "refused", "fault"
_ROOT = pathlib.Path(jaxseg.__file__).resolve().parent.parent
_OURS = {_ROOT / part for part in ("jaxseg", "launch", "experiments/ablation")}
_LONGEST = 60.0  # limit of processor seconds per case
_KEPT = 40  # number of kinds of faults reported in full


class Hang(Exception):
    """A case took too long."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: types.FrameType | None) -> None:
        raise Hang(f"more than {seconds:g} s")

    timers = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
    before = {number: signal.signal(number, stop) for number in timers.values()}
    # Repeat each second: an exception raised inside a garbage collector callback is lost.
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    signal.setitimer(signal.ITIMER_REAL, 4 * seconds)  # a waiting case uses no processor time
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return not _OURS.isdisjoint(pathlib.Path(frame.filename).resolve().parents)


def _raised_by_us(error: BaseException) -> bool:
    """Whether a line of jaxseg raises the error; messages of Python and libraries are not clear.

    Messages of the operating system about a file are clear: they name the file.
    """
    if isinstance(error, OSError) and error.errno and error.filename:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not _is_ours(frames[-1]):
        return False
    return (frames[-1].line or "").startswith("raise")


def _kind(message: str) -> str:
    """The message without the parts that differ between cases: values, numbers, paths."""
    lines = message.split("\n")
    line = lines[1].strip() if len(lines) > 1 else lines[0]  # the first of several problems
    line = re.sub(r"SCRATCH/\S+", "FILE", line)
    line = re.sub(r"(can't decode|perhaps split\)|of JSON|not JSON).*", r"\1", line)
    text = re.sub(r"=\S.*? (?=must|needs|has|is|leaves|cannot|:)", "=... ", line)
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "...", text)
    text = re.sub(r"-?\d[\d.e+-]*", "N", text)
    return text[:90]


@dataclasses.dataclass
class Tally:
    """Counts of all cases."""

    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    refusals: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    faults: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def run(self, case: Callable[[], object], told: str, plain: Callable[[str], str]) -> None:
        """Runs a case and counts its outcome; raises nothing.

        Args:
          case: runs the case.
          told: describes the case in the report of a fault.
          plain: removes paths from a message.
        """
        try:
            with _limited(_LONGEST):
                case()
            self.outcomes[RESULT] += 1
        except (ValueError, OSError) as error:
            message = plain(str(error))
            lines = message.splitlines()
            if lines and len(lines[0]) < 600 and _raised_by_us(error):
                self.outcomes[REFUSED] += 1
                self.refusals[_kind(message)] += 1
            else:
                self._fault(error, told, plain)
        except Exception as error:
            self._fault(error, told, plain)

    def _fault(self, error: Exception, told: str, plain: Callable[[str], str]) -> None:
        self.outcomes[FAULT] += 1
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if _is_ours(frame)]
        where = f"{pathlib.Path(ours[-1].filename).name} {ours[-1].name}" if ours else ""
        what = f"{type(error).__name__}: {plain(str(error))}"[:400]
        for fault in self.faults:
            if fault["where"] == where and _kind(fault["error"]) == _kind(what):
                fault["times"] += 1
                return
        if len(self.faults) < _KEPT:
            told = plain(told)[:600]
            self.faults.append({"case": told, "where": where, "error": what, "times": 1})

    def to_json(self) -> dict[str, Any]:
        """Counts by outcome and by kind of refusal, most frequent first; faults in full."""
        return {
            "cases": self.outcomes.total(),
            "outcomes": dict(self.outcomes.most_common()),
            "refusals": dict(self.refusals.most_common()),
            "faults": self.faults,
        }
