"""Fills in model.num_classes=0 from the data set, for experiments that run on any data set.

The number is filled in when a command starts. A run folder stores it, so it does not need the data.
"""

import dataclasses

import flax.linen as nn

from jaxseg import config
from jaxseg.data.labels import LabelSpec
from jaxseg.data.source import open_any


def is_open(model: nn.Module) -> bool:
    """Whether the number of classes is to be taken from the data."""
    return getattr(model, "num_classes", None) == 0


def filled_in(experiment: config.Experiment, labels: LabelSpec) -> config.Experiment:
    """The experiment with the number of classes of the data filled in, if it is open."""
    if not is_open(experiment.model):
        return experiment
    model = experiment.model.clone(num_classes=labels.num_classes)
    return dataclasses.replace(experiment, model=model)


def of_data(experiment: config.Experiment) -> config.Experiment:
    """Like `filled_in`, from the prepared set that the experiment names.

    Raises:
      ValueError, FileNotFoundError: it cannot be opened; the message names the alternative.
    """
    data = experiment.data
    if not is_open(experiment.model):
        return experiment
    try:
        return filled_in(experiment, open_any(data.name, data.eval_split, data.data_dir).labels)
    except (ValueError, OSError) as error:
        raise type(error)(
            f"{error}; or set --config.model.num_classes=K (0 stands for the number of classes of "
            "the data)"
        ) from error
