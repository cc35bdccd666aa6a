"""The rates at which the fast forms of atrous convolution are held against the definition."""

import numpy as np
import pytest

MAPS_END = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    9,
    10,
    11,
    18,
    36,
)  # at and about the sides of the maps, and beyond
_OTHERS = [rate for rate in range(1, 37) if rate not in MAPS_END]

# Every rate up to 36; the fast suite takes those at which something changes.
EVERY_RATE = pytest.mark.parametrize(
    "rates",
    [
        np.array(MAPS_END),
        *(pytest.param(part, marks=pytest.mark.slow) for part in np.array_split(_OTHERS, 2)),
    ],
)
