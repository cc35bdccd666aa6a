"""The rates at which the fast forms of atrous convolution are compared with the definition."""

import numpy as np
import pytest

# At the sides of the maps, near them, and far beyond.
CHANGING = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 18, 36)
OTHERS = [rate for rate in range(1, 37) if rate not in CHANGING]

# Every rate up to 36; the fast suite takes those at which something changes.
EVERY_RATE = pytest.mark.parametrize(
    "rates",
    [
        np.array(CHANGING),
        *(pytest.param(part, marks=pytest.mark.slow) for part in np.array_split(OTHERS, 2)),
    ],
)
