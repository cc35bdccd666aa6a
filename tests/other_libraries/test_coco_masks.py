"""Regions of COCO against pycocotools, which is COCO's own code."""

import numpy as np
import pytest

from jaxseg.data.readers import coco_masks

judge = pytest.importorskip(
    "pycocotools.mask", reason="needs pycocotools: requirements/other_libraries.txt"
)
pytestmark = pytest.mark.other_libraries


@pytest.mark.parametrize("digits", [0, 2, 16])
def test_polygons_agree_to_the_pixel(digits):
    rng = np.random.default_rng(digits)
    for k in range(300):
        height, width = (int(side) for side in rng.integers(1, 90, 2))
        corners = rng.uniform(-10, 100, (int(rng.integers(3, 12)), 2)).round(digits)
        if k % 7 == 0:
            corners[1] = corners[0]
        polygon = corners.ravel().tolist()
        expected = judge.decode(judge.frPyObjects([polygon], height, width))[..., 0]
        found = coco_masks.fill_polygon(polygon, height, width)
        np.testing.assert_array_equal(found, expected == 1, err_msg=str((height, width, polygon)))


def test_runs_agree():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, 50).tolist()
    counts.append(30 * 40 - sum(counts))
    found = coco_masks.fill_runs(counts, 30, 40)
    expected = judge.decode(judge.frPyObjects({"size": [30, 40], "counts": counts}, 30, 40))
    np.testing.assert_array_equal(found, expected == 1)
