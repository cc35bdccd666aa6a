"""Checkpoints: the train state and the loader's place in one step folder, written by Orbax.

A step appears under its number only when it is complete, so a killed run leaves its older steps as
they were. What cannot be read is passed over, with a warning; what can be read but does not fit
the config is refused, with the list of differences. Nothing is ever cast.
"""

import contextlib
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxseg import orbax_noise
from jaxseg.state import TrainState

_SHOWN = 20  # differences listed in one refusal
_log = logging.getLogger(__name__)


def leaf_types(tree: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Path -> (shape, dtype) of each array of a tree: "params/conv1/kernel" -> ((3, 3), "float32").

    Takes arrays, shapes, or the metadata of a checkpoint; the paths are the same for all three.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            tuple(leaf.shape),
            np.dtype(leaf.dtype).name,
        )
        for path, leaf in leaves
    }


def differences(expected: Any, found: Any) -> list[str]:
    """One line for each leaf that is missing, unknown, or of another shape or dtype."""
    want, have = leaf_types(expected), leaf_types(found)

    def text(leaf: tuple[tuple[int, ...], str] | None) -> str:
        return f"{leaf[1]} {list(leaf[0])}" if leaf else "nothing"

    return [
        f"{path}: expected {text(want.get(path))}, found {text(have.get(path))}"
        for path in sorted(want.keys() | have.keys())
        if want.get(path) != have.get(path)
    ]


def refuse_differences(expected: Any, found: Any, where: str, way_out: str) -> None:
    """Raises ValueError with the list of `differences`, if there is any."""
    if lines := differences(expected, found):
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        listing = "\n  ".join(lines[:_SHOWN] + more)
        raise ValueError(f"{where} does not fit the config ({way_out}):\n  {listing}")


def _system_reason(error: BaseException) -> str:
    """What the operating system said, where tensorstore passes on its number; else `_reason`."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return os.strerror(int(number[1])).lower() if number else _reason(error)


def _reason(error: BaseException) -> str:
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first_line[:160]}"


class Checkpoints:
    """The checkpoints of one run; a context manager that waits for the last save.

    Args:
      folder: one folder per step is made in it.
      keep: how many of the newest steps are kept.
    """

    def __init__(self, folder: pathlib.Path, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"train.keep={keep} must be at least 1")
        self.folder = folder.absolute()
        self._manager = _manager(self.folder, keep)
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
        """Saves a step in the background; a step that is there already is left as it is.

        The arrays are copied before this returns, so they may be donated to the next step.

        Args:
          step: updates done.
          state: of any sharding.
          iterator: the loader's place, a JSON object that is the same in all processes.
          wait: return only when everything is on disk.

        Raises:
          OSError: this step, or one whose save went on since the last call, cannot be written; the
            newest good one is named.
        """
        if step != self.latest:
            args = ocp.args.Composite(
                state=ocp.args.StandardSave(state), iterator=ocp.args.JsonSave(dict(iterator))
            )
            with self._saying_what_is_left():
                saved = self._manager.save(step, args=args, force=True)
            if not saved:  # Orbax says so by a False, when a newer step lies in the folder
                raise OSError(f"{self.folder}: step {step} was not saved; newest is {self.latest}")
        if wait:
            self.wait()

    def wait(self) -> None:
        """Returns when everything is on disk; raises what `save` does."""
        with self._saying_what_is_left():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _saying_what_is_left(self) -> Iterator[None]:
        """Turns whatever a failed save raises into one line: the reason, and what is good."""
        try:
            yield
        except Exception as error:  # Orbax and tensorstore each raise their own
            # Not Orbax's list of steps: that holds the one that failed too.
            good = max((int(p.name) for p in self.folder.glob("*") if p.name.isdigit()), default=0)
            left = f"the last good one is {self.folder / str(good)}" if good else "there is none"
            raise OSError(
                f"a checkpoint cannot be saved in {self.folder}: {_system_reason(error)}; {left}. "
                "Mend that (make room, say), and the same command goes on from there"
            ) from error

    def restore(self, abstract: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """The newest step that can be read, or None when there is none at all.

        Steps newer than it are broken (truncated, half copied): they are named in a warning and
        deleted, since Orbax would save nothing older than them.

        Args:
          abstract: a TrainState of jax.ShapeDtypeStruct with the shardings that are wanted.

        Returns:
          The state and the loader's place.

        Raises:
          ValueError: a step that can be read does not fit `abstract`; or no step can be read.
        """
        broken: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = _metadata(self._manager, step)
                iterator = self._read_iterator(step)
            except Exception as error:  # Orbax, tensorstore and JSON each raise their own
                broken[step] = _reason(error)
                continue
            refuse_differences(
                abstract,
                found,
                f"{self.folder / str(step)}",
                "start in another --workdir, or go back to the config of this one",
            )
            try:
                args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
                state = self._manager.restore(step, args=args)["state"]
            except Exception as error:
                broken[step] = _reason(error)
                continue
            self._delete(broken, step)
            return state, iterator
        if broken:
            listing = "; ".join(f"{step} ({reason})" for step, reason in broken.items())
            raise ValueError(
                f"no checkpoint in {self.folder} can be read: {listing}. "
                "Delete that folder to start from the beginning"
            )
        return None

    def _read_iterator(self, step: int) -> dict[str, Any]:
        args = ocp.args.Composite(iterator=ocp.args.JsonRestore())
        iterator = self._manager.restore(step, args=args)["iterator"]
        if not isinstance(iterator, dict):
            raise OSError("the loader's place is missing")
        return iterator

    def _delete(self, broken: Mapping[int, str], good: int) -> None:
        for step, reason in broken.items():
            _log.warning(
                "checkpoint %s cannot be read (%s); it is deleted and step %d is used",
                self.folder / str(step),
                reason,
                good,
            )
            if jax.process_index() == 0:
                shutil.rmtree(self.folder / str(step), ignore_errors=True)
        if broken:
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("jaxseg: broken checkpoints deleted")
            self._manager.reload()


def _manager(folder: pathlib.Path, keep: int | None, read_only: bool = False) -> Any:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=not read_only,
        read_only=read_only,
        cleanup_tmp_directories=not read_only,
        enable_async_checkpointing=not read_only,
    )
    # The handlers are named, since without them a new manager cannot read the metadata of a step.
    handlers = {"state": ocp.StandardCheckpointHandler(), "iterator": ocp.JsonCheckpointHandler()}
    return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


def _metadata(manager: Any, step: int) -> dict[str, Any]:
    """The tree of the saved state, with shape and dtype at its leaves."""
    metadata = manager.item_metadata(step)["state"]
    tree = getattr(metadata, "tree", metadata)
    if not tree:
        raise OSError("it holds no state")
    return tree


def restore_variables(
    folder: pathlib.Path | str, *, step: int | None = None
) -> tuple[dict[str, Any], int]:
    """What evaluation needs of a checkpoint, as NumPy arrays on the host.

    Args:
      folder: the `checkpoints` folder of a run, or the run folder.
      step: which one; without it, the newest that can be read.

    Returns:
      {"params", "batch_stats"} and, where an average was kept, "ema": again
      {"params", "batch_stats"}; and the step. The optimiser's state is not read.

    Raises:
      FileNotFoundError: no checkpoint, or not this step.
      ValueError: none can be read.
    """
    folder = pathlib.Path(folder).absolute()
    if (folder / "checkpoints").is_dir():
        folder = folder / "checkpoints"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: no run has saved a checkpoint there")
    with contextlib.closing(_manager(folder, None, read_only=True)) as manager:
        steps = sorted(manager.all_steps(), reverse=True)
        if not steps:
            raise FileNotFoundError(f"{folder} holds no checkpoint yet")
        if step is not None and step not in steps:
            raise FileNotFoundError(f"{folder} has no step {step}; it has {sorted(steps)}")
        reasons = []
        for candidate in steps if step is None else [step]:
            try:
                return _read_variables(manager, folder, candidate), candidate
            except Exception as error:
                reasons.append(f"step {candidate} cannot be read ({_reason(error)})")
                _log.warning("checkpoint %s: %s", folder, reasons[-1])
    raise ValueError(f"{folder}: {'; '.join(reasons)}; train again, or name --weights=FILE")


def _read_variables(manager: Any, folder: pathlib.Path, step: int) -> dict[str, Any]:
    saved = _metadata(manager, step)
    wanted = {name: saved[name] for name in ("params", "batch_stats", "ema") if saved.get(name)}
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted)
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    args = ocp.args.PyTreeRestore(item=shapes, restore_args=as_numpy, partial_restore=True)
    with ocp.PyTreeCheckpointer() as reader:
        read = reader.restore(folder / str(step) / "state", args=args)
    return {"batch_stats": {}} | read
