"""Boundary metrics that are counted: trimap mIoU, boundary IoU, boundary F-score.

All functions count on the device under `jax.jit` and take maps of train ids [B, H, W]. Counts are
integers that can be added over batches; the metrics are computed from their sums on the host.

Void: a pixel whose label or prediction is not in 0..K-1 is not counted and makes no boundary, and
its prediction has no effect. So there is no boundary between regions that are separated by void:
where void outlines every object, as in VOC, use the trimap around "void", or boundary IoU, whose
band extends across it.

Padding: for images that were padded to one size, `sizes` [B, 2] are their heights and widths;
the results then do not depend on the padding. None means that no image was padded.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int32, Integer, Num

from jaxseg.metrics import confusion_matrix
from jaxseg.metrics.boundary_maps import (
    VOID,
    check_ascending,
    edges,
    first_within,
    id_maps,
    near_another,
    squared_diagonals,
    squared_distances,
    squared_distances_in_class,
)
from jaxseg.types import Array, ArrayLike

_TIE = 1 + 1e-6  # so that rounding does not exclude a distance equal to the tolerance


def trimap_confusions(
    labels: Integer[ArrayLike, "b h w"],
    predictions: Integer[ArrayLike, "b h w"],
    num_classes: int,
    widths: Sequence[int],
    *,
    around: str = "classes",
    metric: str = "euclidean",
    sizes: Integer[ArrayLike, "b 2"] | None = None,
) -> Int32[Array, "{len(widths)} {num_classes} {num_classes}"]:
    """Confusion matrices of the pixels near the truth's boundaries, for several widths at once.

    The curve over widths is `metrics.mean_iou(*metrics.class_counts(sums))` (Kohli et al., 2009;
    Kraehenbuehl and Koltun, 2011; the figures of DeepLab v1, v2 and v3+).

    Unsure: no paper states the shape of the dilation; here it is a disk, or with "chessboard" a
    square.

    Args:
      labels: train ids.
      predictions: train ids.
      num_classes: K.
      widths: of the band on either side, in pixels, ascending from 1.
      around: "void" (the band added by dilation of the void label, as in DeepLab v3+) or "classes"
        (width 1 is every pixel adjacent to one of another class).
      metric: of the width; see `squared_distances`.
      sizes: see the docstring of this module.

    Returns:
      One matrix per width; each band includes the narrower ones.

    Raises:
      ValueError: the shapes do not match; `widths` are not ascending integers; `around` or `metric`
        is unknown.

    Examples:
      >>> labels = np.array([[[0, 0, 0, 1, 1, 1]]])
      >>> bands = trimap_confusions(labels, np.roll(labels, -1), 2, widths=(1, 3))
      >>> print(bands.sum(axis=(1, 2)))
      [2 6]
    """
    truth = id_maps(labels, labels, num_classes, sizes)[0]
    check_ascending("widths", widths)
    if any(width != int(width) for width in widths):
        raise ValueError(f"widths {tuple(widths)}: must be whole numbers of pixels")
    if around == "void":
        seeds, limits = truth == VOID, [int(width) for width in widths]
    elif around == "classes":
        seeds, limits = edges(truth, frame=False), [int(width) - 1 for width in widths]
    else:
        raise ValueError(f"around {around!r}: must be void or classes")
    distances = squared_distances(seeds, reach=limits[-1], metric=metric)
    ring = first_within(distances, [limit**2 for limit in limits])

    def of_ring(index: Array) -> Array:
        return confusion_matrix(jnp.where(ring == index, truth, -1), predictions, num_classes)

    return jnp.cumsum(jax.lax.map(of_ring, jnp.arange(len(limits))), axis=0)


def boundary_iou_counts(
    labels: Integer[ArrayLike, "b h w"],
    predictions: Integer[ArrayLike, "b h w"],
    num_classes: int,
    *,
    ratio: float = 0.02,
    distance: int | None = None,
    sizes: Integer[ArrayLike, "b 2"] | None = None,
) -> Int32[Array, "3 {num_classes}"]:
    """Counts pixels of each class in the inner boundaries of both maps, the truth, the prediction.

    Boundary IoU is `metrics.class_iou(*sums)`, the IoU of the parts of the masks removed by an
    erosion by d pixels (Cheng et al., Boundary IoU, arXiv 2103.16562). As in the authors' code, d
    is round(ratio * diagonal) and at least 1, erosion is applied d times with a 3x3 square, and a
    mask that is cut off by the image has a boundary there.

    Args:
      labels: train ids.
      predictions: train ids.
      num_classes: K.
      ratio: of d to the diagonal of the image.
      distance: d in pixels, instead of `ratio`.
      sizes: see the docstring of this module.

    Raises:
      ValueError: the shapes do not match; `ratio` or `distance` is not positive.

    Examples:
      >>> labels = np.zeros((1, 8, 8), int) + (np.arange(8) > 3)
      >>> print(boundary_iou_counts(labels, labels, 2, distance=1)[0])
      [20 20]
    """
    maps = id_maps(labels, predictions, num_classes, sizes)  # [2, B, H, W]
    if distance is not None:
        check_ascending("distance", [distance])
        steps = jnp.full(maps.shape[1], distance)
    else:
        check_ascending("ratio", [ratio])
        diagonals = jnp.sqrt(squared_diagonals(np.shape(labels), sizes))
        steps = jnp.maximum(1, jnp.round(ratio * diagonals))
    boundary = near_another(maps, num_classes, steps.astype(jnp.int32))
    truth, predicted = jnp.where(boundary, maps, num_classes)
    # Pixels off the boundary are class K, so that one matrix contains all three counts.
    counts = confusion_matrix(truth, predicted, num_classes + 1)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    return jnp.stack([jnp.diagonal(counts), rows, columns])[:, :num_classes]


def boundary_f_counts(
    labels: Integer[ArrayLike, "b h w"],
    predictions: Integer[ArrayLike, "b h w"],
    num_classes: int,
    *,
    tolerances: Sequence[float] = (0.0075,),
    unit: str = "diagonal",
    sizes: Integer[ArrayLike, "b 2"] | None = None,
) -> Int32[Array, "b {len(tolerances)} 4 {num_classes}"]:
    """Counts the boundary pixels of each class, and those near a boundary pixel of the other map.

    `f_scores` computes the F-score of Csurka et al. (BMVC 2013) from the counts. The tolerance of
    SegNet (arXiv 1511.00561) is 0.75 % of the diagonal. The boundary pixels of a class are its
    pixels with a 4-neighbour of another class. Neither the edge of the image nor void makes a
    boundary, so VOC's truth has hardly any and its scores are meaningless.

    Unsure: whether SegNet's boundaries include the edge of the image and the border of void.

    Args:
      labels: train ids.
      predictions: train ids.
      num_classes: K.
      tolerances: the largest Euclidean distance of a match, ascending.
      unit: of the tolerances: "diagonal" of the image, or "pixel".
      sizes: see the docstring of this module.

    Returns:
      For each image and tolerance: matched pixels of the truth, all of the truth, matched pixels of
      the prediction, all of the prediction.

    Raises:
      ValueError: the shapes do not match; `tolerances` are not positive and ascending; `unit` is
        unknown.

    Examples:
      >>> labels = np.zeros((1, 8, 8), int) + (np.arange(8) > 3)
      >>> counts = boundary_f_counts(labels, labels, 2, tolerances=(1,), unit="pixel")
      >>> print(f_scores(counts)[0])
      [[1. 1.]]
    """
    maps = id_maps(labels, predictions, num_classes, sizes)  # [2, B, H, W]
    check_ascending("tolerances", tolerances)
    if unit not in ("diagonal", "pixel"):
        raise ValueError(f"unit {unit!r}: must be diagonal or pixel")
    _, batch, height, width = maps.shape
    longest = tolerances[-1] * (math.hypot(height, width) if unit == "diagonal" else 1)
    squares = jnp.square(jnp.asarray(tolerances, jnp.float32))[:, None, None, None]
    if unit == "diagonal":
        squares = squares * squared_diagonals(np.shape(labels), sizes)[:, None, None]
    lines = jnp.where(edges(maps, frame=False), maps, VOID)
    nearest = squared_distances_in_class(lines, lines[::-1], math.floor(longest**2 * _TIE))
    ring = first_within(nearest, list(squares * _TIE))
    cells = max(num_classes, len(tolerances) + 1)

    def of_map(ids: Array, rings: Array) -> Array:
        return confusion_matrix(ids[None], rings[None], cells)[:num_classes]

    flat = (2 * batch, height, width)
    counts = jax.vmap(of_map)(lines.reshape(flat), ring.reshape(flat))  # [2B, K, cells]
    counts = counts.reshape(2, batch, num_classes, cells)
    matched = jnp.cumsum(counts, axis=-1)[..., : len(tolerances)]
    every = jnp.broadcast_to(counts.sum(axis=-1, keepdims=True), matched.shape)
    return jnp.stack([matched[0], every[0], matched[1], every[1]], axis=1).transpose(0, 3, 1, 2)


def f_scores(counts: Num[ArrayLike, "*n 4 k"]) -> Float64[np.ndarray, "*n k"]:
    """F = 2 P R / (P + R) of each class from the counts of `boundary_f_counts`.

    Returns:
      The scores; 0 if only one of truth and prediction has a boundary of the class, nan if neither
      has one.

    Examples:
      >>> counts = np.array([[6, 0], [8, 0], [3, 0], [4, 0]])
      >>> print(f_scores(counts))
      [0.75  nan]
    """
    matched_truth, truth, matched_predicted, predicted = np.moveaxis(
        np.asarray(counts, np.float64), -2, 0
    )
    recall = matched_truth / np.maximum(truth, 1)
    precision = matched_predicted / np.maximum(predicted, 1)
    total = precision + recall
    score = 2 * precision * recall / np.where(total > 0, total, 1)
    return np.where(truth + predicted > 0, score, np.nan)


def mean_f_score(counts: Num[ArrayLike, "n 4 k"]) -> float:
    """SegNet's BF: the mean over the classes of an image, then over images.

    Images without any boundary are left out. Unsure: whether SegNet's mean includes classes that
    are only predicted; here they count as 0.

    Examples:
      >>> counts = np.array([[[6, 8], [8, 8], [3, 8], [4, 8]]])
      >>> mean_f_score(counts)
      0.875
    """
    scores = f_scores(counts)
    scores = scores[~np.isnan(scores).all(axis=1)]
    return float(np.nanmean(scores, axis=1).mean()) if len(scores) else float("nan")
