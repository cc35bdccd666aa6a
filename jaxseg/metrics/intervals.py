"""Confidence intervals of a number: over the images of the set, and over training seeds.

The two say different things and are never merged. The interval over images tells how the number
would move had other images of the same kind been taken, the trained weights being what they are;
that over seeds tells how it moves when the training is repeated, the images being what they are.
"""

import dataclasses


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
      difference: of second minus first, higher being better.

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
        raise ValueError(f"level {level}: a probability between 0 and 1, such as 0.95")
