"""The folder of a converted weight file: a checkpoint at step 0 that a run starts from.

checkpoints/0, config.json, converted.json (the origin of each leaf, the file's sha256), and
labels.json if the classes of its head are known.
"""

import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg import config
from jaxseg.data.labels import LabelSpec
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint, data_identity, files, lock
from jaxseg.workdir.log import write_json

REPORT = "converted.json"  # beside the checkpoint
_BLOCK = 1 << 20  # bytes read at once


def checksum(paths: list[pathlib.Path], advance: Callable[[int], Any]) -> str:
    """sha256 of the files' bytes, one after the other.

    Args:
      paths: of the files.
      advance: called with the number of bytes read since the last call.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                advance(len(block))
    return digest.hexdigest()


def check_new(folder: pathlib.Path) -> None:
    """Raises ValueError, with the reason, if the folder exists or cannot be created."""
    if folder.exists():
        raise ValueError(f"{folder} exists already: delete it or choose another --output")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.absolute().parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written to: {error.strerror}; choose another --output"
        ) from None


def save(
    folder: pathlib.Path,
    experiment: config.Experiment,
    variables: dict[str, Any],
    report: dict[str, Any],
    labels: LabelSpec | None = None,
) -> None:
    """Writes a checkpoint for train.init_from, completely or not at all.

    It is created under another name next to the folder and renamed when complete; leftovers of a
    killed process are removed by the next one.

    config.json allows it to be evaluated like a run.

    Args:
      folder: to be created; must not exist.
      experiment: for config.json.
      variables: {"params", "batch_stats"}.
      report: JSON values, for converted.json.
      labels: the classes, if those of the head are known.

    Raises:
      ValueError: the folder exists, cannot be created or is being written by another process, or
        the disk has too little space.
    """
    check_new(folder)
    _check_room(folder, variables)
    scratch = folder.with_name(f"{folder.name}.incomplete")
    with lock.lock(scratch):
        try:
            _empty(scratch)
            _write(scratch, experiment, variables, report)
            if labels is not None:
                data_identity.write_labels(scratch, labels)
            (scratch / ".lock").unlink()
            scratch.rename(folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


def _check_room(folder: pathlib.Path, variables: dict[str, Any]) -> None:
    """Checks the free space in advance, since tensorstore prints pages of errors on a full disk."""
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
    free = shutil.disk_usage(folder.absolute().parent).free
    if free < needed:
        raise ValueError(
            f"{folder} needs {needed / 1e6:.1f} MB, but only {free / 1e6:.1f} MB are free there: "
            "make room, "
            "or choose another --output"
        )


def _empty(scratch: pathlib.Path) -> None:
    """Removes what a killed process left, so that it does not get into the next checkpoint."""
    for path in scratch.iterdir():
        if path.name == ".lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write(
    folder: pathlib.Path,
    experiment: config.Experiment,
    variables: dict[str, Any],
    report: dict[str, Any],
) -> None:
    params, batch_stats = variables["params"], variables["batch_stats"]
    saved = TrainState(jnp.zeros((), jnp.int32), params, batch_stats, opt_state={})
    with checkpoint.Checkpoints(folder / "checkpoints", 1) as checkpoints:
        checkpoints.save(0, saved, {}, wait=True)
    write_json(folder / "config.json", config.to_dict(experiment))
    write_json(folder / REPORT, report)


def notes(report: pathlib.Path) -> list[str]:
    """The origin of a converted file, or a note that it cannot be read; [] for a run."""
    try:
        summary: Any = files.read_object(report).get("summary")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return [f"{report} cannot be read ({files.why(error)}); it is left out"]
    if not files.list_of(files.is_text)(summary):
        return [f"{report} is damaged; it is left out"]
    return ["it was converted from:", *summary]
