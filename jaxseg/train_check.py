"""Whether an experiment can be trained as it is set, on this data and these devices."""

import functools

import jax
import numpy as np
from jax.sharding import Mesh

from jaxseg import config, distributed, losses
from jaxseg.data import loader
from jaxseg.inference import check_protocol
from jaxseg.step import init_variables
from jaxseg.types import Outputs


def check(
    experiment: config.Experiment, train: loader.Source, test: loader.Source, mesh: Mesh
) -> None:
    """Refuses, before anything is computed, settings that do not fit the data or the devices.

    Args:
      experiment: what is to be trained.
      train: the split to train on.
      test: the split to evaluate on.
      mesh: of `distributed.make_mesh`.

    Raises:
      ValueError: names the field, and what it must be.
    """
    data, k = experiment.data, train.labels.num_classes
    check_protocol(experiment.eval)
    outputs, _ = jax.eval_shape(functools.partial(init_variables, experiment))
    if outputs["logits"].shape[-1] != k:
        raise ValueError(
            f"the model predicts {outputs['logits'].shape[-1]} classes, {data.name} has {k}: "
            f"set --config.model.num_classes={k}"
        )
    if train.labels != test.labels:
        raise ValueError(f"{data.name}: {data.train_split} and {data.eval_split} differ in labels")
    _check_loss(experiment.loss, outputs, data.name, k)
    if len(train) == 0:
        raise ValueError(f"{data.name}: the split {data.train_split} holds no image")
    for name in ("steps", "log_every", "checkpoint_every"):
        if getattr(experiment.train, name) < 1:
            raise ValueError(f"train.{name}={getattr(experiment.train, name)} must be at least 1")
    if not 0 <= experiment.train.ema_decay < 1:
        raise ValueError(f"train.ema_decay={experiment.train.ema_decay} must be 0 to below 1")
    distributed.check_split(
        mesh, data.batch_size, data.crop_size[0], accumulate=experiment.train.accumulate
    )


def _check_loss(loss: config.Loss, outputs: Outputs, name: str, num_classes: int) -> None:
    if len(loss.class_weights) not in (0, num_classes):
        raise ValueError(
            f"loss.class_weights has {len(loss.class_weights)} numbers, "
            f"{name} has {num_classes} classes"
        )
    if not 0 < loss.hardest <= 1:
        raise ValueError(f"loss.hardest={loss.hardest} must be above 0 and at most 1")
    if loss.hardest < 1 and loss.reduction == "images":
        raise ValueError(f"loss.hardest={loss.hardest} needs loss.reduction=pixels")
    if loss.coarse and not losses.coarse_names(outputs):
        raise ValueError(
            f"loss.coarse={loss.coarse} needs a model with coarse logits (DeepLab, PSPNet, ...), "
            "this one has none: set --config.loss.coarse=0"
        )
    labels = jax.ShapeDtypeStruct(outputs["logits"].shape[:-1], np.uint8)
    terms = jax.eval_shape(functools.partial(losses.segmentation, loss=loss), outputs, labels)
    if set(terms) == {"loss"}:
        raise ValueError(
            "the loss has no term: give one a weight, as --config.loss.cross_entropy=1"
        )
