"""Fills in model.num_classes=0 from the data set, for experiments that run on any data set.

The number is filled in when a command starts. A run folder holds it, so it needs the data no more.
"""

import dataclasses

import flax.linen as nn

from jaxseg import config
from jaxseg.data import loader
from jaxseg.data.labels import LabelSpec


def is_open(model: nn.Module) -> bool:
    """Whether the number of classes is left to the data."""
    return getattr(model, "num_classes", None) == 0


def filled_in(experiment: config.Experiment, labels: LabelSpec) -> config.Experiment:
    """The experiment with the number of classes of the data where it leaves it open."""
    if not is_open(experiment.model):
        return experiment
    model = experiment.model.clone(num_classes=labels.num_classes)
    return dataclasses.replace(experiment, model=model)


def of_data(experiment: config.Experiment) -> config.Experiment:
    """As `filled_in`, of the prepared set that the experiment names.

    Raises:
      ValueError, FileNotFoundError: it cannot be opened; the message has the other way.
    """
    data = experiment.data
    if not is_open(experiment.model):
        return experiment
    try:
        return filled_in(
            experiment, loader.open_split(data.name, data.eval_split, data.data_dir).labels
        )
    except (ValueError, OSError) as error:
        raise type(error)(
            f"{error}; or set --config.model.num_classes=K (0 stands for as many as the data has)"
        ) from error
