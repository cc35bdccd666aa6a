"""Pixel error and Rand error of the ISBI 2012 challenge on neurons in EM, in NumPy.

Scores are probabilities that a pixel is inside a cell, not on a membrane. The cells of a score map
are its connected components above a threshold; an error is the minimum over thresholds, which are
shared by all slices (http://brainiac2.mit.edu/isbi_challenge/evaluation: "1 - the maximal
F-score").

The third error, the warping error, is in `warping_error`. The challenge later replaced all three by
scores that first thin the borders.

Departure: those later scores are not implemented.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer, Shaped
from scipy import ndimage

THRESHOLDS = tuple(np.arange(1, 20) / 20)


def cells(inside: Bool[np.ndarray, "h w"]) -> Integer[np.ndarray, "h w"]:
    """Numbers the 4-connected components of `inside` from 1; 0 elsewhere.

    Examples:
      >>> print(cells(np.array([[True, True, False, True]])))
      [[1 1 0 2]]
    """
    return ndimage.label(inside)[0]


def rand_counts(
    truth: Shaped[np.ndarray, "h w"], segments: Shaped[np.ndarray, "h w"]
) -> Int64[np.ndarray, "3"]:
    """Counts ordered pairs of pixels in one segment: of both maps, the truth, the segmentation.

    Counts are restricted to the truth's foreground. A pixel forms a pair with itself. Each pixel
    without a segment counts as a separate segment, as in SNEMI3D's adapted Rand error.

    Unsure: whether the challenge's program treats pixels without a segment in this way.

    Args:
      truth: ids; 0 where a pixel is not counted (membrane, void).
      segments: ids; 0 where a pixel belongs to no segment.

    Returns:
      The three counts, which can be added over slices.

    Raises:
      ValueError: the shapes differ.

    Examples:
      >>> print(rand_counts(np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])))
      [ 8  8 16]
    """
    if np.shape(truth) != np.shape(segments):
        raise ValueError(
            f"truth {np.shape(truth)} and segments {np.shape(segments)} must have one shape"
        )
    counted = np.asarray(truth) != 0
    own = np.unique(np.asarray(truth)[counted], return_inverse=True)[1]
    names, other = np.unique(np.asarray(segments)[counted], return_inverse=True)
    held = names[other] != 0
    alone = int(np.sum(~held))
    joint = own[held] * len(names) + other[held]
    pairs = [_squares(joint) + alone, _squares(own), _squares(other[held]) + alone]
    return np.array(pairs, np.int64)


def _squares(ids: np.ndarray) -> int:
    """Sum of the squared sizes of the groups of equal ids."""
    return int(np.sum(np.unique(ids, return_counts=True)[1].astype(np.int64) ** 2))


def rand_f_score(counts: Shaped[np.ndarray, "3"]) -> float:
    """2 P R / (P + R) of `rand_counts`, where P and R are the shares of pairs found in both maps.

    It equals 2 * both / (truth + segmentation), V of Arganda-Carreras et al. (2015) with alpha 1/2,
    which weights both shares equally. It is nan if the truth has no foreground.

    Examples:
      >>> round(rand_f_score(np.array([8, 8, 16])), 3)
      0.667
    """
    both, truth, segmentation = np.asarray(counts, np.float64)
    return float(2 * both / (truth + segmentation)) if truth > 0 else float("nan")


def rand_errors(
    scores: Float[np.ndarray, "n h w"],
    truth: Shaped[np.ndarray, "n h w"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Float64[np.ndarray, " {len(thresholds)}"]:
    """1 - the foreground-restricted Rand F-score at each threshold.

    Args:
      scores: probability of being inside a cell.
      truth: 1 inside a cell, 0 on a membrane, other values where void.
      thresholds: pixels with scores above it are inside.

    Returns:
      The error at each threshold, nan if the truth has no foreground.

    Raises:
      ValueError: the shapes differ or are not [N, H, W].

    Examples:
      >>> truth, scores = np.array([[[1, 0, 1]]]), np.array([[[0.9, 0.6, 0.9]]])
      >>> print(rand_errors(scores, truth, thresholds=(0.5, 0.8)).round(3))
      [0.333 0.   ]
    """
    _check(scores, truth)
    own = [cells(image == 1) for image in truth]
    inside = np.where((truth == 0) | (truth == 1), scores, -np.inf)  # void joins no cells
    scored = []
    for threshold in thresholds:
        found = [cells(image > threshold) for image in inside]
        counts = np.sum([rand_counts(*pair) for pair in zip(own, found, strict=True)], axis=0)
        scored.append(rand_f_score(counts))
    return 1 - np.asarray(scored)


def rand_error(
    scores: Float[np.ndarray, "n h w"],
    truth: Shaped[np.ndarray, "n h w"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> float:
    """The minimum of `rand_errors` over the thresholds; see there for the arguments.

    Examples:
      >>> rand_error(np.array([[[0.9, 0.6, 0.9]]]), np.array([[[1, 0, 1]]]))
      0.0
    """
    return float(rand_errors(scores, truth, thresholds=thresholds).min())


def pixel_errors(
    scores: Float[np.ndarray, "n h w"],
    truth: Shaped[np.ndarray, "n h w"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Float64[np.ndarray, " {len(thresholds)}"]:
    """1 - the F-score of the pixels inside cells at each threshold; see `rand_errors`.

    Unsure: the challenge also mentions the mean squared difference of labels (`squared_error`), and
    does not say which of the two its table contains.

    Returns:
      The error at each threshold, nan if the truth has no foreground.

    Raises:
      ValueError: the shapes differ or are not [N, H, W].

    Examples:
      >>> truth, scores = np.array([[[1, 0, 1]]]), np.array([[[0.9, 0.6, 0.9]]])
      >>> print(pixel_errors(scores, truth, thresholds=(0.5, 0.8)).round(3))
      [0.2 0. ]
    """
    _check(scores, truth)
    valid = (truth == 0) | (truth == 1)
    own, score = truth[valid] == 1, scores[valid]
    if not own.any():
        return np.full(len(thresholds), np.nan)
    both = [2 * np.sum(own & (score > t)) / (own.sum() + np.sum(score > t)) for t in thresholds]
    return 1 - np.asarray(both)


def pixel_error(
    scores: Float[np.ndarray, "n h w"],
    truth: Shaped[np.ndarray, "n h w"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> float:
    """The minimum of `pixel_errors` over the thresholds; see `rand_errors` for the arguments.

    Examples:
      >>> pixel_error(np.array([[[0.9, 0.6, 0.9]]]), np.array([[[1, 0, 1]]]))
      0.0
    """
    return float(pixel_errors(scores, truth, thresholds=thresholds).min())


def squared_error(scores: Float[np.ndarray, "n h w"], truth: Shaped[np.ndarray, "n h w"]) -> float:
    """Mean of (score - truth)^2 over the valid pixels; nan if there are none.

    Raises:
      ValueError: the shapes differ or are not [N, H, W].

    Examples:
      >>> squared_error(np.array([[[0.5, 0.5]]]), np.array([[[1, 255]]]))
      0.25
    """
    _check(scores, truth)
    valid = (truth == 0) | (truth == 1)
    gaps = scores[valid].astype(np.float64) - truth[valid]
    return float(np.mean(gaps**2)) if gaps.size else float("nan")


def _check(scores: np.ndarray, truth: np.ndarray) -> None:
    if np.shape(scores) != np.shape(truth) or np.ndim(scores) != 3:
        raise ValueError(
            f"scores {np.shape(scores)} and truth {np.shape(truth)} must both be [N, H, W]"
        )
