"""Confidence intervals of a number: over the images of the set, and over training seeds.

The two say different things and are never merged. The interval over images tells how the number
would move had other images of the same kind been taken, the trained weights being what they are;
that over seeds tells how it moves when the training is repeated, the images being what they are.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Num
from scipy import special

from jaxseg.metrics import class_counts, mean_iou

_OfClasses = Num[np.ndarray, "n k"]
# Of each of N images, see `bootstrap_miou`.
Counts = Num[np.ndarray, "n k k"] | tuple[_OfClasses, _OfClasses, _OfClasses]

_DRAWS = 4_000_000  # counts of images held at a time
_EXACT = 2**53  # whole numbers below it are exact in float64, and so are their sums


@dataclasses.dataclass(frozen=True)
class Interval:
    """A number and where it lies with probability `level`; nan where it is not defined."""

    estimate: float
    low: float
    high: float
    level: float


def distinguishable(difference: Interval) -> bool:
    """Whether the interval of a difference leaves out zero; False where it is not defined.

    Examples:
      >>> distinguishable(Interval(estimate=0.02, low=0.01, high=0.03, level=0.95))
      True
    """
    return difference.low > 0 or difference.high < 0


def verdict(difference: Interval) -> str:
    """Which of two is better, for a table: "first", "second" or "not distinguishable".

    Args:
      difference: of second minus first, higher being better; see `paired_difference`.

    Examples:
      >>> verdict(Interval(estimate=0.02, low=-0.01, high=0.05, level=0.95))
      'not distinguishable'
    """
    if not distinguishable(difference):
        return "not distinguishable"
    return "second" if difference.low > 0 else "first"


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
      >>> round(difference.estimate, 3), verdict(difference)
      (0.095, 'second')
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


def seed_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Mean over seeds and its t-interval: mean +- t(n - 1) s / sqrt(n), s^2 over n - 1 (Student).

    Raises:
      ValueError: fewer than two values, which have no spread; a level outside (0, 1).

    Examples:
      >>> found = seed_interval([0.70, 0.72, 0.74])
      >>> print(f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]")
      0.720 [0.670, 0.770]
    """
    numbers = _numbers(values)
    error = numbers.std(ddof=1) / np.sqrt(numbers.size)
    return _t_interval(float(numbers.mean()), float(error), numbers.size - 1, level)


def seed_difference(
    first: Sequence[float], second: Sequence[float], *, level: float = 0.95
) -> Interval:
    """Mean of `second` minus that of `first` over seeds, by Welch's t-interval (Welch, 1947).

    The seeds of the two are not paired and their spreads may differ.

    Raises:
      ValueError: fewer than two values in either; a level outside (0, 1).

    Examples:
      >>> found = seed_difference([0.70, 0.72, 0.74], [0.75, 0.77, 0.79])
      >>> print(f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]")
      0.050 [0.005, 0.095]
    """
    groups = [_numbers(first), _numbers(second)]
    shares = np.array([group.var(ddof=1) / group.size for group in groups])
    total = shares.sum()
    free = np.array([group.size - 1 for group in groups])
    degrees = total**2 / np.sum(shares**2 / free) if total > 0 else float(free.sum())
    mean = groups[1].mean() - groups[0].mean()
    return _t_interval(float(mean), float(np.sqrt(total)), float(degrees), level)


def _numbers(values: Sequence[float]) -> np.ndarray:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or numbers.size < 2:
        raise ValueError(f"an interval over seeds needs two values or more, not {numbers.size}")
    return numbers


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level}: a probability between 0 and 1, such as 0.95")


def _t_interval(mean: float, error: float, degrees: float, level: float) -> Interval:
    _check_level(level)
    half = float(special.stdtrit(degrees, (1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half, level)


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
    _check_level(level)
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(estimate, float("nan"), float("nan"), level)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)
