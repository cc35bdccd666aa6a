"""Rand and pixel error against counting every pair, and known values."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as judge

from jaxseg.metrics import rand_error


def pairs_by_counting(truth, segments):
    """Counts ordered pairs of foreground pixels; one without a segment only pairs with itself."""
    pixels = [(t, s) for t, s in zip(truth.ravel(), segments.ravel(), strict=True) if t]
    counts = np.zeros(3, int)
    for (i, a), (j, b) in itertools.product(enumerate(pixels), repeat=2):
        own = a[0] == b[0]
        other = i == j or (a[1] == b[1] != 0)
        counts += own and other, own, other
    return counts


def test_rand_counts_equal_counting_every_pair():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, segments = rng.integers(0, 4, (2, 5, 6))
        found = rand_error.rand_counts(truth, segments)
        np.testing.assert_array_equal(found, pairs_by_counting(truth, segments))


def test_rand_counts_equal_scikit_learn_if_all_pixels_have_segments():
    truth, segments = np.random.default_rng(1).integers(1, 5, (2, 20, 20))
    both, own, other = rand_error.rand_counts(truth, segments)
    pairs = judge.cluster.pair_confusion_matrix(truth.ravel(), segments.ravel())
    same = truth.size  # only here, a pixel forms a pair with itself
    assert both == pairs[1, 1] + same
    assert own == pairs[1].sum() + same
    assert other == pairs[:, 1].sum() + same


def two_cells():
    """Two cells separated by a membrane, in one slice."""
    truth = np.ones((1, 6, 9), int)
    truth[:, :, 4] = 0
    return truth


def test_known_values():
    truth = two_cells()
    right = np.where(truth == 1, 0.8, 0.1)
    assert rand_error.rand_error(right, truth) == 0
    assert rand_error.pixel_error(right, truth) == 0
    np.testing.assert_allclose(rand_error.squared_error(right, truth), (48 * 0.04 + 6 * 0.01) / 54)
    merged = right.copy()
    merged[0, 3, 4] = 0.9  # one pixel joins two cells of 24
    np.testing.assert_allclose(rand_error.rand_error(merged, truth), 1 - 2 / 3)
    np.testing.assert_allclose(rand_error.pixel_error(merged, truth), 1 - 96 / 97)
    split = right.copy()
    split[0, :, 1] = 0.1  # 24 into 6, 6 without a segment, and 12
    joint = 24**2 + 6**2 + 6 + 12**2
    expected = 1 - 2 * joint / (joint + 2 * 24**2)
    np.testing.assert_allclose(rand_error.rand_error(split, truth), expected)


def test_one_threshold_is_the_best_for_all_slices():
    truth = np.repeat(two_cells(), 2, axis=0)
    scores = np.where(truth == 1, 0.9, 0.7)
    assert rand_error.rand_error(scores, truth) == 0
    assert rand_error.rand_error(scores, truth, thresholds=[0.5]) > 0.3
    scores[1] -= 0.4  # no threshold fits both slices
    assert rand_error.rand_error(scores, truth) > 0.1
    assert rand_error.rand_error(scores[1:], truth[1:]) == 0


def test_void_has_no_effect():
    truth = two_cells()
    truth[0, 2] = 255
    rng = np.random.default_rng(2)
    scores = rng.random(truth.shape)
    other = np.where(truth == 255, rng.random(truth.shape), scores)
    for error in (rand_error.rand_error, rand_error.pixel_error, rand_error.squared_error):
        assert error(scores, truth) == error(other, truth)


@pytest.mark.filterwarnings("error")
def test_nothing_counted_is_nan():
    void = np.full((1, 3, 3), 255)
    for error in (rand_error.rand_error, rand_error.pixel_error, rand_error.squared_error):
        assert np.isnan(error(np.zeros(void.shape), void))


@pytest.mark.usefixtures("unchecked")
def test_invalid_input_gives_a_one_line_message():
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(2, 3\)"):
        rand_error.rand_counts(np.zeros((2, 2), int), np.zeros((2, 3), int))
    for error in (rand_error.rand_error, rand_error.pixel_error, rand_error.squared_error):
        with pytest.raises(ValueError, match=r"must both be \[N, H, W\]"):
            error(np.zeros((2, 2)), np.zeros((2, 2)))
