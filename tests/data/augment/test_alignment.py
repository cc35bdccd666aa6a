"""Image and mask stay aligned to the pixel: a checkerboard pushed through every transform.

The image shows the mask as two colours of one hue, so that each colour transform keeps their
midpoint and clips no value. Wherever a colour lies clearly on one side of the midpoint, the mask
must agree; a mask that is one pixel off is detected.
"""

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from jaxseg.types import IGNORE

COLOURS = np.array([(60, 56, 52), (100, 93, 87)], np.uint8)
SIZE, CROP = (120, 150), (90, 100)
STILL = {"scale_range": (1.0, 1.0), "flip": False}
ALONE = {
    "crop": {},
    "scale": {"scale_range": (0.6, 2.0)},
    "pad with the mean": {"crop_size": (140, 170)},
    "pad with zero": {"crop_size": (140, 170), "border": "zero"},
    "mirrored borders": {"crop_size": (140, 170), "border": "mirror"},
    "flip": {"flip": True},
    "rotation": {"rotation": 40.0},
    "elastic deformation": {"elastic": 6.0},
    "blur": {"blur": 1.0},
    "jitter": {"jitter": 0.2},
    "photometric distortion": {"photometric": True},
    "class crops": {"class_crops": True},
    "limit of a class": {"class_limit": 0.5, "class_limit_draws": 5},
}
TOGETHER = {
    "scale_range": (0.7, 1.5),
    "flip": True,
    "rotation": 180.0,
    "elastic": 5.0,
    "blur": 0.5,
    "jitter": 0.2,
    "photometric": True,
    "class_crops": True,
    "class_limit": 0.5,
}
TRANSFORMS = ALONE | {f"all, {b}": TOGETHER | {"border": b} for b in ("mean", "zero", "mirror")}


def board():
    """Fields of 8 x 10 pixels; the image and its mask."""
    rows, columns = np.indices(SIZE)
    mask = ((rows // 8 + columns // 10) % 2).astype(np.uint8)
    return COLOURS[mask], mask


def disagreement(view, ids):
    """(share of the clear pixels that the mask has wrong, whether one is away from an edge)."""
    brightness = view.sum(axis=2).astype(float)
    # Next to void the image may be mixed with its border, by blur two pixels further.
    valid = ndimage.binary_erosion(ids != IGNORE, np.ones((9, 9)))
    assert valid.mean() > 0.15
    least = ndimage.minimum_filter(ids, 3)
    inside = valid & (least == ndimage.maximum_filter(ids, 3))
    low, high = (np.median(brightness[inside & (ids == k)]) for k in (0, 1))
    assert high > low + 20
    middle = (low + high) / 2
    clear = valid & (np.abs(brightness - middle) > 0.1 * (high - low))
    wrong = (brightness > middle) != (ids == 1)
    return np.mean(wrong[clear]), bool((wrong & clear & inside).any())


def transform_of(fields):
    """The transform without randomness except in these fields, which include crop_size."""
    fields = STILL | fields
    return Transform(fields.pop("crop_size", CROP), Augment(**fields))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_mask_says_what_the_image_shows_to_the_pixel(name):
    augment = transform_of(TRANSFORMS[name])
    image, mask = board()
    for seed in range(6):
        view, ids = augment.apply(np.random.default_rng(seed), image, mask)
        assert view.shape[:2] == ids.shape == augment.crop_size
        wrong, far = disagreement(view, ids)
        assert not far
        assert wrong < 0.01
        for axis in (0, 1):
            for step in (-1, 1):
                shifted, _ = disagreement(view, np.roll(ids, step, axis))
                assert shifted > 0.02  # one pixel is enough to be seen


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS) - {"crop"}))
def test_each_transform_does_something(name):
    """Otherwise the test above would be vacuous."""
    changed = transform_of(TRANSFORMS[name])
    plain = Transform(changed.crop_size, Augment(**STILL))
    image, mask = board()
    views = [
        [augment.apply(np.random.default_rng(seed), image, mask)[0] for seed in range(6)]
        for augment in (changed, plain)
    ]
    same = [np.array_equal(*pair) for pair in zip(*views, strict=True)]
    assert not all(same) or name == "pad with the mean"
