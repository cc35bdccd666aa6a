"""Checkpoints: the train state and the loader's position in one step folder, written by Orbax.

A step appears under its number only when it is complete, so a killed run leaves its older steps
intact. Each leaf has a checksum that is verified on reading (`jaxseg.workdir.checksums`). A step
that is proved to be damaged is set aside under another name, with a warning, and the previous one
is used; damaged steps are never deleted. If a step cannot be read at the moment, because of a
permission or a disk that does not respond, the command ends with a line that says so. If it can be
read but does not fit the config, the error lists the differences. Nothing is ever cast.
"""

import contextlib
import functools
import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxseg import whole_file
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint_reading, checksums, orbax_noise, saved_steps
from jaxseg.workdir.checkpoint_faults import check_files, system_reason
from jaxseg.workdir.checkpoint_reading import Damaged

_SHOWN = 20  # differences listed in an error
_log = logging.getLogger(__name__)


def leaf_types(tree: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Path -> (shape, dtype) of each array of a tree: "params/conv1/kernel" -> ((3, 3), "float32").

    Accepts arrays, shapes, or the metadata of a checkpoint; the paths are the same for all three.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            tuple(leaf.shape),
            np.dtype(leaf.dtype).name,
        )
        for path, leaf in leaves
    }


def mismatches(expected: Any, found: Any) -> list[str]:
    """One line for each leaf that is missing, unknown, or of another shape or dtype."""
    want, have = leaf_types(expected), leaf_types(found)

    def text(leaf: tuple[tuple[int, ...], str] | None) -> str:
        return f"{leaf[1]} {list(leaf[0])}" if leaf else "nothing"

    return [
        f"{path}: expected {text(want.get(path))}, found {text(have.get(path))}"
        for path in sorted(want.keys() | have.keys())
        if want.get(path) != have.get(path)
    ]


def refuse_mismatch(expected: Any, found: Any, where: str, way_out: str) -> None:
    """Raises ValueError with the list of `mismatches`, if there is any."""
    if lines := mismatches(expected, found):
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        listing = "\n  ".join(lines[:_SHOWN] + more)
        raise ValueError(f"{where} does not fit the config ({way_out}):\n  {listing}")


class Checkpoints:
    """The checkpoints of one run; a context manager that waits for the last save.

    Args:
      folder: contains one folder per step.
      keep: number of newest steps to keep.
    """

    def __init__(self, folder: pathlib.Path, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"train.keep={keep} must be at least 1")
        whole_file.refuse_link(folder)
        self.folder = folder.absolute()
        self._manager = checkpoint_reading.manager(self.folder, keep)
        self._quiet = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._quiet.enter_context(orbax_noise.dropped())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        with (
            self._quiet,
            self._saying_what_is_left() if error is None else contextlib.suppress(Exception),
        ):
            self._manager.close()

    @property
    def latest(self) -> int | None:
        """The newest step that was saved completely."""
        return self._manager.latest_step()

    def save(
        self, step: int, state: TrainState, iterator: Mapping[str, Any], *, wait: bool = False
    ) -> None:
        """Saves a step in the background; an existing step is left unchanged.

        The arrays are copied before this returns, so they may be donated to the next step.

        Args:
          step: number of updates.
          state: with any sharding.
          iterator: the loader's position, a JSON object that is the same in all processes.
          wait: return only when everything is on disk.

        Raises:
          OSError: this step, or one still being saved from an earlier call, cannot be written; the
            newest good one is named.
        """
        if step != self.latest:
            with self._saying_what_is_left():
                args = ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    iterator=ocp.args.JsonSave(dict(iterator)),
                    checksums=ocp.args.JsonSave(checksums.record(state, iterator)),
                )
                saved = self._manager.save(step, args=args, force=True)
            if not saved:  # Orbax returns False if the folder has a newer step
                raise OSError(f"{self.folder}: step {step} was not saved; newest is {self.latest}")
        if wait:
            self.wait()

    def wait(self) -> None:
        """Returns when everything is on disk; raises what `save` does."""
        with self._saying_what_is_left():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _saying_what_is_left(self) -> Iterator[None]:
        """Turns any error of a failed save into one line: the reason, and the last good step."""
        try:
            yield
        except Exception as error:  # Orbax and tensorstore each raise their own
            # Not Orbax's list of steps, which includes the one that failed.
            left = saved_steps.last_good(self.folder)
            raise OSError(
                f"a checkpoint cannot be saved in {self.folder}: {system_reason(error)}; {left}. "
                "Fix that (make room, for example); the same command then resumes from there"
            ) from error

    def restore(self, abstract: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """The newest undamaged step, or None if there are no steps.

        Steps newer than it are damaged (truncated, half copied, bits flipped): they are named in a
        warning and renamed to STEP.damaged, since Orbax would save nothing older than them.

        Args:
          abstract: a TrainState of jax.ShapeDtypeStruct with the shardings that are wanted.

        Returns:
          The state and the loader's position.

        Raises:
          ValueError: a step that can be read does not fit `abstract`; or all are damaged.
          OSError: a step cannot be read at the moment: nothing is known about it, so the run does
            not continue from an older one.
        """
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._read(step, abstract)
            except Damaged as error:
                damaged[step] = str(error)
                continue
            self._set_aside(damaged, step)
            return found
        if damaged:
            listing = "; ".join(f"{step} ({why})" for step, why in damaged.items())
            raise ValueError(
                f"no checkpoint in {self.folder} can be read: {listing}. "
                "Move that folder away, or delete it, to start from the beginning"
            )
        return None

    def _read(self, step: int, abstract: TrainState) -> tuple[TrainState, dict[str, Any]]:
        folder = self.folder / str(step)

        def metadata() -> tuple[dict[str, Any], Any]:
            check_files(folder)
            iterator = checkpoint_reading.read_json(self._manager, step, "iterator")
            record = checkpoint_reading.read_checksums(self._manager, step, folder)
            found = checkpoint_reading.metadata(self._manager, step)
            if record is not None:
                checksums.check_types(found, record)
                if record["iterator"] != checksums.of_json(iterator):
                    raise ValueError("the loader's position is not what was saved")
            return iterator, (found, record)

        iterator, (found, record) = checkpoint_reading.agreed(folder, metadata)
        refuse_mismatch(
            abstract,
            found,
            str(folder),
            "start in another --workdir, or go back to the config of this one",
        )

        def state() -> TrainState:
            args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
            read = self._manager.restore(step, args=args)["state"]
            checkpoint_reading.verify(folder, read, found, record)
            return read

        return checkpoint_reading.agreed(folder, state), iterator

    def _set_aside(self, damaged: Mapping[int, str], good: int) -> None:
        for step, why in damaged.items():
            folder = self.folder / str(step)
            if jax.process_index() == 0:
                whole_file.set_aside(folder, f"{why}; step {good} is used")
        if damaged:
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("jaxseg: damaged checkpoints set aside")
            self._manager.reload()


def restore_variables(
    folder: pathlib.Path | str, *, step: int | None = None
) -> tuple[dict[str, Any], int]:
    """The part of a checkpoint that evaluation needs, as NumPy arrays on the host.

    Args:
      folder: the `checkpoints` folder of a run, or the run folder.
      step: the step to read; None: the newest undamaged one.

    Returns:
      {"params", "batch_stats"} and, if an average is stored, "ema" with the same keys; and the
      step. The optimiser's state is not read.

    Raises:
      FileNotFoundError: no checkpoint, or not this step.
      ValueError: all are damaged.
      OSError: one cannot be read at the moment.
    """
    given, folder = folder, pathlib.Path(folder).absolute()
    if (folder / "checkpoints").is_dir():
        folder = folder / "checkpoints"
    if not folder.is_dir():
        raise FileNotFoundError(f"{given} is missing: no run has saved a checkpoint there")
    with (
        orbax_noise.dropped(),
        contextlib.closing(checkpoint_reading.manager(folder, None, read_only=True)) as manager,
    ):
        steps = sorted(manager.all_steps(), reverse=True)
        if not steps:
            raise FileNotFoundError(f"{folder} holds no checkpoint yet")
        if step is not None and step not in steps:
            raise FileNotFoundError(f"{folder} has no step {step}; it has {sorted(steps)}")
        reasons = []
        for candidate in steps if step is None else [step]:
            place = folder / str(candidate)
            read = functools.partial(_read_variables, manager, place, candidate)
            try:
                return checkpoint_reading.agreed(place, read), candidate
            except Damaged as error:
                reasons.append(f"step {candidate} is damaged ({error})")
                _log.warning("checkpoint %s: %s", folder, reasons[-1])
    raise ValueError(f"{folder}: {'; '.join(reasons)}; train again, or name --weights=FILE")


def _read_variables(manager: Any, folder: pathlib.Path, step: int) -> dict[str, Any]:
    check_files(folder)
    record = checkpoint_reading.read_checksums(manager, step, folder)
    saved = checkpoint_reading.metadata(manager, step)
    if record is not None:
        checksums.check_types(saved, record)
    wanted = {name: saved[name] for name in ("params", "batch_stats", "ema") if saved.get(name)}
    read = checkpoint_reading.as_numpy(folder, wanted)
    checkpoint_reading.verify(folder, read, wanted, record)
    return {"batch_stats": {}} | read
