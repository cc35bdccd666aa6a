"""Replaces a prepared set so that a kill at any moment loses neither the old nor the new one.

Beside DATA_DIR/NAME/VERSION lie, while one is prepared:

    .VERSION.lock        held by the process that prepares
    .VERSION.preparing   what it writes, with the journal of the files that it has checked
    .VERSION.ready       the new set, whole, from when it is whole until it has its place
    .VERSION.old         the set of before, while the new one gets its place
    .VERSION.delete      the set of before, while it is deleted

Each goes to the next by one renaming. So whatever is there after a kill tells what is to be done:
`recover` gives a set that is ready its place, or brings back the old one, and deletes the rest.
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
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system mounted without them
_log = logging.getLogger(__name__)
IsWhole = Callable[[pathlib.Path], bool]


def _beside(folder: pathlib.Path, what: str) -> pathlib.Path:
    return folder.with_name(f".{folder.name}.{what}")


def check_writable(data_dir: pathlib.Path) -> None:
    """Makes the folder; of one that cannot be written to, TFDS would say that the disk is full."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise ValueError(f"--data_dir={data_dir} cannot be written to: {error.strerror}") from None


@contextlib.contextmanager
def saying_what_failed(name: str) -> Iterator[None]:
    """Turns what the writer of records raises into one line: RuntimeErrors with many details."""
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
    """Where a set is written before it is whole."""
    return _beside(folder, "preparing")


@contextlib.contextmanager
def lock(folder: pathlib.Path) -> Iterator[None]:
    """Keeps every other process from preparing this set; the kernel lets go when this one ends.

    Raises:
      BlockingIOError: another process prepares it; its text says which.
      OSError: the place cannot be written to.
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
            _log.warning("%s cannot be locked: see to it that no other process prepares it", folder)
            break
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                break
        file.close()  # the one before has deleted it between the two calls
    with file:
        file.truncate(0)
        with contextlib.suppress(OSError):  # of a full disk: the name is for messages only
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def recover(folder: pathlib.Path, is_whole: IsWhole) -> str:
    """Ends what a killed preparation has begun, and deletes what it has left; needs `lock`.

    Args:
      folder: DATA_DIR/NAME/VERSION.
      is_whole: whether a folder holds a complete set.

    Returns:
      What was done to the set itself, to be said; "" where nothing was to be done.
    """
    ready, old, delete = (_beside(folder, what) for what in ("ready", "old", "delete"))
    by_earlier_versions = folder.with_name(
        f"{folder.name}.before"
    )  # of earlier versions of this code
    said = ""
    if is_whole(ready):
        _place(folder)
        said = f"a preparation that was stopped is finished: {folder}"
    for kept in (old, by_earlier_versions):
        if is_whole(kept) and not is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            kept.rename(folder)
            said = f"the set of before a preparation that was stopped is back: {folder}"
    for path in (ready, old, by_earlier_versions, delete):
        _delete(path, delete)
    clear(folder)
    for path in folder.parent.glob(f"incomplete.*_{folder.name}"):  # of TFDS, by earlier versions
        shutil.rmtree(path, ignore_errors=True)
    return said


def clear(folder: pathlib.Path, *, keep_journal: bool = True) -> None:
    """Deletes what an unfinished preparation has written, but for its journal."""
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
    """Gives a set that was written whole into `scratch` its place; needs `lock`.

    Args:
      folder: where it belongs; a set that is there is deleted when the new one has its place.
      built: where it was written.
      is_whole: see `recover`.

    Raises:
      OSError: a renaming failed; the set of before is there as it was.
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
    """The two renamings; between them the set of before lies aside, and both are whole."""
    if folder.exists():
        old = _beside(folder, "old")
        _delete(old, _beside(folder, "delete"))
        folder.rename(old)
    _beside(folder, "ready").rename(folder)


def _delete(path: pathlib.Path, under: pathlib.Path) -> None:
    """Deletes a set under a name from which nothing is ever brought back."""
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
