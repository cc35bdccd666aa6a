"""Confidence intervals of COCO's AP over the images of a set, and of the difference between runs.

The counterpart of `image_intervals`, which is for mIoU: images are resampled, while weights and
matches stay fixed.
"""

from collections.abc import Sequence

import numpy as np

from jaxseg.metrics.image_intervals import percentiles, times_drawn
from jaxseg.metrics.intervals import Interval
from jaxseg.metrics.matching import Matches, average_precision

_DRAWS = 2_000_000  # counts of images held at a time
EVERY = slice(None)  # threshold of IoU: AP
HALF = slice(0, 1)  # IoU .50 alone: AP50


def bootstrap_ap(
    matches: Matches,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    thresholds: slice = EVERY,
) -> Interval:
    """AP of a set and its percentile interval over resampled images.

    Each resample draws all N images with replacement (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, section 13.3) and accumulates AP again.

    Args:
      matches: of `coco.judge`, for at least two images.
      level: probability that the interval should hold.
      resamples: number of resamples.
      seed: of the draws.
      thresholds: of IoU: `EVERY` or `HALF`.

    Raises:
      ValueError: there are fewer than two images or no resamples, or the level is outside (0, 1).
    """
    estimates, values = _resampled([matches], resamples, seed, thresholds)
    return percentiles(float(estimates[0]), values[0], level)


def ap_difference(
    first: Sequence[Matches],
    second: Sequence[Matches],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    thresholds: slice = EVERY,
) -> Interval:
    """Mean AP of the runs in `second` minus that of `first`, with the same resampled images.

    Args:
      first: matches of one run, or of several with different seeds.
      second: like `first`, on the same images.
      level: probability that the interval should hold.
      resamples: number of resamples.
      seed: of the draws.
      thresholds: of IoU: `EVERY` or `HALF`.

    Raises:
      ValueError: as `bootstrap_ap`; or one side has no run, or images or objects differ.
    """
    if not first or not second:
        raise ValueError("a difference of means needs a run on both sides")
    runs = [*first, *second]
    for run in runs[1:]:
        _check_same_objects(runs[0], run)
    estimates, values = _resampled(runs, resamples, seed, thresholds)
    split = len(first)
    mean = estimates[split:].mean() - estimates[:split].mean()
    return percentiles(
        float(mean), values[split:].mean(axis=0) - values[:split].mean(axis=0), level
    )


def _check_same_objects(one: Matches, other: Matches) -> None:
    if not np.array_equal(one.images, other.images):
        raise ValueError(
            f"detections of the same images: {len(one.images)} images against "
            f"{len(other.images)}, or others of the same number"
        )
    if one.truth.shape != other.truth.shape:
        raise ValueError(
            f"detections of the same images: {one.truth.shape[1]} categories against "
            f"{other.truth.shape[1]}"
        )
    differ = (one.truth != other.truth).any(axis=1)
    if differ.any():
        raise ValueError(
            f"detections of the same images: image {int(one.images[differ.argmax()])} has other "
            "objects in the one than in the other"
        )


def _resampled(
    runs: Sequence[Matches], resamples: int, seed: int, thresholds: slice
) -> tuple[np.ndarray, np.ndarray]:
    """AP of each run, float64 [runs], and of each on the same resamples, [runs, resamples]."""
    images = len(runs[0].images)
    if images < 2:
        raise ValueError(f"an interval over images needs two of them or more, not {images}")
    if resamples < 1:
        raise ValueError(f"resamples {resamples}: one or more")
    once = np.ones((1, images), np.int64)
    estimates = np.concatenate([average_precision(run, once, thresholds) for run in runs])
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWS // images)
    values = []
    for start in range(0, resamples, at_once):
        weights = times_drawn(rng, min(at_once, resamples - start), images)
        values.append([average_precision(run, weights, thresholds) for run in runs])
    return estimates, np.concatenate(values, axis=1)
