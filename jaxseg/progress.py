"""Progress of long work: a bar on a terminal, whole lines anywhere else.

A bar is redrawn with carriage returns, which would fill the log of a job with thousands of copies.
So if standard error is not a terminal, a line is printed at the start, at intervals, and at the
end, each with the count, the rate and the remaining time.
"""

import datetime
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Self, TypeVar

from tqdm import tqdm

_LEAST_SECONDS = 10.0  # between two lines
_LEAST_SHARE = 0.01  # of the work between two lines, unless the next interval has passed
_MOST_SECONDS = 60.0

_T = TypeVar("_T")


class Progress:
    """Shows progress on standard error; a context manager that closes the bar.

    Args:
      total: the number of units; None if unknown.
      what: a description, such as "evaluate".
      unit: in the singular, or "B" for bytes.
      done: units that were already done.
      hidden: show nothing, as in all processes except the main one.
      leave: keep the bar on the terminal when it is full.
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
        """Counts `count` more finished units."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif not self._note:  # else the next note prints the line
            self._line_if_due()

    def note(self, text: str) -> None:
        """Sets the text after the rate; after the first note, lines are printed with notes."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            self._line_if_due()

    def rename(self, what: str) -> None:
        """Changes the description."""
        self._what = what
        if self._bar is not None:
            self._bar.set_description_str(what, refresh=False)

    def say(self, line: str) -> None:
        """Prints a line, above the bar if there is one."""
        if not self._hidden:
            tqdm.write(line, file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        """Closes the bar as it is."""
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
        """A line such as "evaluate: 30/60 images, 12.5 images/s, 0:00:02 left"."""
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
    """Iterates over items and shows the progress.

    Args:
      items: to iterate over.
      what: a description.
      unit: the noun for one item.
      total: the number of items, if they have no length.
      hidden: show nothing.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(total, what, unit=unit, hidden=hidden) as progress:
        for item in items:
            yield item
            progress.advance()


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
