import numpy as np
import pytest

from jaxseg.data.readers import coco_masks


def test_whole_pixels_are_filled_up_to_the_far_edge():
    mask = coco_masks.fill_polygon([1, 2, 4, 2, 4, 5, 1, 5], 6, 7)  # corners, not pixel centres
    expected = np.zeros((6, 7), bool)
    expected[2:5, 1:4] = True
    np.testing.assert_array_equal(mask, expected)


def test_polygons_are_cut_at_the_border_and_may_be_empty():
    assert coco_masks.fill_polygon([-9, -9, 99, -9, 99, 99, -9, 99], 6, 7).all()
    assert not coco_masks.fill_polygon([20, 20, 30, 20, 30, 30], 6, 7).any()
    assert not coco_masks.fill_polygon([1, 1, 1, 1], 6, 7).any()


def test_the_order_of_the_corners_does_not_matter():
    corners = np.random.default_rng(0).uniform(0, 40, (9, 2))
    mask = coco_masks.fill_polygon(corners.ravel().tolist(), 40, 40)
    assert mask.any()
    for other in (np.roll(corners, 2, axis=0), corners[::-1]):
        np.testing.assert_array_equal(coco_masks.fill_polygon(other.ravel().tolist(), 40, 40), mask)


def test_runs_go_down_the_columns():
    mask = coco_masks.fill_runs([2, 3, 1], 3, 2)
    np.testing.assert_array_equal(mask, [[0, 1], [0, 1], [1, 0]])


def test_what_is_not_a_region_is_refused():
    for polygon in ([], [1, 2, 3], [[1, 2]], [1, float("nan")]):
        with pytest.raises(ValueError, match="a polygon of"):
            coco_masks.fill_polygon(polygon, 4, 4)
    for runs in ([1, 2], [-1, 7], "0bl"):
        with pytest.raises(ValueError, match="runs"):
            coco_masks.fill_runs(runs, 3, 2)
