"""Intervals of mIoU over the images of a set, by resampling them, and of differences of mIoU."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num

from jaxseg.metrics import class_counts, mean_iou
from jaxseg.metrics.intervals import Interval, check_level

_OfClasses = Num[np.ndarray, "n k"]
# The counts of each of N images; see `bootstrap_miou`.
Counts = Num[np.ndarray, "n k k"] | tuple[_OfClasses, _OfClasses, _OfClasses]

_DRAWS = 4_000_000  # image weights in memory at a time
_EXACT = 2**53  # integers below it, and sums below it, are exact in float64


def bootstrap_miou(
    confusions: Counts,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    absent: str = "skip",
) -> Interval:
    """mIoU of a set with its percentile interval over resampled images.

    Each resample draws N of the N images with replacement, adds their confusion matrices and
    computes the mIoU of the sum, like the mIoU of the set (Efron and Tibshirani, An Introduction to
    the Bootstrap, 1993, section 13.3). Images are resampled rather than pixels, since the pixels of
    an image are correlated. So are the frames of a video, which are treated as independent here:
    their interval is too narrow. If a class of the set's truth is in no image of a resample, it
    counts as absent from both maps there; otherwise, depending on the draw, predictions of it in
    other images would count as an IoU of 0. Resamples without a valid pixel have no mIoU and are
    left out.

    Args:
      confusions: integers [N, K, K], one confusion matrix per image, for N >= 2 images; or the
        tuple (hits, truth, predicted) of `metrics.class_counts`, each [N, K].
      level: the confidence level.
      resamples: the number of resamples.
      seed: of the draws.
      absent: the rule for absent classes; see `metrics.mean_iou`.

    Raises:
      ValueError: `confusions` are not counts or have another shape; `level` is outside (0, 1).

    Examples:
      >>> images = np.random.default_rng(0).integers(1, 50, (20, 2, 2))
      >>> found = bootstrap_miou(images)
      >>> found.low < found.estimate < found.high
      True
    """
    parts = _parts(confusions)
    estimate = _miou(parts.sum(axis=0), absent)
    values = _resampled([parts], resamples, seed, absent)[0]
    return percentiles(float(estimate), values, level)


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

    Every resample uses the same images of both, so the difficulty of an image cancels out: two runs
    can differ significantly although their separate intervals overlap.

    Args:
      first: integers [N, K, K]; see `bootstrap_miou`.
      second: integers [N, K, K], with the same image as `first` in each row.
      level: the confidence level.
      resamples: the number of resamples.
      seed: of the draws.
      absent: the rule for absent classes; see `metrics.mean_iou`.

    Raises:
      ValueError: as for `bootstrap_miou`; the images are not the same, because the pixels of a
        class in the truth differ, with the first such row.

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
    """Mean mIoU of the runs of `second` minus that of `first`, with resamples shared by all runs.

    It compares two recipes that were trained with several seeds each. As in `paired_difference`,
    the interval is over images only, for fixed weights.

    Args:
      first: integers [N, K, K] of each run; see `bootstrap_miou`.
      second: integers [N, K, K] of each run, with the same image as `first` in each row.
      level: the confidence level.
      resamples: the number of resamples.
      seed: of the draws.
      absent: the rule for absent classes; see `metrics.mean_iou`.

    Raises:
      ValueError: as for `paired_difference`; one side has no run.

    Examples:
      >>> first, second = (np.tile([[n, 9 - n], [9 - n, n]], (20, 1, 1)) for n in (5, 6))
      >>> difference = paired_mean_difference([first, first], [second])
      >>> round(difference.estimate, 3)
      0.115
    """
    if not first or not second:
        raise ValueError("a difference of means needs at least one run on both sides")
    runs = [_parts(counts) for counts in (*first, *second)]
    for run in runs[1:]:
        _check_same_images(runs[0], run)
    means = _difference_of_means(np.array([_miou(run.sum(axis=0), absent) for run in runs]), first)
    values = _difference_of_means(_resampled(runs, resamples, seed, absent), first)
    return percentiles(float(means), values, level)


def _difference_of_means(values: np.ndarray, first: Sequence[Counts]) -> np.ndarray:
    """Returns the mean over the runs after those of `first`, minus the mean over `first`."""
    return values[len(first) :].mean(axis=0) - values[: len(first)].mean(axis=0)


def _check_same_images(one: np.ndarray, other: np.ndarray) -> None:
    images, classes = one.shape[0], one.shape[2]
    if one.shape != other.shape:
        raise ValueError(
            f"confusions must be of the same images: {images} images with {classes} classes "
            f"against {other.shape[0]} with {other.shape[2]}"
        )
    truths = one[:, 1] != other[:, 1]
    if truths.any():
        raise ValueError(
            "confusions must be of the same images: the pixels of the truth differ in row "
            f"{int(truths.any(axis=1).argmax())}"
        )


def _parts(confusions: Counts) -> np.ndarray:
    """Returns hits, truth and predicted of each image, which determine mIoU, float64 [N, 3, K]."""
    whole = isinstance(confusions, np.ndarray)
    counts = confusions if isinstance(confusions, np.ndarray) else np.stack(confusions, axis=1)
    square = counts.ndim == 3 and counts.shape[1] == (counts.shape[2] if whole else 3)
    if not square or len(counts) < 2:
        wanted = "[N, K, K], one matrix per image" if whole else "3 times [N, K]"
        raise ValueError(
            f"confusions {list(counts.shape)}: must be {wanted}, for at least two images"
        )
    if not np.issubdtype(counts.dtype, np.integer) or counts.min(initial=0) < 0:
        raise ValueError(f"confusions of {counts.dtype}: must be integers that are not negative")
    parts = np.stack(class_counts(counts), axis=1) if whole else counts
    if len(parts) * int(parts.max(initial=0)) >= _EXACT:
        raise ValueError("confusions: more pixels than float64 can add exactly (2^53)")
    return parts.astype(np.float64)


def _miou(parts: np.ndarray, absent: str) -> np.ndarray:
    """Returns the mIoU of counts [..., 3, K]."""
    hits, truth, predicted = np.moveaxis(parts, -2, 0)
    return np.asarray(mean_iou(hits, truth, predicted, absent=absent))


def _resampled(runs: list[np.ndarray], resamples: int, seed: int, absent: str) -> np.ndarray:
    """mIoU of each run [N, 3, K] on the same resamples, float64 [runs, resamples].

    With the number of draws of each image (multinomially distributed) as weights, the sums of all
    resamples are one matrix product, [R, N] @ [N, 3 K], which is exact for integers.
    """
    if resamples < 1:
        raise ValueError(f"resamples {resamples}: must be at least 1")
    rng = np.random.default_rng(seed)
    images = len(runs[0])
    wholes = [run[:, 1].sum(axis=0) > 0 for run in runs]
    at_once = max(1, _DRAWS // images)
    values = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        weights = times_drawn(rng, rows, images).astype(np.float64)
        sums = [(weights @ run.reshape(images, -1)).reshape(-1, *run.shape[1:]) for run in runs]
        values.append(
            [
                _miou(_without_missed(parts, found), absent)
                for parts, found in zip(sums, wholes, strict=True)
            ]
        )
    return np.concatenate(values, axis=1)


def times_drawn(rng: np.random.Generator, resamples: int, images: int) -> np.ndarray:
    """How often each image is drawn, int64 [resamples, images]; each row adds up to `images`.

    Examples:
      >>> times_drawn(np.random.default_rng(0), resamples=3, images=4).sum(axis=1)
      array([4, 4, 4])
    """
    drawn = rng.integers(images, size=(resamples, images))
    drawn += images * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * images).reshape(resamples, images)


def _without_missed(parts: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Zeroes, in resamples [R, 3, K], the classes of the set's truth that a resample lacks."""
    missed = found & (parts[:, 1] == 0)
    return np.where(missed[:, None], 0, parts)


def percentiles(estimate: float, values: np.ndarray, level: float) -> Interval:
    """The middle `level` of the values of the resamples; those without one (nan) are left out.

    Examples:
      >>> found = percentiles(0.5, np.array([0.0, 0.25, 0.5, 0.75, 1.0, np.nan]), level=0.5)
      >>> found.low, found.high
      (0.25, 0.75)
    """
    check_level(level)
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(estimate, float("nan"), float("nan"), level)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)
