"""Which object a box answers for, and which boxes a loss sees: one image, static shapes.

Networks sample RoIs by it, losses anchors. Draws are arguments, so a sample is a pure function.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Int8, Int32

from jaxseg.types import Array, ArrayLike

POSITIVE, NEGATIVE, NEITHER = 1, 0, -1


class Matches(NamedTuple):
    """For each box the object of highest IoU, and whether that is enough."""

    objects: Int32[Array, " n"]  # index of the object; 0 where there is none
    kinds: Int8[Array, " n"]  # POSITIVE, NEGATIVE or NEITHER


class Sample(NamedTuple):
    """Slots of a sample, the positives first."""

    indices: Int32[Array, " s"]  # of boxes; 0 in an empty slot
    positive: Bool[Array, " s"]
    valid: Bool[Array, " s"]  # False: an empty slot


def match(
    iou: Float[ArrayLike, "g n"],
    valid: Bool[ArrayLike, " g"],
    low: float,
    high: float,
    *,
    allow_low_quality: bool = False,
) -> Matches:
    """Matches boxes with objects (Faster R-CNN, arXiv 1506.01497, section 3.1.2).

    A box is positive from IoU `high` on, negative below `low`, and neither between them. With
    `allow_low_quality` the boxes of highest IoU with an object, all of them if several tie, are
    positive as well; each keeps the object that itself overlaps most, as in torchvision.

    Departure: an object that overlaps no box gains none; torchvision's ties at 0 make every box
    without an object a positive.

    Args:
      iou: of objects with boxes.
      valid: which objects there are; the others are padding.
      low: see above.
      high: likewise.
      allow_low_quality: likewise.

    Examples:
      >>> iou = np.array([[0.8, 0.4, 0.1], [0.0, 0.35, 0.2]])
      >>> match(iou, np.array([True, True]), 0.3, 0.7).kinds.tolist()
      [1, -1, 0]
      >>> found = match(iou, np.array([True, True]), 0.3, 0.7, allow_low_quality=True)
      >>> found.kinds.tolist(), found.objects.tolist()
      ([1, 1, 0], [0, 0, 1])
    """
    iou = jnp.where(jnp.asarray(valid)[:, None], jnp.asarray(iou), -1)  # [G, N]
    best, objects = jnp.max(iou, axis=0), jnp.argmax(iou, axis=0)
    positive = best >= high
    if allow_low_quality:
        of_object = jnp.max(iou, axis=1, keepdims=True)  # [G, 1]
        positive |= jnp.any((iou == of_object) & (of_object > 0), axis=0)
    kinds = jnp.where(positive, POSITIVE, jnp.where(best < low, NEGATIVE, NEITHER))
    return Matches(objects.astype(jnp.int32), kinds.astype(jnp.int8))


def sample(
    kinds: Int[ArrayLike, " n"],
    draws: Float[ArrayLike, " n"],
    count: int,
    positive_fraction: float,
) -> Sample:
    """Up to `count` boxes at random, at most `positive_fraction` of them positives.

    Positives in the order of their draws, the highest first, then negatives, which fill the places
    that positives leave. So positives are in the first `count * positive_fraction` slots.

    Args:
      kinds: of `Matches`.
      draws: uniform in 0 .. 1, one a box.
      count: of slots.
      positive_fraction: of the slots, rounded down.

    Examples:
      >>> kinds, draws = np.array([1, 0, 1, -1, 0]), np.array([0.2, 0.3, 0.9, 0.1, 0.5])
      >>> found = sample(kinds, draws, 4, 0.25)
      >>> found.indices.tolist(), found.positive.tolist(), found.valid.tolist()
      ([2, 4, 1, 0], [True, False, False, False], [True, True, True, False])
    """
    kinds, draws = jnp.asarray(kinds), jnp.asarray(draws)
    boxes, most = kinds.shape[0], int(count * positive_fraction)
    chosen, there = [], []
    for kind, slots in ((POSITIVE, min(most, boxes)), (NEGATIVE, min(count, boxes))):
        value, index = lax.top_k(jnp.where(kinds == kind, draws, -1), slots)
        empty = count - slots
        chosen.append(jnp.pad(index, (0, empty)))
        there.append(jnp.pad(value >= 0, (0, empty)))
    slot = jnp.arange(count)
    positives = jnp.sum(there[0], dtype=jnp.int32)
    positive = slot < positives
    rest = jnp.maximum(slot - positives, 0)
    valid = positive | there[1][rest]
    indices = jnp.where(positive, chosen[0], chosen[1][rest])
    return Sample(jnp.where(valid, indices, 0).astype(jnp.int32), positive, valid)
