"""Stops a run cleanly on a signal: a scheduler's SIGTERM, or Ctrl-C."""

import contextlib
import signal
import threading
import types
from collections.abc import Callable, Iterator
from typing import Self

import jax
from jax.experimental import multihost_utils


class StopRequest:
    """Records whether a signal asked this run to stop; a context manager around the loop.

    In a single process, SIGTERM and SIGINT are recorded, and `now(step)` reports them at the next
    step boundary; a second signal has its usual effect. With `jax.distributed`, JAX's notifier
    listens for SIGTERM, and `now` makes all processes agree on the step at which they stop, even if
    only one of them got the signal; so every process must call it at every step.
    """

    def __init__(self) -> None:
        self._shared = jax.distributed.is_initialized()
        self._told = False
        self._interrupt = False
        self._before: dict[int, Callable | int | None] = {}

    def __enter__(self) -> Self:
        if not self._shared and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self._told = True
        self._restore()
        if self._interrupt:
            raise KeyboardInterrupt

    def now(self, step: int) -> bool:
        """Whether to stop after `step` updates."""
        if self._shared:
            return bool(multihost_utils.reached_preemption_sync_point(step))
        return self._told

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Lets a signal raise KeyboardInterrupt inside the block, for work that may be lost.

        It is raised at once if a signal has already arrived.

        Catch it around the `with`, since a signal may arrive as the block is entered or left. This
        applies only to a single process; several stop together, so they wait for the next step
        boundary.
        """
        self._interrupt = True
        try:
            if self._told:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupt = False
