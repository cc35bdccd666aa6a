"""The logs of a training: progress, metrics.jsonl, TensorBoard."""

import collections
import contextlib
import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxseg import progress, whole_file
from jaxseg.errors import naming
from jaxseg.types import Array
from jaxseg.workdir import files, schema
from jaxseg.workdir.event_file import EventFile

_BEGIN = b'{"kind": "'  # of each line of metrics.jsonl


def json_ready(value: Any) -> Any:
    """The value as strict JSON: arrays and tuples as lists, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [json_ready(item) for item in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return json_ready(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file atomically; see `whole_file.writing`."""
    text = json.dumps(json_ready(value), indent=1, allow_nan=False) + "\n"
    whole_file.write_text(path, text)


def parse_lines(data: bytes, *, up_to: int | None = None) -> tuple[list[dict[str, Any]], int]:
    """The objects of a metrics.jsonl, and the number of damaged lines, which are left out.

    An incomplete last line, as left by a kill or a full disk, is left out but not counted.

    Args:
      data: its content.
      up_to: the last step to include.
    """
    lines: list[dict[str, Any]] = []
    damaged = 0
    *texts, last = data.split(b"\n")
    for text in [*texts, last]:
        try:
            line = schema.line(files.parse_object(text))
        except ValueError:
            line = None
        if line is None:
            half = text is last and _BEGIN.startswith(text[: len(_BEGIN)])
            damaged += bool(text.strip()) and not half
        elif up_to is None or line["step"] <= up_to:
            lines.append(line)
    return lines, damaged


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """The objects of a metrics.jsonl, which need not exist; damaged lines are left out."""
    try:
        return parse_lines(files.read_bytes(path))[0]
    except OSError:
        return []


class Progress:
    """Shows the progress of a training with its loss and speed; see `progress.Progress`.

    Args:
      total: steps of the whole run.
      done: steps done before this start.
      quiet: show nothing (all processes except the main one).
    """

    def __init__(self, total: int, done: int, *, quiet: bool = False) -> None:
        self._bar = progress.Progress(total, "train", unit="step", done=done, hidden=quiet)
        self.say, self.close = self._bar.say, self._bar.close

    def step(self) -> None:
        """Counts a finished step."""
        self._bar.advance()

    def report(self, loss: float, images_per_second: float) -> None:
        """Shows the loss and speed of a log step."""
        rate = "" if math.isnan(images_per_second) else f", {images_per_second:.1f} images/s"
        self._bar.note(f"loss {loss:.4f}{rate}")


class Rate:
    """Images per second of training, without evaluation, saving and compilation."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Restarts counting."""
        self._images = 0
        self._seconds = 0.0
        self._since = time.monotonic()

    def add(self, images: int) -> None:
        """Counts the images of a step."""
        self._images += images

    def pause(self) -> None:
        """Stops the clock until `resume`."""
        self._seconds += time.monotonic() - self._since

    def resume(self) -> None:
        """Starts the clock again."""
        self._since = time.monotonic()

    def per_second(self) -> float:
        """Images per second since `restart`; nan if nothing was added."""
        seconds = self._seconds + time.monotonic() - self._since
        return self._images / seconds if self._images else math.nan


class Recent:
    """The metrics of the steps since the last log line, kept on the device until they are read.

    So no step waits for the previous one, and a NaN is found at the next line, with its step.
    """

    def __init__(self) -> None:
        self._on_device: collections.deque[tuple[int, Mapping[str, Array]]] = collections.deque()
        self._read: list[dict[str, float]] = []

    def add(self, step: int, metrics: Mapping[str, Array]) -> None:
        """Adds the scalars that a step returned, which may still be in computation."""
        self._on_device.append((step, metrics))

    def wait(self) -> None:
        """Waits for the last step but one, which keeps the device busy but limits the queue."""
        if len(self._on_device) > 1:
            jax.block_until_ready(self._on_device[-2][1])

    def not_finite(self) -> tuple[int, dict[str, float]] | None:
        """Reads the metrics; returns the first step with NaN or infinity, and its metrics."""
        while self._on_device:
            step, metrics = self._on_device.popleft()
            values = {name: float(value) for name, value in jax.device_get(metrics).items()}
            if not all(math.isfinite(value) for value in values.values()):
                return step, values
            self._read.append(values)
        return None

    def mean(self) -> dict[str, float]:
        """The mean of each metric over the steps since the last call; the latest learning rate."""
        steps, self._read = self._read, []
        means = {name: math.fsum(s[name] for s in steps) / len(steps) for name in steps[-1]}
        return means | {"learning_rate": steps[-1]["learning_rate"]}


class Writer:
    """Writes metrics.jsonl and TensorBoard's events of a run, in the main process only.

    On a restart, lines of steps after the restored one are dropped, since those steps are repeated.

    Args:
      workdir: the run folder.
      step: from which training continues; 0 at the first start.
      main: whether this process writes.
    """

    def __init__(self, workdir: pathlib.Path, step: int, *, main: bool = True) -> None:
        self._main = main
        self._path = workdir / "metrics.jsonl"
        self.lines = self._lines(step)
        if main:
            text = "".join(json.dumps(line) + "\n" for line in self.lines)
            whole_file.write_text(self._path, text)
            folder = workdir / "tensorboard"
            if folder.exists() and not folder.is_dir():
                whole_file.set_aside(folder, "it is not a folder")
            whole_file.folder_in(workdir, folder.name)
            self._events = EventFile(folder, step + 1 if step else None)

    def _lines(self, step: int) -> list[dict[str, Any]]:
        """The lines up to a step; if some are damaged, a copy of the file is kept."""
        try:
            data = files.read_bytes(self._path)
        except FileNotFoundError:
            return []
        except OSError as error:
            if self._main:
                whole_file.set_aside(self._path, files.why(error))
            return []
        lines, damaged = parse_lines(data, up_to=step)
        if damaged and self._main:
            whole_file.keep_copy(self._path, data, f"damaged lines, left out of it: {damaged}")
        return lines

    def has(self, kind: str, step: int) -> bool:
        """Whether there is a line of this kind and step."""
        return any(line["kind"] == kind and line["step"] == step for line in self.lines)

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Writes a line {"kind", "step", ..., "time"}, and its numbers as TensorBoard scalars.

        Args:
          kind: "train" or "eval".
          step: number of updates.
          values: numbers, and mappings of names to numbers.

        Raises:
          OSError: for example, the disk is full; the file is named.
        """
        line = {"kind": kind, "step": step, **values, "time": round(time.time(), 3)}
        line = json_ready(line)
        self.lines.append(line)
        if not self._main:
            return
        with naming(self._path), whole_file.appending(self._path) as file:
            file.write((json.dumps(line, allow_nan=False) + "\n").encode())
        with naming(self._path.with_name("tensorboard")):
            self._add_scalars(kind, step, line)

    def _add_scalars(self, kind: str, step: int, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            parts = value if isinstance(value, dict) else {"": value}
            for part, number in parts.items():
                if isinstance(number, int | float) and name not in ("step", "time"):
                    tag = f"{kind}/{name}/{part}" if part else f"{kind}/{name}"
                    self._events.scalar(tag, number, step)
        self._events.flush()

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a picture uint8 [H, W, 3] for TensorBoard."""
        if self._main:
            with naming(self._path.with_name("tensorboard")):
                self._events.picture(name, image, step)

    def close(self) -> None:
        """Closes the files, once every line is on disk."""
        if self._main:
            with contextlib.suppress(OSError):
                self._events.close()
