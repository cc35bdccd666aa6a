"""Panoptic quality: one number for things and stuff (Kirillov et al., CVPR 2019, 1801.00868).

Where the paper leaves something open, the rules are those of the authors' code
(github.com/cocodataset/panopticapi, evaluation.py).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

VOID = 0  # the id of pixels that no segment has


@dataclasses.dataclass(frozen=True)
class Segment:
    """The description of a segment.

    Attributes:
      category: its category.
      crowd: whether it is a group of objects that are not annotated one by one; truth only.
    """

    category: int
    crowd: bool = False


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts for each of K categories, added up over images; PQ is not a mean over images.

    Attributes:
      iou: sum of the IoU of matched segments.
      hits: number of matched segments.
      wrong: number of predicted segments without a match.
      missed: number of true segments without a match.
    """

    iou: np.ndarray
    hits: np.ndarray
    wrong: np.ndarray
    missed: np.ndarray

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.iou + other.iou,
            self.hits + other.hits,
            self.wrong + other.wrong,
            self.missed + other.missed,
        )


@dataclasses.dataclass(frozen=True)
class Quality:
    """PQ = SQ x RQ of each category, nan for absent ones, and the means over the others.

    Attributes:
      pq: panoptic quality, float64 [K].
      sq: segmentation quality, the mean IoU of matched segments.
      rq: recognition quality, the F1 of segments.
    """

    pq: np.ndarray
    sq: np.ndarray
    rq: np.ndarray

    def mean(self, which: Sequence[int] | None = None) -> dict[str, float]:
        """{"PQ", "SQ", "RQ"} over the categories `which`, such as the things; default: all."""
        rows = list(range(len(self.pq))) if which is None else list(which)
        there = [k for k in rows if not math.isnan(self.pq[k])]
        return {
            name: float(values[there].mean()) if there else math.nan
            for name, values in (("PQ", self.pq), ("SQ", self.sq), ("RQ", self.rq))
        }


def count_segments(
    truth: Int[np.ndarray, "h w"],
    truth_segments: Mapping[int, Segment],
    predicted: Int[np.ndarray, "h w"],
    predicted_segments: Mapping[int, Segment],
    categories: int,
) -> Counts:
    """Matches the segments of one image.

    Two segments of the same category match if their IoU is above 0.5; a segment has at most one
    such partner (section 4.1). Pixels that are void in the truth are not part of the union. A crowd
    is never matched or missed. An unmatched predicted segment is not an error if more than half of
    it is void or a crowd of its own category in the truth (section 4.1, void and group labels).

    Args:
      truth: ids of segments, `VOID` where there is none.
      truth_segments: the segment of each id in `truth`.
      predicted: ids of segments.
      predicted_segments: the segment of each id in `predicted`.
      categories: K; categories are numbered from 0.

    Raises:
      ValueError: an id is in a map but not in its table, or the other way round.

    Examples:
      >>> one = np.array([[1, 1, 1, 2]])
      >>> two = {1: Segment(0), 2: Segment(1)}
      >>> count_segments(one, two, np.array([[1, 1, 2, 2]]), two, 2).iou.round(3).tolist()
      [0.667, 0.0]
    """
    shared = _shared(truth, predicted)
    areas = [
        _areas(shared, 0, truth_segments, "truth"),
        _areas(shared, 1, predicted_segments, "found"),
    ]
    found = Counts(np.zeros(categories), *(np.zeros(categories, np.int64) for _ in range(3)))
    matched: set[int] = set()
    hit: set[int] = set()
    for (one, other), pixels in shared.items():
        if one == VOID or other == VOID or truth_segments[one].crowd:
            continue
        category = truth_segments[one].category
        if predicted_segments[other].category != category:
            continue
        union = areas[0][one] + areas[1][other] - pixels - shared.get((VOID, other), 0)
        if 2 * pixels > union:
            found.hits[category] += 1
            found.iou[category] += pixels / union
            hit.add(one)
            matched.add(other)
    for one, segment in truth_segments.items():
        if one not in hit and not segment.crowd:
            found.missed[segment.category] += 1
    crowds = {segment.category: one for one, segment in truth_segments.items() if segment.crowd}
    for other, segment in predicted_segments.items():
        if other in matched:
            continue
        excused = shared.get((VOID, other), 0)
        if segment.category in crowds:
            excused += shared.get((crowds[segment.category], other), 0)
        if 2 * excused <= areas[1][other]:
            found.wrong[segment.category] += 1
    return found


def quality(counts: Counts) -> Quality:
    """Equation 2: PQ = sum of IoU / (hits + wrong / 2 + missed / 2)."""
    there = counts.hits + counts.wrong + counts.missed > 0
    size = counts.hits + 0.5 * counts.wrong + 0.5 * counts.missed
    size = np.where(there, size, 1.0)
    sq = counts.iou / np.maximum(counts.hits, 1)
    pq, rq = counts.iou / size, counts.hits / size
    return Quality(*(np.where(there, values, np.nan) for values in (pq, sq, rq)))


def _areas(
    shared: Mapping[tuple[int, int], int], which: int, segments: Mapping[int, Segment], whose: str
) -> dict[int, int]:
    """Pixels of each segment of the truth (`which` 0) or of the prediction (1)."""
    areas: dict[int, int] = {}
    for pair, pixels in shared.items():
        areas[pair[which]] = areas.get(pair[which], 0) + pixels
    if odd := sorted((areas.keys() - {VOID}) ^ set(segments)):
        where = "map and not in the table" if odd[0] in areas else "table and not in the map"
        raise ValueError(f"segment {odd[0]} of the {whose} segments is in the {where}")
    return areas


def _shared(truth: np.ndarray, predicted: np.ndarray) -> dict[tuple[int, int], int]:
    """(id in the truth, id in the prediction) -> number of common pixels."""
    width = int(predicted.max(initial=0)) + 1
    keys = truth.ravel().astype(np.int64) * width + predicted.ravel()
    if int(truth.max(initial=0) + 1) * width <= keys.size:  # 20 times faster than sorting
        table = np.bincount(keys)
        found = np.flatnonzero(table)
        counts = table[found]
    else:
        found, counts = np.unique(keys, return_counts=True)
    return {
        divmod(key, width): count
        for key, count in zip(found.tolist(), counts.tolist(), strict=True)
    }
