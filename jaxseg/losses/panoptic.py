"""The loss of a network that finds things and classifies pixels (Panoptic FPN, 1901.02446)."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Float, Integer

from jaxseg import config
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.detection import detection
from jaxseg.losses.means import masked_mean
from jaxseg.types import IGNORE, Array, ArrayLike, Objects


def panoptic(
    outputs: Mapping[str, Array],
    objects: Objects,
    labels: Integer[ArrayLike, "b h w"],
    settings: config.Detection,
) -> dict[str, Float[Array, ""]]:
    """Section 3: L = instance (L_class + L_box + L_mask) + semantic L_semantic.

    The semantic loss is the mean cross-entropy over labelled pixels. The default weights are those
    of detectron2's configurations for COCO, where the losses of the RPN have the weight 1;
    `settings.instance` multiplies these too, which is the same at 1.

    Args:
      outputs: of `models.panoptic_fpn.PanopticFPN` that was given the objects.
      objects: of the batch, padded.
      labels: of the pixels: 0 for things, 1, 2, ... for stuff, `IGNORE` for void and padding.
      settings: of the detector's loss, with the two weights "instance" and "semantic".

    Returns:
      "loss", the terms of `losses.detection` and "semantic", each unweighted.
    """
    terms = detection(outputs, objects, settings)
    labels = jnp.asarray(labels)
    valid = labels != IGNORE
    pixels = masked_mean(cross_entropy(outputs["logits"], labels, valid), valid)
    loss = settings.instance * terms["loss"] + settings.semantic * pixels
    return {**terms, "semantic": pixels, "loss": loss}
