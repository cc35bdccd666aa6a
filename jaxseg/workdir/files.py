"""Reads files of a run folder that may be whole, damaged, or replaced by something else.

A run folder outlives kills, full disks and copies, and may be a stranger's. What is read of it is
checked part by part; what is not as this code writes it is left out and named.
"""

import errno
import json
import math
import os
import pathlib
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_LARGEST = 1 << 28  # bytes of a file that is still read
_LARGEST_INTEGER = 1 << 53  # beyond, a float and NumPy's int64 sums lose it
_LARGEST_NUMBER = 3.5e38  # of float32, which every number of a run once was


def read_bytes(path: pathlib.Path) -> bytes:
    """The content of a regular file.

    Raises:
      FileNotFoundError: there is none.
      OSError: it cannot be read, or something else has its name.
    """
    try:  # O_NONBLOCK, since a pipe without a writer would never open
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
    """The object of a JSON file; numbers that JSON does not know are None.

    Raises:
      OSError: see `read_bytes`.
      ValueError: it holds no JSON object; without the file's name.
    """
    return parse_object(read_bytes(path))


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object that is written in the bytes.

    Raises:
      ValueError: there is none.
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
    """What is wrong with a file, without its name, in a line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return (str(error) or type(error).__name__).splitlines()[0][:160]


Check = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """A text."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """A number that a run can have measured; no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST_NUMBER  # False for nan


def is_count(value: Any) -> bool:
    """A whole number that counts something: a step, pixels."""
    return type(value) is int and 0 <= value <= _LARGEST_INTEGER


def optional(check: Check) -> Check:
    """Also None."""
    return lambda value: value is None or check(value)


def list_of(check: Check, length: int | None = None) -> Check:
    """A list whose items all pass; with `length`, exactly that number of them."""

    def checked(value: Any) -> bool:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            return False
        return all(map(check, value))

    return checked


def mapping_of(check: Check, names: Sequence[str] | None = None) -> Check:
    """An object whose values all pass; with `names`, of exactly these."""

    def checked(value: Any) -> bool:
        if not isinstance(value, dict) or (names is not None and set(value) != set(names)):
            return False
        return all(map(check, value.values()))

    return checked


def cleaned(
    values: Mapping[str, Any], checks: Mapping[str, Check]
) -> tuple[dict[str, Any], list[str]]:
    """The values without those that do not pass the check of their name, and these names."""
    wrong = [name for name, check in checks.items() if name in values and not check(values[name])]
    return {name: value for name, value in values.items() if name not in wrong}, wrong
