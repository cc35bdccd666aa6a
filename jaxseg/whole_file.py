"""Writes files completely or not at all, and never through a symbolic link.

A file is written under a hidden name in its own folder and renamed when it is complete, so that
after a full disk, an error or a kill there is either the old file or none under its name. The
hidden file is locked while it is written: a file without a lock was left by a killed process, and
`sweep` removes it.
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
_PART = ".jaxseg-part"  # suffix of hidden files
_ABANDONED = 86_400.0  # seconds after which a part is removed if the file system has no locks


@contextlib.contextmanager
def writing(path: pathlib.Path | str, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A new binary file that replaces `path` when the block ends without an error.

    If `path` is a symbolic link, the link is replaced; its target stays unchanged.

    Args:
      path: in an existing folder.
      sync: wait until the bytes are on the disk, so that the file is complete even after a power
        failure. Without it, the file is complete only after a kill.

    Raises:
      OSError: it cannot be written; `path` is named, and is unchanged.
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
    """Writes a file atomically; see `writing`."""
    with writing(path, sync=sync) as file:
        file.write(data)


def write_text(path: pathlib.Path | str, text: str, *, sync: bool = True) -> None:
    """Writes a UTF-8 file atomically; see `writing`.

    What cannot be encoded, such as bytes of a file name in another encoding, becomes "?".
    """
    write_bytes(path, text.encode(errors="replace"), sync=sync)


def appending(path: pathlib.Path) -> BinaryIO:
    """Opens a file for appending or reading; symbolic links are refused.

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
    """The folder root/PARTS, which is created if missing.

    Args:
      root: a run folder, which may itself be a link.
      parts: names of nested folders, from the top down.

    Raises:
      OSError: it cannot be created.
      ValueError: one of the parts is a symbolic link, through which files would end up elsewhere.
    """
    folder = root
    for part in parts:
        folder = folder / part
        refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_link(path: pathlib.Path) -> None:
    """Raises ValueError, with a way out, if `path` is a symbolic link."""
    if path.is_symlink():
        raise ValueError(_link(path))


def sweep(folder: pathlib.Path, *, deep: bool = False) -> None:
    """Removes unfinished files that killed processes have left.

    Args:
      folder: need not exist.
      deep: also search its sub-folders.
    """
    found = folder.rglob(f".*{_PART}") if deep else folder.glob(f".*{_PART}")
    with contextlib.suppress(OSError):
        for part in found:
            with contextlib.suppress(OSError):
                _remove_abandoned(part)


def set_aside(path: pathlib.Path, reason: str) -> pathlib.Path:
    """Renames something damaged, so that nothing is lost: 1200 -> 1200.damaged.

    Args:
      path: a file or a folder.
      reason: for the warning.

    Raises:
      OSError: it cannot be renamed.
    """
    other = path.rename(_name_aside(path))
    _log.warning("%s is damaged (%s); it is set aside as %s", path, reason, other.name)
    return other


def keep_copy(path: pathlib.Path, data: bytes, reason: str) -> pathlib.Path:
    """Like `set_aside`, but `path` stays, and `data`, its content, is copied to the other name."""
    other = _name_aside(path)
    write_bytes(other, data)
    _log.warning("%s is damaged (%s); the original is kept as %s", path, reason, other.name)
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
        f"{path} is a symbolic link, and jaxseg never writes through links in a run folder: put "
        "the whole folder on the other disk, and name it, or a link to it, as the folder to write "
        "to"
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
        except BlockingIOError:  # another process's `sweep` was faster
            os.close(number)
            continue
        except OSError:  # a file system without locks
            return number, part
        if part.exists():  # it was not removed before it was locked
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
