"""Formats shares as percentages, for tables, pages and messages."""

import math
from collections.abc import Sequence
from typing import Any

MISSING = "–"


def percent(share: Any, digits: int = 2, sign: str = "", missing: str = MISSING) -> str:
    """0.7231 -> "72.31".

    Args:
      share: between 0 and 1.
      digits: number of decimals.
      sign: "+" writes the sign of a gain as well: "+1.20".
      missing: the text for None and NaN.
    """
    if not isinstance(share, int | float) or math.isnan(share):
        return missing
    return f"{100 * share:{sign}.{digits}f}"


def interval(ends: Sequence[float] | None, digits: int = 1, sign: str = "") -> str:
    """[0.7011, 0.7442] -> "[70.1, 74.4]"; "" for None."""
    return f"[{', '.join(percent(end, digits, sign) for end in ends)}]" if ends else ""
