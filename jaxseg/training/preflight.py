"""Checks before training that an experiment can be trained on its data and devices.

All faults are reported at once, before anything is computed, each with the flag that fixes it:
those of the fields (`checks.experiment`), of the data, of the devices and of the network, which is
only traced.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jax.sharding import Mesh

from jaxseg import config
from jaxseg.checks.experiment import examine, refuse
from jaxseg.data import class_sampling, loader
from jaxseg.data.augment import mirrored
from jaxseg.errors import one_line, together
from jaxseg.inference.protocols import process_faults
from jaxseg.runtime.mesh import check_split, make_mesh
from jaxseg.training import class_count, network_preflight

_T = TypeVar("_T")
_LEAST_SEEN = 0.25  # of a crop that must show image, for the largest image at the largest scale


@dataclasses.dataclass(frozen=True)
class Ready:
    """The checked inputs of a training.

    Attributes:
      experiment: with the number of classes of the data filled in.
      train: the split to train on.
      test: the split to evaluate on.
      mesh: from `mesh.make_mesh`.
    """

    experiment: config.Experiment
    train: loader.Source
    test: loader.Source
    mesh: Mesh


def ready(
    experiment: config.Experiment, data: tuple[loader.Source, loader.Source] | None = None
) -> Ready:
    """Opens the data and reports everything that does not fit.

    Args:
      experiment: to be trained.
      data: (training, evaluation) splits, instead of those that experiment.data names.

    Raises:
      ValueError: all faults together.
      FileNotFoundError: the data is not prepared, and there is no other fault.
    """
    faults, usable = examine(experiment, "train")
    if usable is None:
        raise ValueError(together(faults))
    gathered = _Gathered(faults)
    train, test, mesh = _met(gathered, usable, data)
    gathered.refuse()
    assert train is not None
    assert test is not None
    assert mesh is not None
    return Ready(class_count.filled_in(usable, train.labels), train, test, mesh)


def refuse_all(faults: Sequence[str], usable: config.Experiment, mode: str) -> None:
    """Raises known faults together with those that a mode finds in its data and protocol.

    Args:
      faults: already known.
      usable: the experiment with each invalid value replaced by a valid one.
      mode: "train", "evaluate" or "predict".

    Raises:
      ValueError, FileNotFoundError: like `ready`.
    """
    gathered = _Gathered(faults)
    if mode == "train":
        _met(gathered, usable, None)
    else:
        gathered.faults += process_faults(usable.eval)
    if mode == "evaluate":
        data = usable.data
        test = gathered.of(loader.open_split, data.name, data.eval_split, data.data_dir)
        gathered.faults += _of_evaluation(usable, test) if test is not None else []
        given = getattr(usable.model, "num_classes", 0)
        if test is not None and given not in (0, test.labels.num_classes):
            k = test.labels.num_classes
            gathered.faults.append(
                f"the model predicts {given} classes, but {data.name} has {k}: set "
                f"--config.model.num_classes={k}, or use weights that belong to the data set"
            )
    gathered.refuse()


def _met(
    gathered: "_Gathered",
    usable: config.Experiment,
    data: tuple[loader.Source, loader.Source] | None,
) -> tuple[loader.Source | None, loader.Source | None, Mesh | None]:
    """Both splits and the mesh, or None for what is unavailable; gathers all faults."""
    given = usable.data
    train, test = data or (
        gathered.of(loader.open_split, given.name, split, given.data_dir)
        for split in (given.train_split, given.eval_split)
    )
    mesh = gathered.of(make_mesh, usable.train.rows)
    gathered.faults += _faults(usable, train, test, mesh)
    return train, test, mesh


def check(
    experiment: config.Experiment, train: loader.Source, test: loader.Source, mesh: Mesh
) -> None:
    """Raises if settings do not fit the data or the devices; see `ready`.

    Raises:
      ValueError: all faults together.
    """
    refuse(_faults(experiment, train, test, mesh))


class _Gathered:
    """Faults found so far, and the errors among them."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        self._first: ValueError | OSError | None = None

    def of(self, call: Callable[..., _T], *arguments: Any) -> _T | None:
        """The result of a call; None if it raises, in which case the error is recorded once."""
        try:
            return call(*arguments)
        except (ValueError, OSError) as error:
            self._first = self._first or error
            if one_line(error) not in self.faults:
                self.faults.append(one_line(error))
            return None

    def refuse(self) -> None:
        """Raises the faults; a single error is raised as it is."""
        if self._first and len(self.faults) == 1:
            raise self._first
        refuse(self.faults)


def _faults(
    experiment: config.Experiment,
    train: loader.Source | None,
    test: loader.Source | None,
    mesh: Mesh | None,
) -> list[str]:
    """The faults found with data, devices and network; what is None is not checked."""
    data, faults = experiment.data, process_faults(experiment.eval)
    if train is not None:
        faults += _of_split(experiment, train) + _of_weights(experiment.loss, data.name, train)
    if train is not None and test is not None and train.labels != test.labels:
        faults.append(f"{data.name}: {data.train_split} and {data.eval_split} differ in labels")
    if test is not None:
        faults += _of_evaluation(experiment, test)
    if mesh is not None:
        gathered = _Gathered(())
        split = functools.partial(check_split, mesh, accumulate=experiment.train.accumulate)
        gathered.of(split, data.batch_size, data.crop_size[0])
        faults += gathered.faults
    classes = train.labels.num_classes if train is not None else None
    return faults + network_preflight.faults(experiment, classes)


def _of_split(experiment: config.Experiment, train: loader.Source) -> list[str]:
    """Faults of the training split: no images, images too small for the crops, too few classes."""
    data, faults = experiment.data, []
    if len(train) == 0:
        faults.append(f"{data.name}: the split {data.train_split} holds no image")
    if train.labels.num_classes == 1:
        faults.append(
            f"{data.name} has one class, {train.labels.names[0]}: the background must be a class "
            "too, or every prediction is correct. Add a line for it to the class file "
            "(--classes=FILE) and prepare the set with --overwrite"
        )
    most = data.augment.scale_range[1] * _enlarged(data, train.largest)
    high, wide = (math.floor(n * most) for n in train.largest)
    height, width = data.crop_size
    seen = min(high, height) * min(wide, width) / (height * width)
    if len(train) and data.augment.border != "mirror" and seen < _LEAST_SEEN:
        fitting = f"{min(height, max(high, 1))},{min(width, max(wide, 1))}"
        faults.append(
            f"data.crop_size={data.crop_size} is mostly void: the largest image of {data.name} "
            f"{data.train_split} is {high} x {wide} at the largest scale: set "
            f"--config.data.crop_size={fitting}"
        )
    gathered = _Gathered(faults)
    gathered.of(class_sampling.wanted, data.duplicate, train.labels, data.name)
    for field, on in (
        ("data.augment.flip", data.augment.flip),
        ("eval.flip", experiment.eval.flip),
    ):
        gathered.of(mirrored.check, train.labels.names, field, on)
    return gathered.faults


def _enlarged(data: config.Data, size: tuple[int, int]) -> float:
    """The factor by which data.augment.short_side or data.augment.long_side enlarges an image."""
    if data.augment.long_side:
        return data.augment.long_side / max(*size, 1)
    return max(1.0, data.augment.short_side / max(min(size), 1))


def _of_weights(loss: config.Loss, name: str, train: loader.Source) -> list[str]:
    given, k = len(loss.class_weights), train.labels.num_classes
    if given not in (0, k):
        names = ", ".join(train.labels.names[:12]) + (", ..." if k > 12 else "")
        return [
            f"loss.class_weights has {given} numbers, but {name} has {k} classes: set "
            f'--config.loss.class_weights="()" for none, or {k} numbers '
            f"({names}), as "
            f"python -m jaxseg.data.doctor --name={name} prints them"
        ]
    return []


def _of_evaluation(experiment: config.Experiment, test: loader.Source) -> list[str]:
    """Faults that would otherwise only appear at the first evaluation, after many steps."""
    data, protocol, faults = experiment.data, experiment.eval, []
    if len(test) == 0:
        faults.append(f"{data.name}: the split {data.eval_split} holds no image")
    if protocol.examples > len(test) > 0:
        faults.append(
            f"eval.examples={protocol.examples}: {data.name} {data.eval_split} has only "
            f"{len(test)}: "
            "set --config.eval.examples=0 for all"
        )
    return faults
