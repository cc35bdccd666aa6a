import numpy as np
import pytest
from pycocotools import mask as rle

from jaxseg.data.readers import coco_masks


def test_whole_pixels_are_filled_up_to_the_far_edge():
    mask = coco_masks.fill([[1, 2, 4, 2, 4, 5, 1, 5]], 6, 7)  # corners, not pixel centres
    expected = np.zeros((6, 7), bool)
    expected[2:5, 1:4] = True
    np.testing.assert_array_equal(mask, expected)


def test_polygons_are_cut_at_the_border_and_may_be_empty():
    assert coco_masks.fill([[-9, -9, 99, -9, 99, 99, -9, 99]], 6, 7).all()
    for empty in ([[20, 20, 30, 20, 30, 30]], [[1, 1, 1, 1]], [[1, 1, 5, 5]], [[]], []):
        mask = coco_masks.fill(empty, 6, 7)
        assert mask.shape == (6, 7)
        assert not mask.any()


def test_the_parts_of_an_object_are_joined():
    parts = [[0, 0, 3, 0, 3, 3, 0, 3], [2, 2, 6, 2, 6, 6, 2, 6]]
    joined = coco_masks.fill(parts, 8, 8)
    np.testing.assert_array_equal(
        joined, coco_masks.fill(parts[:1], 8, 8) | coco_masks.fill(parts[1:], 8, 8)
    )
    assert joined.sum() == 9 + 16 - 1


def test_runs_go_down_the_columns():
    expected = np.array([[0, 1], [0, 1], [1, 0]], bool)
    np.testing.assert_array_equal(coco_masks.fill({"counts": [2, 3, 1]}, 3, 2), expected)
    text = rle.encode(np.asfortranarray(expected, np.uint8))["counts"].decode()
    np.testing.assert_array_equal(coco_masks.fill({"counts": text}, 3, 2), expected)


def test_what_is_no_region_is_refused():
    for polygon in ([1, 2, 3], [1, float("nan")], [[1, 2], [3, 4]]):
        with pytest.raises(ValueError, match="a polygon of"):
            coco_masks.fill([polygon], 4, 4)
    for runs in ([1, 2], [-1, 7], None, [0.5, 5.5]):
        with pytest.raises(ValueError, match="runs"):
            coco_masks.fill({"counts": runs}, 3, 2)
    with pytest.raises(ValueError, match=r"runs of \[9, 9\] in an image of 3 x 2"):
        coco_masks.fill({"counts": "0b", "size": [9, 9]}, 3, 2)
    with pytest.raises(ValueError, match="neither polygons nor runs"):
        coco_masks.fill("0bl", 3, 2)
