"""TensorBoard's event file, written in the caller's thread.

tensorboardX's SummaryWriter writes from a thread with a queue of ten: a full disk ends the thread,
and once the queue is full, the run hangs.
"""

import os
import pathlib
import re
import time

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

_ILLEGAL = re.compile(r"[^-/.\w]")


def legal(tag: str) -> str:
    """The tag with "_" for each character that TensorBoard refuses: "eval/box AP" has one.

    tensorboardX does the same, but logs a line for each number that it is given.
    """
    return _ILLEGAL.sub("_", tag).lstrip("/")


class EventFile:
    """A new event file in a folder.

    Args:
      folder: created if missing.
      purge_step: hide events of this step and later in older files; None: show all.
    """

    def __init__(self, folder: pathlib.Path, purge_step: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The name contains the time in seconds; the clock may have been set back since the last
        # start.
        self._events = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        if purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(step=purge_step, file_version="brain.Event:2"))
            self._events.write_event(Event(step=purge_step, session_log=start))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Writes a number; see `legal`."""
        self._add(summary.scalar(legal(tag), value), step)

    def picture(self, tag: str, image: np.ndarray, step: int) -> None:
        """Writes a picture uint8 [H, W, 3]; see `legal`."""
        self._add(summary.image(legal(tag), image, dataformats="HWC"), step)

    def _add(self, what: object, step: int) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, summary=what))

    def flush(self) -> None:
        """Flushes everything to disk.

        Raises:
          OSError: the disk is full.
        """
        self._events.flush()

    def close(self) -> None:
        """Closes the file; raises what `flush` does."""
        self._events.close()
