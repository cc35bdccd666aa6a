"""Intervals of a mean over training seeds, and of the difference of two, by Student's t."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from jaxseg.metrics.intervals import Interval, check_level


def seed_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Mean over seeds and its Student t-interval: mean +- t(n - 1) s / sqrt(n).

    Here s^2 is the unbiased variance, divided by n - 1.

    Raises:
      ValueError: there are fewer than two values; `level` is outside (0, 1).

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
    """Mean of `second` minus that of `first` over seeds, with Welch's t-interval (Welch, 1947).

    Seeds are not paired, and the two variances may differ.

    Raises:
      ValueError: either has fewer than two values; `level` is outside (0, 1).

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
        raise ValueError(f"an interval over seeds needs at least two values, not {numbers.size}")
    return numbers


def _t_interval(mean: float, error: float, degrees: float, level: float) -> Interval:
    check_level(level)
    half = float(special.stdtrit(degrees, (1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half, level)
