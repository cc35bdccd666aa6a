"""Fills a model's variables from a weight file of another framework, as far as the file goes."""

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
from jaxseg.workdir import data_identity

RGB = 3


def adaptable(experiment: config.Experiment, start: Any, channels: int = RGB) -> adapt.Model:
    """The experiment's model with its start, and a trace at other numbers of classes, channels."""

    def trace(classes: int, channels: int) -> dict[str, Any]:
        model = experiment.model.clone(num_classes=classes) if classes else experiment.model
        return abstract_variables(model, experiment.data.crop_size, channels)

    return adapt.Model(start, trace, getattr(experiment.model, "num_classes", 0), channels)


def random_start(experiment: config.Experiment, channels: int = RGB) -> dict[str, Any]:
    """{"params", "batch_stats"} as a run of the experiment starts with, as NumPy arrays."""

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
    """The experiment's variables, from a weight file as far as it goes.

    Args:
      experiment: its model, and the pixels that it is given.
      path: of a weight file of a known kind.
      start: makes {"params", "batch_stats"} of the model, as arrays, once the file has been read;
        for what it does not hold.
      wishes: what is asked for beside the file.

    Returns:
      The variables as NumPy arrays, and where each leaf comes from.

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
    pixels = experiment.data.normalisation
    return adapt.take_from_file(source, table, model, wishes, file=str(path), pixels=pixels)


def labels_of_head(experiment: config.Experiment, origins: Origins) -> LabelSpec | None:
    """The classes of a model that was filled from a file: those of the experiment's data.

    None where what scores classes is reinitialised, or the data's classes are unknown or of
    another number.
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
