"""Checks by tracing one crop that a network can be trained with its experiment's settings."""

import dataclasses
import itertools
import re

import flax.linen as nn

from jaxseg import config, tasks
from jaxseg.shape_trace import trace_shapes
from jaxseg.training import class_count, optim


def faults(experiment: config.Experiment, classes: int | None) -> list[str]:
    """The faults of a network traced on one crop: its loss, multipliers, output strides.

    Args:
      experiment: to be trained.
      classes: number of classes of the data; None if unknown.
    """
    model = experiment.model
    if class_count.is_open(model):
        model = model.clone(num_classes=classes or 2)
    experiment = dataclasses.replace(experiment, model=model)
    try:
        outputs, variables = trace_shapes(model, experiment.data.crop_size)
    except ValueError as error:
        return [named_field(model, str(error))]
    refused = tasks.of(experiment).network_faults(experiment, outputs, variables, classes)
    multipliers = experiment.optim.multipliers
    return refused + optim.multiplier_faults(variables["params"], multipliers)


def named_field(model: nn.Module, message: str) -> str:
    """Adds the flag of the field that a network's error message is about, if it can be found.

    A field may be named by its path within the model ("decoder.low_level") or in two words ("resize
    convention").
    """
    words = re.findall(r"[\w.]*\w", message)[:12]
    fields = [path for path, _ in config.flatten(model, "model") if not path.endswith(".class")]
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        for name in (f"{word}_{following}", word):
            if paths := [path for path in fields if path.endswith(f".{name}")]:
                return f"{message}: set {', '.join(f'--config.{path}=' for path in paths[:3])}"
    return message
