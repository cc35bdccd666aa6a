"""Reads one step of a run's checkpoints, and tells if it is good, damaged or unreadable."""

import enum
import gc
import logging
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxseg.workdir import checksums
from jaxseg.workdir.checkpoint_faults import check_heads, reason, unreadable_for_now

_Read = TypeVar("_Read")
_log = logging.getLogger(__name__)


class _Outcome(enum.IntEnum):
    """The outcome of reading a step; of several processes, the highest counts."""

    GOOD = 0
    DAMAGED = 1
    FOR_NOW = 2


class Damaged(Exception):
    """A checkpoint is proved not to be what was saved; the message says how."""


def agreed(folder: pathlib.Path, read: Callable[[], _Read]) -> _Read:
    """What `read` returns, if it succeeds in every process.

    Raises:
      Damaged: at least one process has found the checkpoint to be damaged.
      OSError: at least one process cannot read it at the moment.
    """
    outcome, why, result = _Outcome.GOOD, "reported by another process", None
    try:
        result = read()
    except Exception as error:  # Orbax, tensorstore and JSON each raise their own
        for_now = unreadable_for_now(error, folder)
        outcome = _Outcome.FOR_NOW if for_now else _Outcome.DAMAGED
        why = for_now or reason(error)
    if outcome != _Outcome.GOOD:
        gc.collect()  # inside `orbax_noise.dropped`, since Orbax's coroutines complain when freed
    worst = outcome
    if jax.process_count() > 1:
        every = multihost_utils.process_allgather(np.array([int(outcome)], np.int32))
        worst = _Outcome(int(np.max(every)))
    if worst == _Outcome.FOR_NOW:
        raise OSError(
            f"the checkpoint {folder} cannot be read at the moment ({why}). Nothing is deleted, "
            "and no older one is used instead: fix that and run the same command again, or move "
            "that folder away"
        )
    if worst == _Outcome.DAMAGED:
        raise Damaged(why)
    return result  # type: ignore[return-value]


def manager(folder: pathlib.Path, keep: int | None, read_only: bool = False) -> Any:
    """Orbax's manager of a folder of checkpoints; a reader changes nothing in it.

    Raises:
      ValueError: there is a pipe or a device that Orbax would read at once.
    """
    check_heads(folder)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=not read_only,
        read_only=read_only,
        cleanup_tmp_directories=not read_only,
        enable_async_checkpointing=not read_only,
    )
    # Without named handlers, a new manager cannot read the metadata of a step.
    handlers = {
        "state": ocp.StandardCheckpointHandler(),
        "iterator": ocp.JsonCheckpointHandler(),
        "checksums": ocp.JsonCheckpointHandler(),
    }
    return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


def metadata(manager: Any, step: int) -> dict[str, Any]:
    """The tree of the saved state, with shape and dtype at its leaves."""
    metadata = manager.item_metadata(step)["state"]
    tree = getattr(metadata, "tree", metadata)
    if not tree:
        raise OSError("it holds no state")
    return tree


def read_json(manager: Any, step: int, item: str) -> dict[str, Any]:
    """The JSON object that a step stores under this name."""
    args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
    found = manager.restore(step, args=args)[item]
    if not isinstance(found, dict):
        raise ValueError(f"its {item} is missing")
    return found


def read_checksums(manager: Any, step: int, folder: pathlib.Path) -> dict[str, Any] | None:
    """The record of `checksums.record`; None, with a warning, if it was saved without one."""
    if not (folder / "checksums").exists():
        _log.warning("%s was saved by a version without checksums: it is not verified", folder)
        return None
    found = read_json(manager, step, "checksums")
    checksums.check_record(found)
    return found


def verify(folder: pathlib.Path, tree: Any, found: Any, record: Mapping[str, Any] | None) -> None:
    """Raises ValueError if a leaf of the tree is not what was saved.

    Args:
      folder: of the step.
      tree: what was read, with any sharding.
      found: its metadata.
      record: the checksums, or None if there are none.
    """
    if record is None:
        return
    wrong = checksums.differing(tree, record)
    if not wrong and checksums.uncovered(
        tree, record
    ):  # it was saved in larger blocks: read it as a whole
        wrong = checksums.differing(as_numpy(folder, found), record)
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ValueError(f"{wrong[0]}{more} is not what was saved")


def as_numpy(folder: pathlib.Path, wanted: Any) -> Any:
    """The leaves of a step's state that are in `wanted` (a part of its metadata), in NumPy."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted)
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    args = ocp.args.PyTreeRestore(item=shapes, restore_args=as_numpy, partial_restore=True)
    with ocp.PyTreeCheckpointer() as reader:
        return reader.restore(folder / "state", args=args)
