"""A class for each pixel from objects, pixel by pixel."""

import numpy as np

from jaxseg.ignore import IGNORE
from jaxseg.postprocess import class_map


def rectangles(rng, count, size):
    masks = np.zeros((count, *size), np.uint8)
    for mask in masks:
        y, x = rng.integers(0, size[0] - 2), rng.integers(0, size[1] - 2)
        mask[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = 1
    return masks


def test_each_pixel_has_the_rule_of_its_objects():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        size = (11, 13)
        count = int(rng.integers(0, 9))
        masks, classes = rectangles(rng, count, size), rng.integers(1, 4, count).tolist()
        found = class_map.of_detections(iter(masks), classes, size)
        truth = class_map.of_truth(iter(masks), classes, size)
        assert found.shape == truth.shape == size
        for y, x in np.ndindex(*size):
            own = [kind for mask, kind in zip(masks, classes, strict=True) if mask[y, x]]
            assert found[y, x] == (own[0] if own else 0)
            expected = 0 if not own else own[0] if len(set(own)) == 1 else IGNORE
            assert truth[y, x] == expected
            seen.add((len(own) > 1, int(truth[y, x])))
    assert {(True, IGNORE), (True, 1), (False, 0), (False, 3)} <= seen


def test_the_truth_does_not_depend_on_the_order_of_the_objects():
    rng = np.random.default_rng(1)
    masks, classes = rectangles(rng, 8, (16, 16)), rng.integers(1, 4, 8).tolist()
    expected = class_map.of_truth(masks, classes, (16, 16))
    for _ in range(5):
        order = rng.permutation(8)
        again = class_map.of_truth(masks[order], [classes[i] for i in order], (16, 16))
        np.testing.assert_array_equal(again, expected)
    assert (expected == IGNORE).any()
