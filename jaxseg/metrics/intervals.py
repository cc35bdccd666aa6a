"""Confidence intervals of a metric, over the images of the set and over training seeds.

The two have different meanings and are never merged. The interval over images estimates how the
metric would vary with other images of the same kind, for fixed weights; the interval over seeds
estimates how it varies between training runs, for fixed images.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval at a confidence level; nan where undefined."""

    estimate: float
    low: float
    high: float
    level: float


def distinguishable(difference: Interval) -> bool:
    """Returns whether the interval of a difference excludes zero; False if it is undefined.

    Examples:
      >>> distinguishable(Interval(estimate=0.02, low=0.01, high=0.03, level=0.95))
      True
    """
    return difference.low > 0 or difference.high < 0


def verdict(difference: Interval) -> str:
    """Returns which of two is better: "first", "second" or "not distinguishable".

    Args:
      difference: second minus first, where higher is better.

    Examples:
      >>> verdict(Interval(estimate=0.02, low=-0.01, high=0.05, level=0.95))
      'not distinguishable'
    """
    if not distinguishable(difference):
        return "not distinguishable"
    return "second" if difference.low > 0 else "first"


def check_level(level: float) -> None:
    """Refuses what is not a probability, with a ValueError.

    Examples:
      >>> check_level(0.95)
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level}: must be between 0 and 1, such as 0.95")
