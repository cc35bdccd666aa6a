"""Detects that another process of the run has died, and ends this one with a clear message.

In every step, each process waits for the results of all others, so if one dies, the others hang.
JAX ends them too, but late (100 s, the `heartbeat_timeout_seconds` of jax.distributed.initialize)
or with an abort that says nothing about the run. Here every process has a TCP connection to process
0. The kernel closes the connection of a process that has ended for whatever reason. A process that
is stopped, or whose machine is lost, is detected because each process sends a beat every quarter of
the time limit. A process in which only the main thread hangs, for example in a read that never
returns, still beats. `heartbeat_links` decides who may connect.
"""

import atexit
import ctypes
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Protocol, Self

from jaxseg.errors import one_line
from jaxseg.runtime import heartbeat_links

_JOIN = 300  # seconds; as long as jax.distributed waits for processes that are still to come
_KEY = "jaxseg/heartbeat"
_BEAT, _DONE = "", "done"  # lines; any other is the reason why the run ends
_LONGEST = 500  # characters of a reason
_GRACE = 5.0  # seconds within which the death of a process explains an error in another
_FAREWELL = 0.5  # seconds for the last line of process 0 to arrive


class Store(Protocol):
    """What is used of the key-value store that the processes share."""

    def key_value_set(self, key: str, value: str) -> None:
        """Once for each key."""

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        """Waits for the key."""

    def key_value_delete(self, key: str) -> None:
        """Deletes a key, so that it can be set again."""


class Watch:
    """Watches the other processes; a context manager around the run.

    On a normal exit, it tells the others that this process is done; on an error, it tells them the
    reason, and they end with status 1.

    Args:
      index: of this process.
      count: number of processes.
      host: the address of process 0.
      store: shared by the processes; process 0 publishes in it where it listens.
      timeout: seconds without a beat after which a process counts as lost.
      last_good: returns the text about checkpoints for the last line of a process that ends.
    """

    def __init__(
        self,
        index: int,
        count: int,
        host: str,
        store: Store,
        *,
        timeout: float,
        last_good: Callable[[], str],
    ) -> None:
        self._index, self._count, self._host, self._store = index, count, host, store
        self._timeout, self._last_good = timeout, last_good
        self._links: list[heartbeat_links.Link] = []  # to those that have joined
        self._door: heartbeat_links.Door | None = None  # of process 0, until all have joined
        self._selector = selectors.DefaultSelector()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        try:
            if self._index == 0:
                self._door = heartbeat_links.Door(self._host, self._count)
                self._selector.register(self._door.socket, selectors.EVENT_READ)
                self._store.key_value_set(_KEY, self._door.address)
            else:
                address = self._store.blocking_key_value_get(_KEY, 1000 * _JOIN)
                link = heartbeat_links.join(address, self._index, self._host, _JOIN)
                self._selector.register(link.socket, selectors.EVENT_READ, link)
                self._watch_over(link)
        except OSError as error:
            self._say(
                f"process 0 cannot be reached at {self._host} ({one_line(error)}): if a process "
                "dies, only JAX will notice, with a delay"
            )
            return self
        self._handler = _sleep_before_abort()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not self._thread.is_alive():
            return
        if error is None or kind is SystemExit:
            self._leave(_DONE)
            _set_abort(self._handler)
            return
        if isinstance(error, Exception):
            # A death shows as many errors: a failed collective, a folder that process 0 has not
            # made, an exception that Orbax raises without its cause.
            self._thread.join(_GRACE)  # ends this process if another has died
        reason = " ".join(one_line(error).split())[:_LONGEST] or type(error).__name__
        self._leave(f"process {self._index} of {self._count} failed: {reason}")
        # At exit, JAX would wait for minutes for the others, which have ended.
        atexit.register(_exit)

    def _leave(self, line: str) -> None:
        self._leaving.set()
        for link in self._links:
            link.send(line)

    def _watch_over(self, link: heartbeat_links.Link) -> None:
        link.socket.settimeout(self._timeout)  # for sending to a process that no longer reads
        self._links.append(link)

    def _drop(self, link: heartbeat_links.Link) -> None:
        self._selector.unregister(link.socket)
        link.socket.close()
        if link in self._links:
            self._links.remove(link)
        if self._door is not None:
            self._door.forget(link)

    def _say(self, text: str) -> None:
        os.write(2, f"\njaxseg: {text}\n".encode())  # the main thread may hold sys.stderr's lock

    def _run(self) -> None:
        """Runs the thread, which never ends silently."""
        try:
            self._attend()
        except Exception as error:
            self._say(
                f"the heartbeat has failed ({type(error).__name__}: {one_line(error)}): if a "
                "process dies, only JAX will notice, with a delay"
            )

    def _attend(self) -> None:
        """Listens, sends beats, and checks which processes are silent."""
        pause = self._timeout / 4
        beat = time.monotonic()
        while not self._leaving.is_set():
            wait = max(0.0, beat - time.monotonic())
            for key, _ in self._selector.select(min(wait, 1.0) if self._door else wait):
                if key.data is None:
                    self._let_in()
                elif key.data.socket.fileno() >= 0:  # else it has been closed
                    self._hear(key.data)
            for link in self._door.late() if self._door else ():
                self._drop(link)
            if time.monotonic() >= beat:
                beat = time.monotonic() + pause
                self._beat()
        if self._door is not None:
            self._door.close()

    def _let_in(self) -> None:
        link = self._door.accept() if self._door else None
        if link is not None:
            self._selector.register(link.socket, selectors.EVENT_READ, link)

    def _hear(self, link: heartbeat_links.Link) -> None:
        lines = link.lines()
        if lines is None and link.index is not None:
            self._end(f"{self._name(link)} has died (it was killed, or is out of memory)")
        if lines and link.index is None and self._door is not None:
            if self._door.admit(link, lines.pop(0)):
                self._door.forget(link)
                self._watch_over(link)
                self._close_door()
            else:
                lines = None
        for line in lines or ():
            if line == _DONE:
                lines = None
            elif line != _BEAT:
                self._end(line)
        if lines is None:
            self._drop(link)

    def _close_door(self) -> None:
        """Stops listening once all have joined."""
        if self._door is None or not self._door.is_done:
            return
        self._selector.unregister(self._door.socket)
        for other in self._door.close():
            self._drop(other)
        self._door = None
        self._store.key_value_delete(_KEY)

    def _beat(self) -> None:
        now = time.monotonic()
        for link in self._links:
            link.send(_BEAT)
            if now - link.heard > self._timeout:
                self._end(
                    f"{self._name(link)} has not been heard from for {self._timeout:g} s (its "
                    "machine is lost, or it hangs)"
                )

    def _name(self, link: heartbeat_links.Link) -> str:
        return f"process {link.index} of {self._count}"

    def _end(self, reason: str) -> NoReturn:
        """Passes the reason on, prints it as the last line, and ends this process."""
        if self._leaving.is_set():
            sys.exit()  # of this thread
        for link in self._links:
            link.send(reason)
        self._say(
            f"{reason}; {self._last_good()}. The same command resumes from there, with "
            "any number of processes that divides the batch"
        )
        time.sleep(_FAREWELL)
        os._exit(1)


def _exit() -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _set_abort(handler: int | None) -> int | None:
    """Sets the handler of SIGABRT, an address in C, and returns the previous one."""
    library = ctypes.CDLL(None)
    library.signal.restype = ctypes.c_void_p
    library.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    return library.signal(signal.SIGABRT, handler)


def _sleep_before_abort() -> int | None:
    """Delays an abort by JAX by six seconds, so that the watch can print its message.

    When process 0 dies, a thread of JAX aborts within milliseconds. abort() first calls the handler
    of SIGABRT with the signal's number, 6: if the handler is the C library's sleep, which is
    allowed in a signal handler, that thread waits for 6 s. The other threads continue; then abort()
    ends the process as usual.
    """
    return _set_abort(ctypes.cast(ctypes.CDLL(None).sleep, ctypes.c_void_p).value)
