"""What data and network refuse of a semantic segmentation, found before training."""

import dataclasses
import functools
import math

import jax
import numpy as np

from jaxseg import config, losses
from jaxseg.checks.gathered import Gathered
from jaxseg.data import class_sampling
from jaxseg.data.augment import mirrored
from jaxseg.data.loader import Source
from jaxseg.inference import own_border
from jaxseg.inference.views import at_output_stride
from jaxseg.types import Outputs, Variables

_LEAST_SEEN = 0.25  # of a crop that must show image where the largest image is at its largest


def data_faults(
    experiment: config.Experiment, train: Source | None, test: Source | None
) -> list[str]:
    """Faults of the training split and of the weights of its classes."""
    if train is None:
        return []
    return _of_split(experiment, train) + _of_weights(experiment.loss, experiment.data.name, train)


def _of_split(experiment: config.Experiment, train: Source) -> list[str]:
    """Faults of the training split: images too small for the crops, too few classes."""
    data, faults = experiment.data, list[str]()
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
    gathered = Gathered(faults)
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


def _of_weights(loss: config.Loss, name: str, train: Source) -> list[str]:
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


def network_faults(
    experiment: config.Experiment, outputs: Outputs, variables: Variables, classes: int | None
) -> list[str]:
    """Faults of the number of classes, the borders, the loss and the output strides."""
    refused: list[str] = []
    found = outputs["logits"].shape[-1]
    if classes is not None and classes > 1 and found != classes:
        refused.append(
            f"the model predicts {found} classes, but {experiment.data.name} has {classes}: "
            f"set --config.model.num_classes={classes}"
        )
    refused += protocol_faults(experiment) + _of_loss(experiment.loss, outputs)
    return refused + _of_output_strides(experiment, variables)


def protocol_faults(experiment: config.Experiment) -> list[str]:
    """A margin that is not the border of the network."""
    gathered = Gathered(())
    gathered.of(own_border.within, experiment.model, experiment.eval)
    return gathered.faults


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
