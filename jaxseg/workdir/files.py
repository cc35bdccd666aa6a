"""Reads files of a run folder that may be complete, damaged, or replaced by something else.

A run folder survives kills, full disks and copies, and may come from an untrusted source. Its
content is checked part by part; whatever is not as this code writes it is left out and named.
"""

import errno
import json
import math
import os
import pathlib
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_LARGEST = 1 << 28  # bytes; larger files are not read
_LARGEST_INTEGER = 1 << 53  # floats and sums of int64 are inexact beyond this
_LARGEST_NUMBER = 3.5e38  # of float32, the type of all numbers of a run


def read_bytes(path: pathlib.Path) -> bytes:
    """The content of a regular file.

    Raises:
      FileNotFoundError: it does not exist.
      OSError: it cannot be read, or is not a regular file.
    """
    try:  # O_NONBLOCK, since opening a pipe without a writer would block
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link to nothing", str(path)) from None
        raise
    with os.fdopen(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        if status.st_size > _LARGEST:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes", str(path))
        return file.read()


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file; NaN and infinities become None.

    Raises:
      OSError: see `read_bytes`.
      ValueError: it does not hold a JSON object; the message does not name the file.
    """
    return parse_object(read_bytes(path))


def parse_object(data: bytes) -> dict[str, Any]:
    """Parses a JSON object.

    Raises:
      ValueError: the bytes are not a JSON object.
    """
    try:
        value = json.loads(data, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # ValueError: of UTF-8 too
        raise ValueError(f"it is not JSON: {str(error)[:100]}") from None
    if not isinstance(value, dict):
        raise ValueError(f"it holds no JSON object but {_kind(value)}")
    return value


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def why(error: Exception) -> str:
    """The fault of a file in one line, without its name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return (str(error) or type(error).__name__).splitlines()[0][:160]


Check = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """Whether it is a number that a run can have measured, not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST_NUMBER  # False for nan


def is_count(value: Any) -> bool:
    """Whether it is an integer that counts something, such as steps or pixels."""
    return type(value) is int and 0 <= value <= _LARGEST_INTEGER


def optional(check: Check) -> Check:
    """A check that also accepts None."""
    return lambda value: value is None or check(value)


def list_of(check: Check, length: int | None = None) -> Check:
    """A check for lists whose items all pass; with `length`, of exactly that length."""

    def checked(value: Any) -> bool:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            return False
        return all(map(check, value))

    return checked


def mapping_of(check: Check, names: Sequence[str] | None = None) -> Check:
    """A check for objects whose values all pass; with `names`, with exactly these keys."""

    def checked(value: Any) -> bool:
        if not isinstance(value, dict) or (names is not None and set(value) != set(names)):
            return False
        return all(map(check, value.values()))

    return checked


def cleaned(
    values: Mapping[str, Any], checks: Mapping[str, Check]
) -> tuple[dict[str, Any], list[str]]:
    """The values that pass the check of their name, and the names of the others."""
    wrong = [name for name, check in checks.items() if name in values and not check(values[name])]
    return {name: value for name, value in values.items() if name not in wrong}, wrong
