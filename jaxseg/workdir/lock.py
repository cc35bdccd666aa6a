"""A lock that allows one run at a time in a run folder."""

import contextlib
import errno
import fcntl
import logging
import os
import pathlib
import socket
from collections.abc import Iterator

from jaxseg import whole_file

_NO_LOCKS = (
    errno.ENOLCK,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
)  # from a file system mounted without locks
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def lock(workdir: pathlib.Path) -> Iterator[None]:
    """Locks a run folder against a second run; evaluation and prediction do not lock it.

    The kernel releases the lock when the process ends for whatever reason; the remaining file
    `.lock` has no effect. If the file system does not support locks, a warning says so, and the run
    continues.

    Raises:
      ValueError: another process, which is named, holds the lock; or the folder cannot be written
        to.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        opened = whole_file.appending(workdir / ".lock")
    except OSError as error:
        reason = "it is a file" if workdir.is_file() else error.strerror
        raise ValueError(
            f"{workdir} cannot be a run folder: {reason}; choose another --workdir"
        ) from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().decode(errors="replace").strip() or "another process"
            raise ValueError(
                f"{workdir} is in use by {holder}: "
                "two runs cannot share a folder; stop that one or choose another --workdir"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            _log.warning("%s cannot be locked: make sure that no second run uses it", workdir)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        with contextlib.suppress(OSError):  # from a full disk: the name is only for messages
            file.flush()
        for folder in (workdir, workdir / "eval"):
            whole_file.sweep(folder)
        yield
