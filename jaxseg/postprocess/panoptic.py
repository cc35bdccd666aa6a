"""Joins objects and classes of pixels to segments that do not overlap (panoptic segmentation)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Integer

THINGS = 0  # the class of the semantic branch that all things have together
# Detectron2's defaults (config/defaults.py).
SCORE = 0.5  # from which on detections become segments
STUFF_AREA = 4096  # pixels of the smallest segment of stuff


class Panoptic(NamedTuple):
    """The segments of an image; `metrics.panoptic` counts them."""

    ids: Int32[np.ndarray, "h w"]  # from 1; 0 outside all segments
    categories: dict[int, int]  # segment -> category: K things first, then stuff


def merged(
    masks: Iterable[np.ndarray],
    classes: Iterable[int],
    scores: Iterable[float],
    semantic: Integer[np.ndarray, "h w"],
    things: int,
    *,
    score: float = SCORE,
    overlap: float = 0.5,
    stuff_area: int = STUFF_AREA,
) -> Panoptic:
    """Things by descending score, then stuff where no thing is (1901.02446, section 4).

    The rules and thresholds are those of detectron2 (modeling/meta_arch/panoptic_fpn.py,
    combine_semantic_and_instance_outputs), after the authors' panopticapi. A thing is left out if
    more than `overlap` of its mask is covered by better ones, and otherwise loses these pixels.
    Stuff has one segment for each class, without regions that are smaller than `stuff_area`.

    Args:
      masks: of the detections by descending score, [H, W], non-zero inside.
      classes: of each, 1 to K.
      scores: of each; detections below `score` are left out.
      semantic: the class of each pixel: `THINGS`, or 1, 2, ... for stuff.
      things: K.
      score: the least score.
      overlap: the largest share that may be covered.
      stuff_area: pixels.

    Returns:
      The segments; the category of a thing is its class - 1, of stuff K + its class - 1.
    """
    ids = np.zeros(semantic.shape, np.int32)
    categories: dict[int, int] = {}
    for mask, kind, value in zip(masks, classes, scores, strict=True):
        if value < score:
            break
        inside = mask != 0
        area, free = np.count_nonzero(inside), inside & (ids == 0)
        if area == 0 or (area - np.count_nonzero(free)) / area > overlap:
            continue
        categories[len(categories) + 1] = int(kind) - 1
        np.copyto(ids, len(categories), where=free)
    for kind in np.unique(semantic).tolist():
        region = (semantic == kind) & (ids == 0)
        if kind == THINGS or not region.any() or region.sum() < stuff_area:
            continue
        categories[len(categories) + 1] = things + kind - 1
        ids[region] = len(categories)
    return Panoptic(ids, categories)
