"""Detections after COCO's matching, and AP for any weighting of the images.

The object that a detection matches does not depend on other images. So the AP of resampled images
needs no new matching: an image that is drawn twice counts twice.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's; at which the precision is read
_HELD = 4_000_000  # numbers held at a time


@dataclasses.dataclass(frozen=True)
class Matches:
    """Detections after matching, for objects of any size: all that AP depends on.

    Attributes:
      images: the ids of the I images, ascending.
      truth: objects to be found in each image and category; crowds are not counted.
      image: row in `images` of each of the D detections.
      category: column in `truth` of each.
      score: of each.
      matched: whether it matches an object at each of the T IoU thresholds.
      ignored: whether it counts neither as right nor as wrong, because it lies in a crowd.
    """

    images: Int[np.ndarray, " i"]
    truth: Int[np.ndarray, "i k"]
    image: Int[np.ndarray, " d"]
    category: Int[np.ndarray, " d"]
    score: Float[np.ndarray, " d"]
    matched: Bool[np.ndarray, "d t"]
    ignored: Bool[np.ndarray, "d t"]


def of_evaluation(evaluated: Any, areas: int) -> Matches:
    """The matches of pycocotools, for its first range of areas.

    Args:
      evaluated: a COCOeval after `evaluate`.
      areas: the number of its ranges of areas.
    """
    images, categories = evaluated.params.imgIds, evaluated.params.catIds
    none = np.zeros((0, len(evaluated.params.iouThrs)), bool)
    truth = np.zeros((len(images), len(categories)), np.int64)
    places = [np.zeros((0, 2), np.int64)]
    scores, matched, ignored = [np.zeros(0)], [none], [none]
    for k in range(len(categories)):
        start = k * areas * len(images)
        for i, one in enumerate(evaluated.evalImgs[start : start + len(images)]):
            if one is None:
                continue
            truth[i, k] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
            places.append(np.tile([i, k], (len(one["dtScores"]), 1)))
            scores.append(np.asarray(one["dtScores"], np.float64))
            matched.append(one["dtMatches"].T > 0)
            ignored.append(one["dtIgnore"].T.astype(bool))
    image, category = np.concatenate(places).T
    return Matches(
        images=np.asarray(images, np.int64),
        truth=truth,
        image=image,
        category=category,
        score=np.concatenate(scores),
        matched=np.concatenate(matched),
        ignored=np.concatenate(ignored),
    )


def average_precision(
    matches: Matches, weights: Int[np.ndarray, "n i"], thresholds: slice = slice(None)
) -> Float[np.ndarray, " n"]:
    """AP with each image counted a given number of times; nan if there is no object to find.

    Categories without an object in the counted images are left out, as COCO does for the whole set.

    Args:
      matches: of a set.
      weights: how often each image counts, a row for each AP.
      thresholds: the IoU thresholds to average; by default all of them.
    """
    total, defined = np.zeros(len(weights)), np.zeros(len(weights), np.int64)
    for k in range(matches.truth.shape[1]):
        wanted = weights @ matches.truth[:, k]  # [N]
        total += np.where(wanted > 0, _of_category(matches, k, weights, wanted, thresholds), 0)
        defined += wanted > 0
    return np.where(defined > 0, total / np.maximum(defined, 1), np.nan)


def _of_category(
    matches: Matches, category: int, weights: np.ndarray, wanted: np.ndarray, thresholds: slice
) -> np.ndarray:
    """The mean over the thresholds of the AP of one category, [N]."""
    own = np.flatnonzero(matches.category == category)
    own = own[np.argsort(-matches.score[own], kind="stable")]
    matched, ignored = matches.matched[own][:, thresholds], matches.ignored[own][:, thresholds]
    image = matches.image[own]
    result = np.zeros(len(weights))
    at_once = max(1, _HELD // max(1, len(own)))
    for start in range(0, len(weights), at_once):
        rows = slice(start, start + at_once)
        for t in range(matched.shape[1]):
            counted = ~ignored[:, t]
            found = _areas(
                weights[rows][:, image[counted]], matched[counted, t], np.maximum(wanted[rows], 1)
            )
            result[rows] += found / matched.shape[1]
    return result


def _areas(times: np.ndarray, right: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The mean over `RECALLS` of the highest precision at that recall or beyond.

    Args:
      times: how often each of D detections counts, highest score first, [N, D].
      right: whether each matches an object, [D].
      wanted: number of objects, [N].
    """
    hits = np.cumsum(times * right, axis=1)[:, right]  # the recall grows at these alone
    all_of_them = np.cumsum(times, axis=1)[:, right]
    precision = hits / (all_of_them + np.spacing(1))  # as pycocotools, so that none is divided by 0
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(times), 1))], axis=1)  # beyond the last: none
    recall = hits / wanted[:, None]
    places = [np.searchsorted(row, RECALLS, side="left") for row in recall]
    return np.take_along_axis(best, np.array(places), axis=1).mean(axis=1)
