"""Drawing masks on the image: torch's `grid_sample` in NumPy, and what both ways share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.postprocess.paste_masks import CONVENTIONS, paste_mask, paste_masks

WAYS = pytest.mark.parametrize("convention", CONVENTIONS)


def at_pixel_centres(mask, box, size):
    """Each pixel of the image by its four cells, with zeros around the mask."""
    cells = mask.shape[0]
    padded = np.pad(mask, 1)
    x1, y1, x2, y2 = box
    drawn = np.zeros(size)
    for i, j in np.ndindex(*size):
        y, x = (i + 0.5 - y1) / (y2 - y1) * cells - 0.5, (j + 0.5 - x1) / (x2 - x1) * cells - 0.5
        near = y1 - 2 < i < y2 + 1 and x1 - 2 < j < x2 + 1
        if near and -1 < y < cells and -1 < x < cells:
            top, left = int(np.floor(y)), int(np.floor(x))
            part = padded[top + 1 : top + 3, left + 1 : left + 3]
            weights = np.outer([1 - (y - top), y - top], [1 - (x - left), x - left])
            drawn[i, j] = (part * weights).sum()
    return drawn


BOXES = [(3.2, 2.1, 17.9, 11.4), (-4, -6, 9, 30), (5, 5, 6, 7), (-9, -9, 60, 40), (2, 4, 12, 14)]


@pytest.mark.parametrize("box", BOXES)
def test_detectron2_reads_the_mask_at_the_centres_of_pixels(box):
    mask = np.random.default_rng(0).random((7, 7)).astype(np.float32)
    drawn = paste_mask(mask, np.array(box, np.float32), (18, 22), "detectron2")
    expected = at_pixel_centres(mask, box, (18, 22))
    inside = np.zeros((18, 22), bool)
    x1, y1, x2, y2 = (int(v) for v in (*np.floor(box[:2]), *np.ceil(box[2:])))
    inside[max(y1, 0) : y2, max(x1, 0) : x2] = True
    np.testing.assert_allclose(drawn[inside], expected[inside], atol=1e-5)
    assert drawn[~inside].max(initial=0) <= 0.5  # half a mask at most, beyond the box


def test_torchvision_draws_a_whole_mask_over_the_box_and_the_pixel_after_it():
    """4 cells and a border of one: the box grows by 6 / 4, the mask's edge fades to zero."""
    drawn = paste_mask(np.ones((4, 4), np.float32), np.float32([8, 8, 16, 16]), (24, 24))
    assert drawn[12, 12] == 1
    assert (drawn[:, 12] > 0.5).nonzero()[0].tolist() == list(range(8, 17))
    assert not drawn[:5].any()
    assert not drawn[19:].any()


@WAYS
def test_a_box_without_area_and_one_outside_draw_nothing(convention):
    mask = np.ones((4, 4), np.float32)
    for box in ([0, 0, 0, 0], [9, 3, 9, 8], [8, 8, 3, 3], [50, 60, 70, 80], [-30, -30, -9, -9]):
        assert not paste_mask(mask, np.float32(box), (20, 20), convention).any()


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-1e4, 1e4, width=32)] * 4), st.sampled_from(CONVENTIONS))
def test_any_box_gives_probabilities(box, convention):
    drawn = paste_mask(np.ones((5, 5), np.float32), np.float32(box), (12, 9), convention)
    assert drawn.shape == (12, 9)
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 1 + 1e-5


@WAYS
def test_all_masks_one_after_the_other(convention):
    masks = np.stack([np.full((4, 4), p, np.float32) for p in (0.2, 0.5, 0.8)])
    boxes = np.tile(np.float32([2, 2, 10, 10]), (3, 1))
    low, level, high = paste_masks(masks, boxes, (14, 14), convention)
    assert low.dtype == bool
    assert not low.any()
    assert high[3:9, 3:9].all()
    assert level[4:8, 4:8].any() == (convention == "detectron2")  # of 0.5 itself
    assert len(list(paste_masks(masks[:0], boxes[:0], (14, 14), convention))) == 0


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="convention is 'mmdet': it must be one of torchvision, d"):
        paste_mask(np.ones((2, 2), np.float32), np.float32([0, 0, 2, 2]), (4, 4), "mmdet")
