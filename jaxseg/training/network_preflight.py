"""Checks by tracing one crop that a network can be trained with its experiment's settings."""

import dataclasses
import functools
import itertools
import re

import flax.linen as nn
import jax
import numpy as np

from jaxseg import config, losses
from jaxseg.inference import own_border
from jaxseg.inference.views import at_output_stride
from jaxseg.shape_trace import trace_shapes
from jaxseg.training import class_count, optim
from jaxseg.types import Outputs, Variables


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
    refused: list[str] = []
    found = outputs["logits"].shape[-1]
    if classes is not None and classes > 1 and found != classes:
        refused.append(
            f"the model predicts {found} classes, but {experiment.data.name} has {classes}: "
            f"set --config.model.num_classes={classes}"
        )
    try:
        own_border.within(model, experiment.eval)
    except ValueError as error:
        refused.append(str(error))
    refused += _of_loss(experiment.loss, outputs)
    refused += optim.multiplier_faults(variables["params"], experiment.optim.multipliers)
    return refused + _of_output_strides(experiment, variables)


def _of_output_strides(experiment: config.Experiment, variables: Variables) -> list[str]:
    stride, crop = experiment.eval.output_stride, experiment.data.crop_size
    own = getattr(getattr(experiment.model, "backbone", None), "output_stride", 1)
    found = []
    if isinstance(own, int) and min(crop) < own:
        found.append(
            f"data.crop_size={crop} is below the output stride of {own}: set "
            f"--config.data.crop_size={8 * own},{8 * own} or larger"
        )
    if stride in (0, own):
        return found
    images = jax.ShapeDtypeStruct((1, *crop, 3), np.float32)
    try:
        dense = at_output_stride(experiment.model, stride)
        jax.eval_shape(functools.partial(dense.apply, train=False), variables, images)
    except ValueError as error:
        words = str(error) if "eval.output_stride" in str(error) else f"eval.{error}"
        return [*found, f"{words}: set --config.eval.output_stride=0 for that of training"]
    return found


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


def _of_loss(loss: config.Loss, outputs: Outputs) -> list[str]:
    found = []
    if loss.coarse and not losses.coarse_names(outputs):
        found.append(
            f"loss.coarse={loss.coarse} needs a model with coarse logits (DeepLab, PSPNet, ...), "
            "but this one has none: set --config.loss.coarse=0"
        )
    labels = jax.ShapeDtypeStruct(outputs["logits"].shape[:-1], np.uint8)
    open_weights = dataclasses.replace(loss, class_weights=())  # their number is checked elsewhere
    terms = jax.eval_shape(
        functools.partial(losses.segmentation, loss=open_weights), outputs, labels
    )
    if set(terms) == {"loss"}:
        found.append(
            "the loss has no term: give one a weight, for example --config.loss.cross_entropy=1"
        )
    return found
