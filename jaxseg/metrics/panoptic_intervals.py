"""Confidence intervals of panoptic quality over the images of a set.

The counterpart of `ap_intervals`: images are resampled, while their counts stay fixed.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxseg.metrics.image_intervals import percentiles, times_drawn
from jaxseg.metrics.intervals import Interval
from jaxseg.metrics.panoptic import Counts, quality

_DRAWS = 4_000_000  # counts held at a time


def bootstrap_pq(
    counts: Float[np.ndarray, "images k 4"],
    which: Sequence[int],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean PQ of some categories and its percentile interval over resampled images.

    Each resample draws all N images with replacement (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, section 13.3), adds their counts up, and takes the mean over the categories
    that it has.

    Args:
      counts: the fields of `panoptic.Counts` of each image and category.
      which: the categories, such as the things.
      level: probability that the interval should hold.
      resamples: number of resamples.
      seed: of the draws.

    Raises:
      ValueError: there are fewer than two images or no resamples, or the level is outside (0, 1).
    """
    images = len(counts)
    if images < 2:
        raise ValueError(f"an interval over images needs two of them or more, not {images}")
    if resamples < 1:
        raise ValueError(f"resamples {resamples}: one or more")
    flat = counts[:, list(which)].reshape(images, -1)
    estimate = _means(flat.sum(axis=0, keepdims=True))[0]
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWS // max(images, flat.shape[1], 1))
    values = [
        _means(times_drawn(rng, min(at_once, resamples - start), images) @ flat)
        for start in range(0, resamples, at_once)
    ]
    return percentiles(float(estimate), np.concatenate(values), level)


def _means(sums: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " r"]:
    """Mean PQ of each resample from its counts; nan without any category."""
    of_category = sums.reshape(len(sums), -1, 4)
    pq = quality(Counts(*np.moveaxis(of_category, -1, 0))).pq  # [R, K]
    there = ~np.isnan(pq)
    number = there.sum(axis=1)
    means = np.where(there, pq, 0).sum(axis=1) / np.maximum(number, 1)
    return np.where(number > 0, means, np.nan)
