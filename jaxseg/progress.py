"""Progress of long work: a bar on a terminal, whole lines anywhere else.

A bar is redrawn by carriage returns, which fill the log of a job with thousands of copies of it.
So where standard error is not a terminal, there is a line at the start, one now and then, and one
at the end, each with the count, the rate and the time that is left.
"""

import datetime
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Self, TypeVar

from tqdm import tqdm

_LEAST_SECONDS = 10.0  # between two lines
_LEAST_SHARE = 0.01  # of the work between two lines, unless the following time has passed
_MOST_SECONDS = 60.0

_T = TypeVar("_T")


class Progress:
    """How far work is, on standard error. A context, which ends the bar.

    Args:
      total: how much there is to do, in units; None: not known.
      what: is done: "evaluate".
      unit: in the singular, or "B" for bytes.
      done: units that were done before.
      hidden: shows and says nothing, as in any process but the main one.
      leave: the bar stays on the terminal when it is full.
    """

    def __init__(
        self,
        total: int | None,
        what: str,
        *,
        unit: str = "image",
        done: int = 0,
        hidden: bool = False,
        leave: bool = True,
    ) -> None:
        self._what, self._total, self._unit, self._hidden = what, total, unit, hidden
        self._first = self._done = self._told = done
        self._note = ""
        self._began = self._last_line = time.monotonic()
        self._bar: tqdm | None = None
        if hidden:
            return
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=total,
                initial=done,
                desc=what,
                unit=unit,
                unit_scale=unit == "B",
                dynamic_ncols=True,
                leave=leave,
            )
        elif total is None or done < total:
            of = "" if total is None else f": {self._amount(total)}"
            self.say(f"{what}{of}" + (f", {self._amount(done)} done before" if done else ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def advance(self, count: int = 1) -> None:
        """So many more units are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif not self._note:  # else the next note brings the line
            self._line_if_due()

    def note(self, text: str) -> None:
        """What stands behind the rate from now on; once there are notes, lines come with them."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            self._line_if_due()

    def rename(self, what: str) -> None:
        """What is done from now on."""
        self._what = what
        if self._bar is not None:
            self._bar.set_description_str(what, refresh=False)

    def say(self, line: str) -> None:
        """Prints a line, above the bar if there is one."""
        if not self._hidden:
            tqdm.write(line, file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def _line_if_due(self) -> None:
        if self._hidden or self._done == self._told:
            return
        waited = time.monotonic() - self._last_line
        done_since = self._done - self._told
        due = waited >= _MOST_SECONDS or (
            waited >= _LEAST_SECONDS and done_since >= _LEAST_SHARE * (self._total or 0)
        )
        if due or self._done == self._total:
            self._told, self._last_line = self._done, time.monotonic()
            self.say(self._line())

    def _line(self) -> str:
        """As in "evaluate: 30/60 images, 12.5 images/s, 0:00:02 left"."""
        seconds = time.monotonic() - self._began
        rate = (self._done - self._first) / seconds if seconds else 0.0
        of = "" if self._total is None else f"{self._number(self._done)}/"
        amount = self._done if self._total is None else self._total
        parts = [f"{self._what}: {of}{self._amount(amount)}"]
        if rate:
            parts.append(f"{self._rate(rate)}/s")
        if self._done == self._total:
            parts.append(f"{_duration(seconds)} in all")
        elif rate and self._total is not None:
            parts.append(f"{_duration((self._total - self._done) / rate)} left")
        return ", ".join([*parts, self._note] if self._note else parts)

    def _number(self, count: int) -> str:
        return f"{count / 1e6:,.0f}" if self._unit == "B" else f"{count:,}"

    def _amount(self, count: int) -> str:
        if self._unit == "B":
            return f"{count / 1e6:,.0f} MB"
        return f"{count:,} {self._unit}" + ("" if count == 1 else "s")

    def _rate(self, rate: float) -> str:
        return f"{rate / 1e6:.3g} MB" if self._unit == "B" else f"{rate:.3g} {self._unit}s"


def over(
    items: Iterable[_T],
    what: str,
    *,
    unit: str = "image",
    total: int | None = None,
    hidden: bool = False,
) -> Iterator[_T]:
    """The items, whose number is shown while they are taken.

    Args:
      items: of the work.
      what: is done with them.
      unit: what one of them is.
      total: how many they are, where they do not know it themselves.
      hidden: shows and says nothing.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(total, what, unit=unit, hidden=hidden) as progress:
        for item in items:
            yield item
            progress.advance()


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
