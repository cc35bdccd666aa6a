"""Keeps from the screen what Orbax and tensorstore say beside the errors that they raise."""

import contextlib
import logging
import sys
from collections.abc import Iterator


def _not_orbax(record: logging.LogRecord) -> bool:
    """Drops what Orbax says of each file: our own lines name what the user must know."""
    return record.levelno >= logging.CRITICAL or "orbax" not in record.pathname


logging.getLogger("absl").addFilter(_not_orbax)


@contextlib.contextmanager
def dropped() -> Iterator[None]:
    """Drops what tensorstore's threads print, a traceback a file, after a save has failed."""
    before = sys.unraisablehook

    def hook(raised: "sys.UnraisableHookArgs") -> None:
        if str(raised.exc_value) != "Event loop is closed":
            before(raised)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
