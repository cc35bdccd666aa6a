"""Replaces a prepared set so that a kill at any moment loses neither the old nor the new one.

While a set is prepared, there are these files next to DATA_DIR/NAME/VERSION:

    .VERSION.lock        held by the preparing process
    .VERSION.preparing   what it writes, with the journal of the files that it has checked
    .VERSION.ready       the complete new set, until it is in its place
    .VERSION.old         the old set, while the new one is moved to its place
    .VERSION.delete      the old set, while it is deleted

Each step is a single renaming, so the files after a kill show what remains to be done: `recover`
moves a ready set to its place, or restores the old one, and deletes the rest.
"""

import contextlib
import errno
import fcntl
import logging
import os
import pathlib
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator

JOURNAL = "checked.jsonl"
_NO_LOCKS = (
    errno.ENOLCK,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
)  # from a file system mounted without locks
_log = logging.getLogger(__name__)
IsWhole = Callable[[pathlib.Path], bool]


def _beside(folder: pathlib.Path, what: str) -> pathlib.Path:
    return folder.with_name(f".{folder.name}.{what}")


def check_writable(data_dir: pathlib.Path) -> None:
    """Creates the folder; if it is not writable, TFDS would report a full disk."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise ValueError(f"--data_dir={data_dir} cannot be written to: {error.strerror}") from None


@contextlib.contextmanager
def saying_what_failed(name: str) -> Iterator[None]:
    """Turns the RuntimeErrors of the record writer, which have many details, into one line."""
    try:
        yield
    except RuntimeError as error:
        failed = re.search(r"(?:write|close|open|fsync)\(\) failed: ([^;]+)", str(error))
        if failed is None:
            raise
        raise OSError(
            f"the examples of {name} cannot be written: {failed[1].lower()}; nothing was prepared. "
            "Make room, and run the same command again"
        ) from error


def scratch(folder: pathlib.Path) -> pathlib.Path:
    """The folder in which a set is written until it is complete."""
    return _beside(folder, "preparing")


@contextlib.contextmanager
def lock(folder: pathlib.Path) -> Iterator[None]:
    """Locks the set against other processes; the kernel releases the lock when this one ends.

    Raises:
      BlockingIOError: another process, which is named, is preparing it.
      OSError: the folder is not writable.
    """
    path = _beside(folder, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise BlockingIOError(
                f"{folder} is being prepared by {holder}: wait until that one is done, or stop it"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                file.close()
                raise
            _log.warning("%s cannot be locked: make sure that no other process prepares it", folder)
            break
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                break
        file.close()  # another process has deleted it between the two calls
    with file:
        file.truncate(0)
        with contextlib.suppress(OSError):  # from a full disk: the name is only for messages
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def recover(folder: pathlib.Path, is_whole: IsWhole) -> str:
    """Completes or undoes a killed preparation, and deletes its leftovers; needs `lock`.

    Args:
      folder: DATA_DIR/NAME/VERSION.
      is_whole: whether a folder holds a complete set.

    Returns: A message about what was done to the set; "" if nothing had to be done.
    """
    ready, old, delete = (_beside(folder, what) for what in ("ready", "old", "delete"))
    by_earlier_versions = folder.with_name(
        f"{folder.name}.before"
    )  # from earlier versions of this code
    said = ""
    if is_whole(ready):
        _place(folder)
        said = f"completed an interrupted preparation: {folder}"
    for kept in (old, by_earlier_versions):
        if is_whole(kept) and not is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            kept.rename(folder)
            said = f"restored the set from before an interrupted preparation: {folder}"
    for path in (ready, old, by_earlier_versions, delete):
        _delete(path, delete)
    clear(folder)
    for path in folder.parent.glob(f"incomplete.*_{folder.name}"):  # from TFDS in earlier versions
        shutil.rmtree(path, ignore_errors=True)
    return said


def clear(folder: pathlib.Path, *, keep_journal: bool = True) -> None:
    """Deletes what an unfinished preparation has written, except its journal."""
    place = scratch(folder)
    journals = list(place.rglob(JOURNAL)) if keep_journal else []
    for path in place.iterdir() if place.is_dir() else ():
        if not any(path == journal or path in journal.parents for journal in journals):
            _remove(path)
    for journal in journals:
        for path in journal.parent.iterdir():
            if path != journal:
                _remove(path)
    if not journals:
        shutil.rmtree(place, ignore_errors=True)


def put(folder: pathlib.Path, built: pathlib.Path, is_whole: IsWhole) -> None:
    """Moves a complete set from `scratch` to its place; needs `lock`.

    Args:
      folder: its place; an existing set is deleted once the new one is in place.
      built: where it was written.
      is_whole: see `recover`.

    Raises:
      OSError: a renaming failed; the old set is unchanged.
    """
    built.rename(_beside(folder, "ready"))
    try:
        _place(folder)
    except OSError:
        old = _beside(folder, "old")
        if is_whole(old) and not folder.exists():
            old.rename(folder)
        raise
    _delete(_beside(folder, "old"), _beside(folder, "delete"))
    clear(folder, keep_journal=False)


def _place(folder: pathlib.Path) -> None:
    """Does the two renamings; between them, the old set is set aside, and both are complete."""
    if folder.exists():
        old = _beside(folder, "old")
        _delete(old, _beside(folder, "delete"))
        folder.rename(old)
    _beside(folder, "ready").rename(folder)


def _delete(path: pathlib.Path, under: pathlib.Path) -> None:
    """Deletes a set under a name from which nothing is ever restored."""
    if path.exists():
        if path != under:
            shutil.rmtree(under, ignore_errors=True)
            path.rename(under)
        shutil.rmtree(under, ignore_errors=True)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
