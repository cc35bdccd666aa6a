"""Collects faults and errors, to report all of them at once."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jaxseg.checks.experiment import refuse
from jaxseg.errors import one_line

_T = TypeVar("_T")


class Gathered:
    """Faults found so far, and the errors among them."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        self._first: ValueError | OSError | None = None

    def of(self, call: Callable[..., _T], *arguments: Any) -> _T | None:
        """The result of a call; None if it raises, in which case the error is recorded once."""
        try:
            return call(*arguments)
        except (ValueError, OSError) as error:
            self._first = self._first or error
            if one_line(error) not in self.faults:
                self.faults.append(one_line(error))
            return None

    def refuse(self) -> None:
        """Raises the faults; a single error is raised as it is."""
        if self._first and len(self.faults) == 1:
            raise self._first
        refuse(self.faults)
