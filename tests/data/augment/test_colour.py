"""SSD's photometric distortion: against float64 by Matplotlib's colour conversion, step by step."""

import cv2
import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

from jaxseg.data.augment import colour
from jaxseg.data.augment.colour import Distortion
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform


def colours(seed=0):
    """Random colours, greys, black, white and saturated ones."""
    image = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image[0] = np.arange(50)[:, None] * 5
    image[1, :3] = [(0, 0, 0), (255, 255, 255), (255, 0, 0)]
    return image


def rounded(values):
    return np.rint(np.clip(values, 0, 255))


def oracle(image, by):
    """Before the last rounding."""
    image = rounded(image.astype(float) + by.brightness)
    if not by.contrast_last:
        image = rounded(image * by.contrast)
    hsv = rgb_to_hsv(image / 255)
    hsv[..., 0] = (hsv[..., 0] + by.hue / 360) % 1
    hsv[..., 1] = np.minimum(hsv[..., 1] * by.saturation, 1)
    image = np.clip(255 * hsv_to_rgb(hsv), 0, 255)
    return np.clip(rounded(image) * by.contrast, 0, 255) if by.contrast_last else image


CASES = {
    "nothing": Distortion(),
    "brighter": Distortion(brightness=31.6),
    "darker": Distortion(brightness=-17.3),
    "contrast": Distortion(contrast=1.47),
    "less contrast": Distortion(contrast=0.52),
    "saturation": Distortion(saturation=1.5),
    "less saturation": Distortion(saturation=0.5),
    "more saturation than there is": Distortion(saturation=1.37),
    "hue": Distortion(hue=36.0),
    "hue backwards": Distortion(hue=-29.0),
    "contrast first": Distortion(20.0, 0.7, 1.3, -12.0, contrast_last=False),
    "contrast last": Distortion(-25.0, 1.3, 0.8, 33.0, contrast_last=True),
}


@pytest.mark.parametrize("name", CASES)
def test_distortion_is_that_of_the_oracle(name):
    by = CASES[name]
    found = colour.distort(colours(), by).astype(int)
    difference = np.abs(found - oracle(colours(), by))
    assert difference.max() <= 0.501


def test_the_order_matters():
    first, last = (
        colour.distort(colours(), Distortion(30.0, 1.4, 0.6, 20.0, contrast_last=last))
        for last in (False, True)
    )
    assert (first != last).mean() > 0.1


@pytest.mark.parametrize("steps", [-18, 7, 18])
def test_hue_is_in_steps_of_two_degrees_as_in_the_released_code(steps):
    """Its line in 8 bits, where no hue leaves 0 ... 179; what rounding the hue costs is left."""
    image = colours(1)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hue = hsv[..., 0].astype(int) + steps
    hsv[..., 0] = np.clip(hue, 0, 179)
    released = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    there = (hue >= 0) & (hue < 180)
    found = colour.distort(image, Distortion(hue=2.0 * steps))
    assert np.abs(found.astype(int) - released)[there].max() <= 7
    half = colour.distort(image, Distortion(hue=1.0 * steps))  # as if they were degrees
    assert np.abs(half.astype(int) - released)[there].max() > 25


def test_draws_are_ssds():
    rng = np.random.default_rng(0)
    draws = [colour.draw_distortion(rng) for _ in range(4000)]
    ranges = {"brightness": (-32, 32), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5)}
    for name, (low, high) in (ranges | {"hue": (-36, 36)}).items():
        values = np.array([getattr(draw, name) for draw in draws])
        changed = values[values != (low + high) / 2]
        assert abs(len(changed) / 4000 - 0.5) < 4 * 0.5 / 4000**0.5
        assert low <= changed.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < changed.max() <= high
        assert changed.std() == pytest.approx((high - low) / 12**0.5, rel=0.04)
    assert abs(np.mean([draw.contrast_last for draw in draws]) - 0.5) < 4 * 0.5 / 4000**0.5
    on = np.array([[d.brightness != 0, d.hue != 0] for d in draws])
    assert abs(np.mean(on.all(1)) - 0.25) < 4 * 0.44 / 4000**0.5  # one by one, not all at once


@pytest.mark.parametrize("more", [{}, {"rotation": 20.0}, {"border": "zero"}])
def test_distortion_leaves_place_label_and_padding(more):
    image, label = colours(2), np.random.default_rng(3).integers(0, 9, (40, 50), dtype=np.uint8)
    before, differ = image.copy(), 0
    plain = Transform((60, 60), Augment(scale_range=(0.5, 1.0), **more), mean=(100, 110, 120))
    lively = Transform(
        (60, 60), Augment(scale_range=(0.5, 1.0), photometric=True, **more), mean=(100, 110, 120)
    )
    for seed in range(8):
        views = [a.apply(np.random.default_rng(seed), image, label) for a in (plain, lively)]
        np.testing.assert_array_equal(views[0][1], views[1][1])
        differ += (views[0][0] != views[1][0]).any()
        # Beyond the border of the image nothing of it is mixed in, three pixels on.
        void = cv2.erode((views[1][1] == 255).astype(np.uint8), np.ones((7, 7))) == 1
        assert (views[1][0][void] == plain.pad_colour).all()
    assert differ >= 6
    np.testing.assert_array_equal(image, before)
