"""Intervals of mIoU over the images of a set, by resampling them, and of differences of mIoU."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num

from jaxseg.metrics import class_counts, mean_iou
from jaxseg.metrics.intervals import Interval, check_level

_OfClasses = Num[np.ndarray, "n k"]
# Of each of N images, see `bootstrap_miou`.
Counts = Num[np.ndarray, "n k k"] | tuple[_OfClasses, _OfClasses, _OfClasses]

_DRAWS = 4_000_000  # counts of images held at a time
_EXACT = 2**53  # whole numbers below it are exact in float64, and so are their sums


def bootstrap_miou(
    confusions: Counts,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    absent: str = "skip",
) -> Interval:
    """mIoU of a set and its percentile interval over resampled images.

    Each resample draws N of the N images with replacement, adds up their matrices and takes the
    mIoU of the sum, as the set's own number is taken (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, section 13.3). Images are resampled, not pixels: those of one image are alike.
    So are frames of one video, which this takes for independent: their interval is too narrow.
    A class of the set's truth that no drawn image shows is, in that resample, a class without a
    pixel in either map: what is predicted as it elsewhere would count as an IoU of 0, by chance of
    the draw. Resamples without a valid pixel have no mIoU and are left out.

    Args:
      confusions: integers [N, K, K], one confusion matrix an image, of N >= 2 images; or what is
        taken from them, the tuple (hits, truth, predicted) of `metrics.class_counts`, each [N, K].
      level: probability that the interval is to hold.
      resamples: how many.
      seed: of the draws.
      absent: the rule for absent classes, of `metrics.mean_iou`.

    Raises:
      ValueError: confusions that are not counts or have another shape; a level outside (0, 1).

    Examples:
      >>> images = np.random.default_rng(0).integers(1, 50, (20, 2, 2))
      >>> found = bootstrap_miou(images)
      >>> found.low < found.estimate < found.high
      True
    """
    parts = _parts(confusions)
    estimate = _miou(parts.sum(axis=0), absent)
    values = _resampled([parts], resamples, seed, absent)[0]
    return _percentiles(float(estimate), values, level)


def paired_difference(
    first: Counts,
    second: Counts,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    absent: str = "skip",
) -> Interval:
    """mIoU of `second` minus that of `first`, both on the same images in the same order.

    Every resample takes the same images of both, so what is hard about an image cancels out: two
    runs can differ for certain although their own intervals overlap.

    Args:
      first: integers [N, K, K]; see `bootstrap_miou`.
      second: integers [N, K, K], row n of the image of `first`'s row n.
      level: probability that the interval is to hold.
      resamples: how many.
      seed: of the draws.
      absent: the rule for absent classes, of `metrics.mean_iou`.

    Raises:
      ValueError: as `bootstrap_miou`; images that are not the same: their true pixels of each
        class differ, and the first such row is named.

    Examples:
      >>> first = np.tile([[5, 5], [5, 5]], (20, 1, 1))
      >>> difference = paired_difference(first, np.tile([[6, 4], [4, 6]], (20, 1, 1)))
      >>> round(difference.estimate, 3), difference.low > 0
      (0.095, True)
    """
    return paired_mean_difference(
        [first], [second], level=level, resamples=resamples, seed=seed, absent=absent
    )


def paired_mean_difference(
    first: Sequence[Counts],
    second: Sequence[Counts],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    absent: str = "skip",
) -> Interval:
    """Mean mIoU of the runs of `second` minus that of `first`, by the same resampled images of all.

    For two recipes that were trained from several seeds each. As in `paired_difference` the
    interval is over images alone, the trained networks being what they are.

    Args:
      first: integers [N, K, K] of each run; see `bootstrap_miou`.
      second: integers [N, K, K] of each run, row n of the image of `first`'s rows n.
      level: probability that the interval is to hold.
      resamples: how many.
      seed: of the draws.
      absent: the rule for absent classes, of `metrics.mean_iou`.

    Raises:
      ValueError: as `paired_difference`; no run on either side.

    Examples:
      >>> first, second = (np.tile([[n, 9 - n], [9 - n, n]], (20, 1, 1)) for n in (5, 6))
      >>> difference = paired_mean_difference([first, first], [second])
      >>> round(difference.estimate, 3)
      0.115
    """
    if not first or not second:
        raise ValueError("a difference of means needs a run on both sides")
    runs = [_parts(counts) for counts in (*first, *second)]
    for run in runs[1:]:
        _check_same_images(runs[0], run)
    means = _difference_of_means(np.array([_miou(run.sum(axis=0), absent) for run in runs]), first)
    values = _difference_of_means(_resampled(runs, resamples, seed, absent), first)
    return _percentiles(float(means), values, level)


def _difference_of_means(values: np.ndarray, first: Sequence[Counts]) -> np.ndarray:
    """[runs, ...] -> [...]: the mean of those after `first`'s minus the mean of `first`'s."""
    return values[len(first) :].mean(axis=0) - values[: len(first)].mean(axis=0)


def _check_same_images(one: np.ndarray, other: np.ndarray) -> None:
    images, classes = one.shape[0], one.shape[2]
    if one.shape != other.shape:
        raise ValueError(
            f"confusions of the same images: {images} of {classes} classes against "
            f"{other.shape[0]} of {other.shape[2]}"
        )
    truths = one[:, 1] != other[:, 1]
    if truths.any():
        raise ValueError(
            f"confusions of the same images: the truth of row {int(truths.any(axis=1).argmax())} "
            "has other pixels in the one than in the other"
        )


def _parts(confusions: Counts) -> np.ndarray:
    """Hits, truth and predicted of each image, float64 [N, 3, K]: all that mIoU is made of."""
    whole = isinstance(confusions, np.ndarray)
    counts = confusions if isinstance(confusions, np.ndarray) else np.stack(confusions, axis=1)
    square = counts.ndim == 3 and counts.shape[1] == (counts.shape[2] if whole else 3)
    if not square or len(counts) < 2:
        wanted = "[N, K, K], one matrix for each of" if whole else "3 times [N, K], of"
        raise ValueError(f"confusions {list(counts.shape)}: {wanted} two images or more")
    if not np.issubdtype(counts.dtype, np.integer) or counts.min(initial=0) < 0:
        raise ValueError(f"confusions of {counts.dtype}: counts are integers, none below 0")
    parts = np.stack(class_counts(counts), axis=1) if whole else counts
    if len(parts) * int(parts.max(initial=0)) >= _EXACT:
        raise ValueError("confusions: more pixels than float64 adds up exactly (2^53)")
    return parts.astype(np.float64)


def _miou(parts: np.ndarray, absent: str) -> np.ndarray:
    """[..., 3, K] -> [...]."""
    hits, truth, predicted = np.moveaxis(parts, -2, 0)
    return np.asarray(mean_iou(hits, truth, predicted, absent=absent))


def _resampled(runs: list[np.ndarray], resamples: int, seed: int, absent: str) -> np.ndarray:
    """mIoU of each run [N, 3, K] on the same resamples, float64 [runs, resamples].

    With how often each image is drawn (a multinomial distribution) the sums of all resamples are
    one product of matrices, [R, N] @ [N, 3 K]; in whole numbers, hence exact.
    """
    if resamples < 1:
        raise ValueError(f"resamples {resamples}: one or more")
    rng = np.random.default_rng(seed)
    images = len(runs[0])
    wholes = [run[:, 1].sum(axis=0) > 0 for run in runs]
    at_once = max(1, _DRAWS // images)
    values = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images)
        weights = weights.astype(np.float64)
        sums = [(weights @ run.reshape(images, -1)).reshape(-1, *run.shape[1:]) for run in runs]
        values.append(
            [
                _miou(_without_missed(parts, found), absent)
                for parts, found in zip(sums, wholes, strict=True)
            ]
        )
    return np.concatenate(values, axis=1)


def _without_missed(parts: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Resamples [R, 3, K] without the classes that are in the set's truth and not in their own."""
    missed = found & (parts[:, 1] == 0)
    return np.where(missed[:, None], 0, parts)


def _percentiles(estimate: float, values: np.ndarray, level: float) -> Interval:
    check_level(level)
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(estimate, float("nan"), float("nan"), level)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)
