"""Padding by reflection against NumPy's, which also reflects as often as needed."""

import numpy as np
import pytest

from jaxseg.layers.mirror import mirrored, mirrored_pixels


@pytest.mark.parametrize("length", [2, 3, 5, 40])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 2), (7, 30), (92, 186)])
def test_pixels_equal_numpy(length, before, after):
    expected = np.pad(np.arange(length), (before, after), mode="reflect")
    np.testing.assert_array_equal(mirrored_pixels(length, before, after), expected)


def test_a_single_pixel_is_repeated():
    np.testing.assert_array_equal(mirrored_pixels(1, 2, 3), np.zeros(6))


def test_rows_and_columns():
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 2)).astype(np.float32)
    expected = np.pad(x, [(0, 0), (5, 1), (2, 9), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(mirrored(x, (5, 1), (2, 9)), expected)
