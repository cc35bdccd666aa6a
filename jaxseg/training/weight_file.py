"""Fills a model's variables from a weight file of another framework, possibly in part."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxseg import config
from jaxseg.data.labels import LabelSpec
from jaxseg.state import abstract_variables
from jaxseg.training.step import init_variables
from jaxseg.weights import adapt, load
from jaxseg.weights.origins import Origins
from jaxseg.weights.place import Wishes
from jaxseg.weights.tables import coco_categories
from jaxseg.workdir import data_identity

RGB = 3


def adaptable(experiment: config.Experiment, start: Any, channels: int = RGB) -> adapt.Model:
    """The model with its start, and a way to trace it with other numbers of classes or channels."""

    def trace(classes: int, channels: int) -> dict[str, Any]:
        model = experiment.model.clone(num_classes=classes) if classes else experiment.model
        return abstract_variables(model, experiment.data.crop_size, channels)

    return adapt.Model(start, trace, getattr(experiment.model, "num_classes", 0), channels)


def random_start(experiment: config.Experiment, channels: int = RGB) -> dict[str, Any]:
    """The random initial {"params", "batch_stats"} of a run, as NumPy arrays."""

    def make() -> dict[str, Any]:
        _, variables = init_variables(experiment, channels)
        return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}

    return jax.tree.map(np.asarray, jax.jit(make)())


def from_file(
    experiment: config.Experiment,
    path: pathlib.Path | str,
    start: Callable[[], Any],
    wishes: Wishes,
) -> tuple[dict[str, Any], Origins]:
    """The experiment's variables, from a weight file as far as possible.

    Args:
      experiment: the model, and the normalisation of its pixels.
      path: a weight file of a supported format.
      start: creates initial {"params", "batch_stats"} of the model, as arrays, after the file has
        been read, for what the file lacks.
      wishes: the options, such as parts to leave out.

    Returns:
      The variables as NumPy arrays, and the origin of each leaf.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it cannot be read, is of an unknown network, or does not fit; all differences are
        listed.
    """
    source = load.read(path)
    try:
        table = load.table_of(source)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    model = adaptable(experiment, start(), wishes.input_channels or RGB)
    table = coco_categories.of_used(source, model.start, table)
    pixels = experiment.data.normalisation
    return adapt.take_from_file(source, table, model, wishes, file=str(path), pixels=pixels)


def labels_of_head(experiment: config.Experiment, origins: Origins) -> LabelSpec | None:
    """The classes of a model that was filled from a file: those of the experiment's data.

    None if the layers that score classes are reinitialised, or the classes of the data are unknown
    or differ in number.
    """
    model = adaptable(experiment, None)
    scoring = model.counts().by_class
    if not scoring or any(path in origins.fresh for path in scoring):
        return None
    try:
        labels = data_identity.labels_of_data(experiment.data)
    except (FileNotFoundError, ValueError):
        return None
    return labels if labels.num_classes == model.classes else None
