"""Tells why a checkpoint cannot be read: it is damaged, or the disk does not answer.

Only what is proved to be damaged is passed over. A permission, an input/output error, a stale
handle or too little memory say nothing about what is on the disk.
"""

import errno
import os
import pathlib
import re
import stat
from collections.abc import Iterator

_BLOCK = 1 << 20  # bytes read at once
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}  # of a folder of which a part is missing


def reason(error: BaseException) -> str:
    """The first line of an error, with its type."""
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first_line[:160]}"


def system_reason(error: BaseException) -> str:
    """What the operating system said, where tensorstore passes on its number; else `reason`."""
    number = _number(error)
    return os.strerror(number).lower() if number else reason(error)


def _number(error: BaseException) -> int | None:
    """The operating system's number of an error, as Python or as tensorstore tells it."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    told = re.search(r"os_error_code='(\d+)'", str(error))
    return int(told[1]) if told else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def unreadable_for_now(error: BaseException, folder: pathlib.Path) -> str:
    """Why nothing is proved against a checkpoint that could not be read; "": it is damaged.

    Args:
      error: that reading it raised.
      folder: of the checkpoint; all its files are read to see whether they can be.
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
    """Reads every file of a folder; raises OSError where one cannot be."""

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
    """Whether a file is a pipe or a device, or a link to one: it would be read for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # a link to nowhere
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def check_files(folder: pathlib.Path) -> None:
    """Raises ValueError where a folder holds a pipe or a device, which would be read for ever."""
    for place, _, files in os.walk(folder):
        for name in files:
            if _endless(os.path.join(place, name)):
                raise ValueError(f"{name} in it is not a file")


def check_heads(folder: pathlib.Path) -> None:
    """Refuses pipes and devices among the files that Orbax reads before any step is asked for.

    Args:
      folder: of the steps; it may be missing.

    Raises:
      ValueError: names the first, and what to do.
    """
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if _endless(str(path)):
            raise ValueError(
                f"{path} is a pipe or a device, which would be read for ever: delete it, or move "
                f"{path.parent} away"
            )
