"""Finds out why a checkpoint cannot be read: it is damaged, or the disk does not respond.

Only checkpoints that are proved to be damaged are skipped. A permission, an input/output error, a
stale handle or too little memory say nothing about what is on the disk.
"""

import errno
import os
import pathlib
import re
import stat
from collections.abc import Iterator

_BLOCK = 1 << 20  # bytes read at once
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}  # raised if a part of a folder is missing


def reason(error: BaseException) -> str:
    """The first line of an error, with its type."""
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first_line[:160]}"


def system_reason(error: BaseException) -> str:
    """The operating system's error, if tensorstore passes on its number; else `reason`."""
    number = _number(error)
    return os.strerror(number).lower() if number else reason(error)


def _number(error: BaseException) -> int | None:
    """The operating system's number of an error, from Python or from tensorstore."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    told = re.search(r"os_error_code='(\d+)'", str(error))
    return int(told[1]) if told else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def unreadable_for_now(error: BaseException, folder: pathlib.Path) -> str:
    """Why a checkpoint cannot be read at the moment; "" if it is damaged.

    Args:
      error: raised on reading it.
      folder: of the checkpoint; all its files are read as a test.
    """
    for one in _chain(error):
        number = _number(one)
        if number and number not in _GONE:
            return os.strerror(number).lower()
        if isinstance(one, MemoryError | TimeoutError) or "RESOURCE_EXHAUSTED" in str(one):
            return reason(one)
    try:
        _read_all(folder)
    except OSError as found:
        if found.errno not in _GONE:
            return system_reason(found)
    return ""


def _read_all(folder: pathlib.Path) -> None:
    """Reads every file of a folder; raises OSError if one cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    for place, _, files in os.walk(folder, onerror=refuse):
        for name in files:
            path = os.path.join(place, name)
            if stat.S_ISREG(os.stat(path).st_mode):
                with open(path, "rb") as file:
                    while file.read(_BLOCK):
                        pass


def _endless(path: str) -> bool:
    """Whether a file is a pipe or a device, or a link to one, so that reading would never end."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # a link to nowhere
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def check_files(folder: pathlib.Path) -> None:
    """Raises ValueError if a folder holds a pipe or a device, so that reading would never end."""
    for place, _, files in os.walk(folder):
        for name in files:
            if _endless(os.path.join(place, name)):
                raise ValueError(f"{name} in it is not a file")


def check_heads(folder: pathlib.Path) -> None:
    """Refuses pipes and devices among the files that Orbax reads before any step is requested.

    Args:
      folder: of the steps; need not exist.

    Raises:
      ValueError: names the first one, and what to do.
    """
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if _endless(str(path)):
            raise ValueError(
                f"{path} is a pipe or a device, so reading it would never end: delete it, or move "
                f"{path.parent} away"
            )
