"""Writes files whole or not at all, and never through a symbolic link.

A file is written under a hidden name in its own folder and renamed when it is complete, so that a
full disk, an error or a kill leaves the old file, or none, under the name that readers look for.
The hidden file is locked while it is written: one that nobody holds any more was left by a killed
process, and `sweep` removes it.
"""

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import pathlib
import secrets
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO

_log = logging.getLogger(__name__)
_PART = ".jaxseg-part"  # the end of a hidden name
_ABANDONED = 86_400.0  # seconds after which a part is removed where the file system has no locks


@contextlib.contextmanager
def writing(path: pathlib.Path | str, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` when the block ends without an error.

    A symbolic link of that name is replaced; what it points to stays as it is.

    Args:
      path: in a folder that is there.
      sync: wait until the bytes are on the disk, so that even a power failure leaves a whole file.
        Without it, a kill still does.

    Raises:
      OSError: it cannot be written; `path` is named, and is as it was before.
      ValueError: `path` is a device or a pipe, which must not be replaced.
    """
    path = pathlib.Path(path)
    _refuse_special(path)
    part: pathlib.Path | None = None
    try:
        number, part = _new_part(path.parent)
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(number)
            else:
                os.close(os.dup(number))  # a network file system reports a full disk on closing
            os.replace(part, path)
    except BaseException as error:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()
        if isinstance(error, OSError) and error.errno and _of_the_part(error):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_bytes(path: pathlib.Path | str, data: bytes, *, sync: bool = True) -> None:
    """Writes a file at once; see `writing`."""
    with writing(path, sync=sync) as file:
        file.write(data)


def write_text(path: pathlib.Path | str, text: str, *, sync: bool = True) -> None:
    """Writes a file of UTF-8 at once; see `writing`.

    What UTF-8 cannot hold, such as the bytes of a file name in another encoding, becomes "?".
    """
    write_bytes(path, text.encode(errors="replace"), sync=sync)


def appending(path: pathlib.Path) -> BinaryIO:
    """Opens a file to add to its end, or to read; one that is a symbolic link is refused.

    Raises:
      OSError: it cannot be opened.
      ValueError: it is a symbolic link.
    """
    try:
        number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            refuse_link(path)
        raise
    return os.fdopen(number, "ab+")


def folder_in(root: pathlib.Path, *parts: str) -> pathlib.Path:
    """The folder root/PARTS, made where it is missing.

    Args:
      root: a run folder; itself it may be a link.
      parts: names of folders in it, from the top down.

    Raises:
      OSError: it cannot be made.
      ValueError: one of the parts is a symbolic link: what is written would land elsewhere.
    """
    folder = root
    for part in parts:
        folder = folder / part
        refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_link(path: pathlib.Path) -> None:
    """Raises ValueError, with the way out, where `path` is a symbolic link."""
    if path.is_symlink():
        raise ValueError(_link(path))


def sweep(folder: pathlib.Path, *, deep: bool = False) -> None:
    """Removes what killed processes have left of files that they were writing.

    Args:
      folder: need not exist.
      deep: look into its sub-folders as well.
    """
    found = folder.rglob(f".*{_PART}") if deep else folder.glob(f".*{_PART}")
    with contextlib.suppress(OSError):
        for part in found:
            with contextlib.suppress(OSError):
                _remove_abandoned(part)


def set_aside(path: pathlib.Path, reason: str) -> pathlib.Path:
    """Renames what is damaged, so that nothing of it is lost: 1200 -> 1200.damaged.

    Args:
      path: a file or a folder.
      reason: why, for the warning that tells of it.

    Raises:
      OSError: it cannot be renamed.
    """
    other = path.rename(_name_aside(path))
    _log.warning("%s is damaged (%s); it is set aside as %s", path, reason, other.name)
    return other


def keep_copy(path: pathlib.Path, data: bytes, reason: str) -> pathlib.Path:
    """As `set_aside`, but `path` stays: `data`, its content, is written under the other name."""
    other = _name_aside(path)
    write_bytes(other, data)
    _log.warning("%s is damaged (%s); as it was it is kept as %s", path, reason, other.name)
    return other


def _name_aside(path: pathlib.Path) -> pathlib.Path:
    for number in itertools.count(1):
        ending = f"-{number}" if number > 1 else ""
        other = path.with_name(f"{path.name}.damaged{ending}")
        if not other.exists() and not other.is_symlink():
            return other
    raise AssertionError


def _link(path: pathlib.Path) -> str:
    return (
        f"{path} is a symbolic link, and jaxseg writes through none in a run folder: put the "
        "whole folder on the other disk and name it, or a link to it, as the folder to write to"
    )


def _of_the_part(error: OSError) -> bool:
    return error.filename is None or str(error.filename).endswith(_PART)


def _refuse_special(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ValueError(f"{path} is a device or a pipe; name a file to write to")


def _new_part(folder: pathlib.Path) -> tuple[int, pathlib.Path]:
    """A descriptor, locked, of a new hidden file, and its path."""
    while True:
        part = folder / f".{secrets.token_hex(6)}{_PART}"
        number = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # `sweep` of another process was faster
            os.close(number)
            continue
        except OSError:  # a file system without locks
            return number, part
        if part.exists():  # not swept away before it was locked
            return number, part
        os.close(number)


def _remove_abandoned(part: pathlib.Path) -> None:
    number = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
    except BlockingIOError:  # it is being written
        pass
    except OSError:  # a file system without locks
        if time.time() - os.fstat(number).st_mtime > _ABANDONED:
            part.unlink()
    finally:
        os.close(number)
