"""Chooses training examples by the classes that they contain.

The classes of each image are read from the masks once and stored with the prepared set, whose
folder is named after its version and replaced when the set is prepared again.
"""

import concurrent.futures
import contextlib
import dataclasses
import difflib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxseg import whole_file
from jaxseg.data.labels import LabelSpec
from jaxseg.data.source import Source
from jaxseg.ignore import IGNORE
from jaxseg.progress import over


@dataclasses.dataclass(frozen=True)
class Plan:
    """The examples from which the training stream draws.

    Attributes:
      epoch: int64 [M], the examples of one epoch; duplicates are shown twice.
      classes: for each class that occurs, the examples in `epoch` that contain it: a class is
        drawn, and then one of its examples. If empty, epochs are shuffled instead.
    """

    epoch: np.ndarray
    classes: tuple[np.ndarray, ...] = ()


def make_plan(source: Source, *, duplicate: Sequence[str] = (), balance: bool = False) -> Plan:
    """The plan of `config.Data`.

    Args:
      source: a split; its masks are read only if one of the options is on.
      duplicate: classes whose images appear twice per epoch: the bootstrapping of DeepLab v3 (arXiv
        1706.05587, section 4.1, for the test server): bicycle, chair, table, potted plant and sofa
        of PASCAL VOC. An image with several of them also appears twice. The command line passes
        "bicycle,chair" as one text.
      balance: draw an image for each class that occurs with the same probability. RefineNet's
        released code (main/my_epoch_run_config.m) fills each epoch with images until every class
        has had its number. Departure: classes are drawn, so that there are no epochs.

    Raises:
      ValueError: there is no such class, or no image contains it.
    """
    epoch = np.arange(len(source))
    if not duplicate and not balance:
        return Plan(epoch)
    ids = wanted(duplicate, source.labels, source.name)
    held = held_classes(source)
    for train_id in ids:
        if not held[:, train_id].any():
            name = source.labels.names[train_id]
            raise ValueError(f"data.duplicate: no image of {source.name} {source.split} has {name}")
    epoch = np.concatenate([epoch, np.flatnonzero(held[:, ids].any(axis=1))])
    if not balance:
        return Plan(epoch)
    there = np.flatnonzero(held.any(axis=0))
    if not there.size:
        raise ValueError(f"data.balance: no image of {source.name} {source.split} has a class")
    return Plan(epoch, tuple(epoch[held[epoch, train_id]] for train_id in there))


def wanted(duplicate: Sequence[str], labels: LabelSpec, where: str) -> list[int]:
    """The train ids of the classes that `make_plan` duplicates.

    Raises:
      ValueError: names a class that does not exist, and the classes of `where`.
    """
    return [
        _class_id(name, labels, where)
        for given in duplicate
        for name in ([given] if given in labels.names else given.split(","))
    ]


def _class_id(name: str, labels: LabelSpec, where: str) -> int:
    if name in labels.names:
        return labels.names.index(name)
    near = difflib.get_close_matches(name, labels.names, n=2, cutoff=0.5)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise ValueError(
        f"data.duplicate: {where} has no class {name!r}{hint} (known: {', '.join(labels.names)})"
    )


def held_classes(source: Source) -> np.ndarray:
    """The classes in each image, without void: bool [N, K].

    Raises:
      ValueError: names the example whose mask cannot be read, or holds an unknown id.
    """
    path = source.folder / f"classes_{source.split}.npy"
    shape = (len(source), source.labels.num_classes)
    with contextlib.suppress(OSError, ValueError, EOFError, MemoryError):  # absent, or damaged
        kept = np.load(path)
        if kept.dtype == bool and kept.shape == shape:
            return kept

    def row(index: int) -> np.ndarray:
        there = np.bincount(source.label(index).ravel(), minlength=IGNORE + 1)
        return there[: shape[1]] > 0

    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        tasks = [pool.submit(row, index) for index in range(len(source))]
        bar = over(tasks, f"classes of {source.split}")
        held = np.array([task.result() for task in bar], bool).reshape(shape)
    _keep(path, held)
    return held


def _keep(path: pathlib.Path, held: np.ndarray) -> None:
    """Writes the file; does nothing if the folder is not writable."""
    with contextlib.suppress(OSError), whole_file.writing(path) as file:
        np.save(file, held)
