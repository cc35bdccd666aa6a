"""Silences what Orbax and tensorstore print in addition to the errors that they raise."""

import contextlib
import logging
import sys
from collections.abc import Iterator


def _not_orbax(record: logging.LogRecord) -> bool:
    """Drops Orbax's messages about each file, since our own messages are sufficient."""
    return record.levelno >= logging.CRITICAL or "orbax" not in record.pathname


logging.getLogger("absl").addFilter(_not_orbax)


@contextlib.contextmanager
def dropped() -> Iterator[None]:
    """Drops the tracebacks that tensorstore's threads print when a save or read fails."""
    before = sys.unraisablehook

    def hook(raised: "sys.UnraisableHookArgs") -> None:
        text = str(raised.exc_value)
        if text != "Event loop is closed" and "TensorStore" not in text:
            before(raised)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
