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
    """Whether a signal asked this run to stop; a context manager around the loop.

    In one process SIGTERM and SIGINT are noted, and `now(step)` tells at the next step boundary; a
    second signal acts as it did before. With `jax.distributed` JAX's own notifier listens for
    SIGTERM, and `now` lets all processes agree on the step at which they stop, even when only one
    of them was told; so every process must call it at every step.
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
        """Raises KeyboardInterrupt, at once if already told, within: for work that can be lost.

        To be caught around the `with`, since a signal may come as it is entered or left. Only in
        one process; several stop together, and so wait for the next step boundary.
        """
        self._interrupt = True
        try:
            if self._told:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupt = False
