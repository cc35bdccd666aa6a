"""Checks before training that an experiment can be trained on its data and devices.

All faults are reported at once, before anything is computed, each with the flag that fixes it:
those of the fields (`checks.experiment`), of the data, of the devices and of the network, which is
only traced.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TypeVar

from jax.sharding import Mesh

from jaxseg import config, tasks
from jaxseg.checks.experiment import examine, refuse
from jaxseg.checks.gathered import Gathered
from jaxseg.data import loader
from jaxseg.errors import together
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
    gathered = Gathered(faults)
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
    gathered = Gathered(faults)
    if mode == "train":
        _met(gathered, usable, None)
    else:
        gathered.faults += tasks.of(usable).protocol_faults(usable) + process_faults(usable.eval)
    if mode == "evaluate":
        data = usable.data
        test = gathered.of(tasks.of(usable).open_split, data.name, data.eval_split, data.data_dir)
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
    gathered: "Gathered",
    usable: config.Experiment,
    data: tuple[loader.Source, loader.Source] | None,
) -> tuple[loader.Source | None, loader.Source | None, Mesh | None]:
    """Both splits and the mesh, or None for what is unavailable; gathers all faults."""
    given = usable.data
    train, test = data or (
        gathered.of(tasks.of(usable).open_split, given.name, split, given.data_dir)
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


def _faults(
    experiment: config.Experiment,
    train: loader.Source | None,
    test: loader.Source | None,
    mesh: Mesh | None,
) -> list[str]:
    """The faults found with data, devices and network; what is None is not checked."""
    data, faults = experiment.data, process_faults(experiment.eval)
    faults += tasks.of(experiment).data_faults(experiment, train, test)
    if train is not None and len(train) == 0:
        faults.append(f"{data.name}: the split {data.train_split} holds no image")
    if train is not None and test is not None and train.labels != test.labels:
        faults.append(f"{data.name}: {data.train_split} and {data.eval_split} differ in labels")
    if test is not None:
        faults += _of_evaluation(experiment, test)
    if mesh is not None:
        gathered = Gathered(())
        split = functools.partial(check_split, mesh, accumulate=experiment.train.accumulate)
        gathered.of(split, data.batch_size, data.crop_size[0])
        faults += gathered.faults
    classes = train.labels.num_classes if train is not None else None
    return faults + network_preflight.faults(experiment, classes)


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
