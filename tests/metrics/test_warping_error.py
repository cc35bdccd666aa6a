"""Warping: simple points by definition, constructed splits and mergers, preserved topology."""

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.metrics import warping_error

SIDES = ndimage.generate_binary_structure(2, 1)
SQUARE = np.ones((3, 3), bool)


def touching(inside, structure):
    """Counts the components of a 3x3 patch without its centre that touch the centre."""
    ring = inside.copy()
    ring[1, 1] = False
    names = ndimage.label(ring, structure)[0]
    return len(set(names[structure & ring].tolist()))


def is_simple(patch):
    """Bertrand and Malandain's criterion: one component of each kind around the pixel."""
    return touching(patch, SIDES) == 1 and touching(~patch, SQUARE) == 1


def test_simple_points_agree_with_the_definition():
    for code in range(256):
        patch = np.zeros((3, 3), bool)
        for bit, (y, x) in enumerate(warping_error._AROUND):
            patch[y + 1, x + 1] = code >> bit & 1
        assert warping_error._SIMPLE[code] == is_simple(patch), patch


def warped_plainly(truth, inside, certainty):
    """Warps by trying every pixel that differs, patch by patch."""
    warped = np.pad(truth, 1)
    target = np.pad(inside, 1)
    order = np.argsort(-certainty.ravel(), kind="stable")
    while True:
        before = warped.copy()
        for y, x in zip(*np.unravel_index(order, truth.shape), strict=True):
            if warped[y + 1, x + 1] != target[y + 1, x + 1] and is_simple(
                warped[y : y + 3, x : x + 3]
            ):
                warped[y + 1, x + 1] ^= True
        if (warped == before).all():
            return warped[1:-1, 1:-1]


def pieces(inside):
    """Counts (cells, components of membrane, including the outside of the image)."""
    return ndimage.label(inside, SIDES)[1], ndimage.label(~np.pad(inside, 1), SQUARE)[1]


def test_warping_equals_a_plain_one_and_preserves_the_topology():
    rng = np.random.default_rng(0)
    for share in (0.1, 0.3, 0.5):
        truth = ndimage.gaussian_filter(rng.normal(size=(14, 17)), 1) > 0
        inside = np.where(rng.random(truth.shape) < share, rng.random(truth.shape) < 0.5, truth)
        certainty = rng.integers(0, 3, truth.shape) / 4
        warped = warping_error.warp(truth, inside, certainty)
        np.testing.assert_array_equal(warped, warped_plainly(truth, inside, certainty))
        assert pieces(warped) == pieces(truth)
        assert (warped != truth).sum() > 0
        np.testing.assert_array_equal(warped[warped != truth], inside[warped != truth])


def two_cells(at=6, width=2):
    """Two cells in 12 x 14 pixels, separated by a membrane that begins at a column."""
    truth = np.ones((12, 14), bool)
    truth[:, at : at + width] = False
    return truth


def errors(truth, inside):
    """Pixels of (splits, mergers, others)."""
    warped = warping_error.warp(truth, inside)
    return warping_error.kinds_of_errors(warped, inside).tolist()


@pytest.mark.parametrize(("at", "width"), [(4, 2), (8, 2), (6, 1), (7, 1), (5, 4)])
def test_a_border_shifted_by_its_width_or_of_another_width_costs_nothing(at, width):
    assert errors(two_cells(), two_cells(at, width)) == [0, 0, 0]


def test_a_border_shifted_further_splits_and_merges():
    # Column 5 is cell in both and would become a separate cell: the rest shrinks to one pixel.
    assert errors(two_cells(), two_cells(at=3)) == [2, 12, 0]


def test_cells_are_not_connected_at_corners():
    thin = ~np.eye(12, dtype=bool)
    thick = thin & ~np.eye(12, k=1, dtype=bool)
    assert errors(thin, thick) == errors(thick, thin) == [0, 0, 0]
    gap = thin.copy()
    gap[5, 5] = True
    assert errors(thin, gap) == [0, 1, 0]


def test_splits_mergers_holes_and_cells_by_hand():
    truth = two_cells()
    merged = truth.copy()
    merged[4:7, 6:8] = True  # three rows of a two-pixel border, one pixel of which can be flipped
    assert errors(truth, merged) == [0, 3, 0]
    split = truth.copy()
    split[5:7, :6] = False  # two rows through the left cell, except where its parts stay joined
    assert errors(truth, split) == [2, 0, 0]
    hole = truth.copy()
    hole[5, 10] = False
    assert errors(truth, hole) == errors(hole, truth) == [0, 0, 1]
    alone = truth & (np.arange(14) < 7)
    assert errors(truth, alone) == [0, 0, 1]  # a cell shrinks to its last pixel
    assert errors(alone, truth) == [0, 0, 72]  # and no cell can appear
    assert errors(truth, np.zeros_like(truth)) == [0, 0, 2]  # no cell at all: no split, no merger


def test_a_ring_is_split_where_it_is_wider_than_the_square():
    ring = np.zeros((15, 15), bool)
    ring[1:-1, 1:-1] = True
    ring[3:-3, 3:-3] = False
    cut = ring.copy()
    cut[1:3, 7] = False
    warped = warping_error.warp(ring, cut)
    assert warping_error.kinds_of_errors(warped, cut).tolist() == [0, 0, 1]  # it opens the hole
    assert warping_error.kinds_of_errors(warped, cut, radius=4).tolist() == [1, 0, 0]


def test_the_mask_limits_the_warping():
    truth, far = two_cells(), two_cells(at=2, width=6)
    near = warping_error.near_borders(truth, 2)
    np.testing.assert_array_equal(np.flatnonzero(near[0]), [4, 5, 6, 7, 8, 9])
    warped = warping_error.warp(truth, far, movable=near)
    assert (warped != truth).any()
    np.testing.assert_array_equal(warped[:, :4], truth[:, :4])
    scores, maps = far[None].astype(float), truth[None].astype(int)
    free = warping_error.warping_errors(scores, maps, thresholds=[0.5])
    bound = warping_error.warping_errors(scores, maps, thresholds=[0.5], reach=2)
    np.testing.assert_array_equal(free, [[0, 0]])
    np.testing.assert_allclose(bound[0, 1], 24 / truth.size)  # two columns are out of reach


def test_errors_are_shares_over_slices_at_the_best_threshold():
    truth = np.stack([two_cells(), two_cells()]).astype(int)
    scores = np.where(truth == 1, 0.95, 0.35)
    assert warping_error.warping_error(scores, truth) == 0
    scores[0, 4:7, 6:8] = 0.65  # merged up to a threshold of 0.6
    found = warping_error.warping_errors(scores, truth, thresholds=[0.5, 0.7])
    np.testing.assert_allclose(found, [[3 / truth.size] * 2, [0, 0]])
    scores[:, 5, :6] = 0.45  # and now split above 0.4, with a pixel in each slice
    assert warping_error.warping_error(scores, truth) == 2 / truth.size
    truth[:, :, -2:] = 255
    other = np.where(truth == 255, np.random.default_rng(0).random(truth.shape), scores)
    for maps in (scores, other):
        assert warping_error.warping_error(maps, truth) == 2 / (truth < 2).sum()


@pytest.mark.filterwarnings("error")
def test_nothing_counted_is_nan_and_a_single_kind_has_no_border():
    void = np.full((1, 3, 3), 255)
    assert np.isnan(warping_error.warping_error(np.zeros(void.shape), void))
    assert not warping_error.near_borders(np.ones((3, 3), bool), 2).any()
    assert warping_error.near_borders(np.ones((3, 3), bool), None).all()


@pytest.mark.usefixtures("unchecked")
def test_invalid_input_gives_a_one_line_message():
    flat = np.zeros((2, 2), bool)
    for call, message in [
        (lambda: warping_error.warp(flat, flat[:1]), r"\(2, 2\), \(1, 2\).*one shape \[H, W\]"),
        (lambda: warping_error.warp(flat[0], flat[0]), r"one shape \[H, W\]"),
        (lambda: warping_error.kinds_of_errors(flat, flat[:1]), r"one shape \[H, W\]"),
        (lambda: warping_error.warping_error(flat, flat), r"must both be \[N, H, W\]"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
