"""Losses of two-stage detectors: of the RPN, of boxes and classes, of masks.

Every term is a masked sum over a number of at least 1, so an image without objects, a batch without
a positive RoI and boxes without area give finite losses and gradients.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from jaxseg import config
from jaxseg.layers.boxes import encode, iou
from jaxseg.layers.matching import Matches, Sample, match, sample
from jaxseg.layers.rois import BOX_WEIGHTS
from jaxseg.losses.mask_targets import mask_targets
from jaxseg.types import Array, ArrayLike, Objects

__all__ = ["Matches", "Sample", "detection", "match", "sample", "smooth_l1"]


def smooth_l1(
    prediction: Float[ArrayLike, "*n"], target: Float[ArrayLike, "*n"], beta: float
) -> Float[Array, "*n"]:
    """0.5 d^2 / beta where |d| < beta, else |d| - 0.5 beta (Fast R-CNN, arXiv 1504.08083, eq. 3).

    Args:
      prediction: of any shape.
      target: likewise.
      beta: where the parabola ends; 0: |d| everywhere, as in detectron2.

    Examples:
      >>> print(smooth_l1(np.array([0.5, 3.0]), np.array([0.0, 0.0]), 1.0))
      [0.125 2.5  ]
    """
    distance = jnp.abs(jnp.asarray(prediction) - jnp.asarray(target))
    if beta <= 0:
        return distance
    return jnp.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)


def _sum(values: Array, counted: Array) -> Array:
    """Over the counted ones, whatever the others hold."""
    return jnp.sum(jnp.where(counted, values, 0))


def _mean(values: Array, counted: Array) -> Array:
    number = jnp.maximum(jnp.sum(counted, dtype=jnp.int32), 1)
    return _sum(values, counted) / number.astype(values.dtype)


class _Anchors(NamedTuple):
    """The sampled anchors of one image, [S] each, and what their boxes should become [S, 4]."""

    indices: Array
    positive: Array
    valid: Array
    targets: Array


def _sampled_anchors(
    anchors: Array, boxes: Array, there: Array, draws: Array, settings: config.Detection
) -> _Anchors:
    overlaps = iou(boxes, anchors)  # [G, A]
    found = match(overlaps, there, settings.rpn_low, settings.rpn_high, allow_low_quality=True)
    chosen = sample(found.kinds, draws, settings.rpn_samples, settings.rpn_positive_fraction)
    wanted = boxes[found.objects[chosen.indices]]
    targets = encode(wanted, anchors[chosen.indices])
    return _Anchors(*chosen, targets)


def rpn_terms(
    outputs: Mapping[str, Array], objects: Objects, settings: config.Detection
) -> dict[str, Float[Array, ""]]:
    """Terms "objectness" and "rpn_box" over the sampled anchors (Faster R-CNN, section 3.1.2).

    Args:
      outputs: "rpn_logits" [B, A], "rpn_deltas" [B, A, 4], "anchors" [A, 4], "rpn_draws" [B, A].
      objects: of the batch.
      settings: of the sampling and the losses.
    """
    logits, deltas = outputs["rpn_logits"], outputs["rpn_deltas"]
    anchors = jnp.asarray(outputs["anchors"], deltas.dtype)
    boxes = jnp.asarray(objects.boxes, deltas.dtype)
    sampled = jax.vmap(_sampled_anchors, in_axes=(None, 0, 0, 0, None))(
        anchors, boxes, jnp.asarray(objects.valid), outputs["rpn_draws"], settings
    )
    logits = jnp.take_along_axis(logits, sampled.indices, axis=1)  # [B, S]
    deltas = jnp.take_along_axis(deltas, sampled.indices[..., None], axis=1)  # [B, S, 4]
    each = optax.sigmoid_binary_cross_entropy(logits, sampled.positive.astype(logits.dtype))
    distances = smooth_l1(deltas, sampled.targets, settings.rpn_beta)
    number = jnp.maximum(jnp.sum(sampled.valid, dtype=jnp.int32), 1).astype(logits.dtype)
    if settings.normaliser == "slots":
        number = jnp.asarray(sampled.valid.size, logits.dtype)
    return {
        "objectness": _sum(each, sampled.valid) / number,
        "rpn_box": _sum(distances, sampled.positive[..., None]) / number,
    }


def box_terms(
    outputs: Mapping[str, Array], objects: Objects, settings: config.Detection
) -> dict[str, Float[Array, ""]]:
    """Terms "class" and "box" over the sampled RoIs (Fast R-CNN, section 2.3).

    Args:
      outputs: "class_logits" [B, N, K + 1], "box_deltas" [B, N, K + 1, 4] or [B, N, 1, 4] of boxes
        for any class, "rois", "roi_classes", "roi_matched", "roi_valid".
      objects: of the batch.
      settings: of the losses.
    """
    logits, deltas = outputs["class_logits"], outputs["box_deltas"]
    classes, valid = outputs["roi_classes"], outputs["roi_valid"]
    each = optax.softmax_cross_entropy_with_integer_labels(logits, classes)
    positive = valid & (classes > 0)
    index = classes if deltas.shape[2] > 1 else jnp.zeros_like(classes)
    own = jnp.take_along_axis(deltas, index[:, :, None, None], axis=2)[:, :, 0]  # [B, N, 4]
    boxes = jnp.asarray(objects.boxes, deltas.dtype)
    wanted = jnp.take_along_axis(boxes, outputs["roi_matched"][..., None], axis=1)
    targets = encode(wanted, outputs["rois"].astype(deltas.dtype), BOX_WEIGHTS)
    distances = smooth_l1(own, targets, settings.box_beta)
    number = jnp.maximum(jnp.sum(valid, dtype=jnp.int32), 1).astype(logits.dtype)
    return {
        "class": _mean(each, valid),
        "box": _sum(distances, positive[..., None]) / number,
    }


def mask_term(
    outputs: Mapping[str, Array], objects: Objects, settings: config.Detection
) -> Float[Array, ""]:
    """The mean cross-entropy of a mask's pixels over the positive RoIs (Mask R-CNN, section 3).

    Of "mask_logits" [B, P, M, M, K + 1] the channel of the RoI's class counts alone, in a binary
    cross-entropy; with one channel it is of any class. "mask_softmax_logits" compete over classes
    (Table 2b): the background is class 0 there.
    """
    softmax = "mask_softmax_logits" in outputs
    logits = outputs["mask_softmax_logits" if softmax else "mask_logits"]
    slots, size, channels = logits.shape[1], logits.shape[2], logits.shape[4]
    classes, matched, rois, valid = (
        outputs[name][:, :slots] for name in ("roi_classes", "roi_matched", "rois", "roi_valid")
    )
    positive = valid & (classes > 0)
    targets = mask_targets(
        objects.masks,
        rois,
        matched,
        outputs["sizes"],
        size,
        soft=settings.soft_masks,
        aligned=settings.aligned_masks,
    ).astype(logits.dtype)  # [B, P, M, M]
    index = classes if channels > 1 else jnp.zeros_like(classes)
    if softmax:
        logits = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(logits, index[:, :, None, None, None], axis=4)[..., 0]
    if softmax:
        each = -targets * own - (1 - targets) * logits[..., 0]
    else:
        each = optax.sigmoid_binary_cross_entropy(own, targets)
    counted = jnp.broadcast_to(positive[:, :, None, None], each.shape)
    return _mean(each, counted)


def detection(
    outputs: Mapping[str, Array], objects: Objects, settings: config.Detection
) -> dict[str, Float[Array, ""]]:
    """The loss of a detector's training outputs and its terms, each unweighted.

    Sums go over the batch, as torchvision's do: an image with more sampled RoIs weighs more.

    Args:
      outputs: of a model that was given the objects: see `rpn_terms`, `box_terms`, `mask_term`.
      objects: of the batch, padded.
      settings: weights of the terms and what they need.

    Returns:
      "loss" and those of "objectness", "rpn_box", "class", "box" and "mask" that the model has:
      a network of proposals has the first ones, one of segment proposals "objectness" and "mask".
    """
    terms: dict[str, Array] = {}
    if "rpn_logits" in outputs:
        terms |= rpn_terms(outputs, objects, settings)
    if "window_logits" in outputs:
        wanted = (outputs["roi_classes"] > 0).astype(outputs["window_logits"].dtype)
        each = optax.sigmoid_binary_cross_entropy(outputs["window_logits"], wanted)
        terms["objectness"] = _mean(each, outputs["roi_valid"])
    if "class_logits" in outputs:
        terms |= box_terms(outputs, objects, settings)
    if "mask_logits" in outputs or "mask_softmax_logits" in outputs:
        terms["mask"] = mask_term(outputs, objects, settings)
    weights = {
        "objectness": settings.objectness,
        "rpn_box": settings.rpn_box,
        "class": settings.classes,
        "box": settings.box,
        "mask": settings.mask,
    }
    total = sum((weights[name] * term for name, term in terms.items()), jnp.zeros(()))
    return {"loss": total} | terms
