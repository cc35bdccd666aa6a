"""Boxes of detectors: overlap, anchors, and the coding of one box relative to another.

A box is (x1, y1, x2, y2) in pixels of the canvas; x2 and y2 lie one past its last pixel. Padded
boxes are zeros, and every function is finite for them, as are its gradients.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Num

from jaxseg.types import Array

# The most that a side grows in one step, of logarithms: 1000 / 16 (Detectron's).
_MOST_GROWTH = math.log(1000.0 / 16)
# Pixels of a side, and of an area, up to which there is none: a quotient by less may overflow.
_NOTHING = 1e-6


def area(boxes: Float[Array, "*n 4"]) -> Float[Array, "*n"]:
    """Width times height; 0 for a box that ends before it begins."""
    x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
    # The maximum also keeps the compiler from contracting the product with a sum that follows into
    # one rounding (FMA). `iou` then has the bits that thresholds of other libraries see.
    return jnp.maximum((x2 - x1) * (y2 - y1), 0)


def iou(a: Float[Array, "*b n 4"], b: Float[Array, "*b m 4"]) -> Float[Array, "*b n m"]:
    """Intersection over union of each pair; 0 where the union is empty."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    sides = jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2])
    meet = (sides > 0).all(-1)
    intersection = jnp.where(meet, sides[..., 0] * sides[..., 1], 0)
    union = area(a) + area(b) - intersection
    return intersection / jnp.where(meet & (union > _NOTHING), union, 1)


def clip(boxes: Float[Array, "*n 4"], size: Num[Array, "*m 2"]) -> Float[Array, "*n 4"]:
    """Boxes cut at the border of their image.

    Args:
      boxes: [..., 4].
      size: (height, width) of the image, [2], or [B, 2] for boxes [B, ..., 4].
    """
    size = jnp.asarray(size, boxes.dtype)
    edge = jnp.stack([size[..., 1], size[..., 0]] * 2, axis=-1)
    edge = edge.reshape(*size.shape[:-1], *[1] * (boxes.ndim - size.ndim), 4)
    return jnp.clip(boxes, 0, edge)


def large_enough(boxes: Float[Array, "*n 4"], least: float) -> Bool[Array, "*n"]:
    """Whether both sides have at least `least` pixels."""
    return (boxes[..., 2:] - boxes[..., :2] >= least).all(-1)


def _centre_and_sides(boxes: Array) -> tuple[Array, Array]:
    """[..., 2] each, as (x, y) and (width, height)."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * sides, sides


def encode(
    boxes: Float[Array, "*n 4"],
    anchors: Float[Array, "*n 4"],
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
) -> Float[Array, "*n 4"]:
    """What moves each anchor onto its box: (dx, dy, dw, dh) of R-CNN (arXiv 1311.2524, app. C).

    Args:
      boxes: [..., 4], the aim of each anchor.
      anchors: [..., 4].
      weights: factors of the four numbers; Fast R-CNN's heads use (10, 10, 5, 5).

    Returns:
      [..., 4]; zeros where the box or the anchor has no area.
    """
    (centre, sides), (start, unit) = _centre_and_sides(boxes), _centre_and_sides(anchors)
    whole = ((sides > _NOTHING) & (unit > _NOTHING)).all(-1, keepdims=True)
    sides, unit = jnp.where(whole, sides, 1), jnp.where(whole, unit, 1)
    deltas = jnp.concatenate([(centre - start) / unit, jnp.log(sides / unit)], axis=-1)
    return jnp.where(whole, deltas, 0) * jnp.asarray(weights, boxes.dtype)


def decode(
    deltas: Float[Array, "*n 4"],
    anchors: Float[Array, "*#n 4"],
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
) -> Float[Array, "*n 4"]:
    """The inverse of `encode`; a side becomes at most 1000 / 16 times as long.

    Args:
      deltas: [..., 4].
      anchors: [..., 4], or [..., 1, 4] for several deltas of each anchor.
      weights: those of `encode`.
    """
    centre, sides = _centre_and_sides(anchors)
    deltas = deltas / jnp.asarray(weights, deltas.dtype)
    centre = deltas[..., :2] * sides + centre
    half = 0.5 * jnp.exp(jnp.minimum(deltas[..., 2:], _MOST_GROWTH)) * sides
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def anchors(
    map_size: Sequence[int],
    stride: int | Sequence[int],
    sizes: Sequence[float],
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    *,
    rounded: bool = True,
) -> Float[np.ndarray, "a 4"]:
    """The anchors of a map, in torchvision's order.

    Args:
      map_size: (h, w) of the map.
      stride: pixels of the canvas from one cell to the next, or (rows, columns).
      sizes: square roots of the anchors' areas, in pixels.
      ratios: height over width.
      rounded: to pixels about their centre, as in torchvision; detectron2 and mmdetection do not.

    Returns:
      float32 [h w R, 4] where R = ratios x sizes: row by row, of each cell all ratios of the first,
      of each ratio all sizes. They are centred on the cell's first pixel.
    """
    rows, columns = (stride, stride) if isinstance(stride, int) else stride
    tall = np.sqrt(np.asarray(ratios, np.float32))[:, None]
    size = np.asarray(sizes, np.float32)
    width, height = (size / tall).ravel(), (size * tall).ravel()
    base = np.stack([-width, -height, width, height], axis=1) / 2  # [R, 4]
    base = np.round(base) if rounded else base
    y, x = np.meshgrid(
        np.arange(map_size[0]) * rows, np.arange(map_size[1]) * columns, indexing="ij"
    )
    cells = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
    return (cells + base).reshape(-1, 4).astype(np.float32)


def levels_of(
    rois: Float[Array, "*n 4"], finest: int, coarsest: int, canonical: float = 224.0
) -> Int[Array, "*n"]:
    """The level of a pyramid that each RoI is read from: FPN's equation 1 (arXiv 1612.03144).

    k = floor(4 + log2(sqrt(area) / 224)), so an RoI of 224 x 224 pixels is read from P4. A smaller
    side than 224 reads RoIs from coarser levels, where fewer pixels lie in them.

    Args:
      rois: in pixels of the canvas.
      finest: k of the first map of the pyramid, 2 for P2.
      coarsest: k of the last one.
      canonical: the side of a square that is read from P4.

    Returns:
      k - finest, the place of the level in the list of maps that `roi_align` takes.
    """
    side = jnp.sqrt(jnp.maximum(area(rois), 1e-12))
    # torchvision adds 1e-6 there, so that rounding takes no RoI below its level.
    k = jnp.floor(4 + jnp.log2(side / canonical) + 1e-6)
    return (jnp.clip(k, finest, coarsest) - finest).astype(jnp.int32)
