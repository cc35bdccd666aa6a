"""Crops that look at the classes: their shares, and where they are centred."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from jaxseg.data.augment import crops
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform

RARE = 3


def halves(height=80, width=100):
    """Class 0 to the left, class 1 to the right, 2 x 2 pixels of a rare one, a line of void."""
    label = np.zeros((height, width), np.uint8)
    label[:, width // 2 :] = 1
    label[60:62, 20:22] = RARE
    label[:, 0] = 255
    return np.repeat(label[..., None], 3, axis=2), label


def test_largest_share_by_hand():
    label = np.array([[0, 0, 0, 4], [4, 255, 255, 255]], np.uint8)
    assert crops.largest_share(label) == 3 / 5
    assert crops.largest_share(np.full((2, 2), 7, np.uint8)) == 1
    assert crops.largest_share(np.full((2, 2), 255, np.uint8)) == 1


def test_a_pixel_of_each_class_is_as_likely_as_of_another():
    _, label = halves()
    rng = np.random.default_rng(0)
    found = [crops.pixel_of_a_class(label, tuple(rng.random(2))) for _ in range(3000)]
    classes = np.array([label[pixel] for pixel in found])
    for train_id in (0, 1, RARE):
        assert abs(np.mean(classes == train_id) - 1 / 3) < 4 * 0.47 / 3000**0.5
    rare = {pixel for pixel, k in zip(found, classes, strict=True) if k == RARE}
    assert rare == {(60, 20), (60, 21), (61, 20), (61, 21)}
    assert crops.pixel_of_a_class(label, (0.0, 0.0)) == (0, 1)  # void is not a class
    assert crops.pixel_of_a_class(label, (1 - 1e-16, 1 - 1e-16)) == (61, 21)
    assert crops.pixel_of_a_class(np.full((3, 3), 255, np.uint8), (0.5, 0.5)) is None


@pytest.mark.parametrize("angle", [0.0, 30.0, -90.0, 180.0])
@pytest.mark.parametrize("scale", [Fraction(1), Fraction(1, 2), Fraction(7, 4)])
def test_the_crop_is_centred_where_the_pixel_comes_to_lie(angle, scale):
    """Read from the label: the one marked pixel stands in the middle of the view."""
    label = np.zeros((101, 131), np.uint8)
    label[44:47, 70:73] = RARE
    top, left = crops.centred_on(
        (45, 71), label.shape, scale=scale, angle=angle, crop_size=(21, 25)
    )
    augment = Transform((21, 25), Augment(flip=False))
    draw = augment.draw(np.random.default_rng(0), *label.shape)
    draw = dataclasses.replace(draw, scale=scale, top=top, left=left, angle=angle, mirror=False)
    _, ids = augment.deformed(draw, np.zeros((*label.shape, 3), np.uint8), label)
    rows, columns = np.nonzero(ids == RARE)
    assert abs(rows.mean() - 10) <= 1
    assert abs(columns.mean() - 12) <= 1


def test_crops_stay_inside_the_image():
    for pixel in ((0, 0), (79, 99), (40, 0)):
        top, left = crops.centred_on(
            pixel, (80, 100), scale=Fraction(1), angle=0.0, crop_size=(30, 200)
        )
        assert 0 <= top <= 50
        assert left == 0  # a crop wider than the image


def test_class_crops_show_the_rare_class():
    image, label = halves()
    shares = []
    for on in (False, True):
        augment = Transform((20, 20), Augment(scale_range=(1.0, 1.0), class_crops=on))
        views = [augment.apply(np.random.default_rng(s), image, label)[1] for s in range(150)]
        shares.append(np.mean([(view == RARE).any() for view in views]))
    assert shares[0] < 0.2
    assert 0.25 < shares[1] < 0.5  # a third of the crops are centred on it


@pytest.mark.parametrize("more", [{}, {"rotation": 25.0}, {"border": "mirror"}, {"elastic": 2.0}])
def test_the_limit_holds_for_the_view_itself(more):
    image, label = halves()
    augment = Transform(
        (30, 30), Augment(scale_range=(0.7, 1.3), class_limit=0.7, class_limit_draws=60, **more)
    )
    alike = Transform((30, 30), Augment(scale_range=(0.7, 1.3), **more))
    broken = 0
    for seed in range(25):
        _, ids = augment.apply(np.random.default_rng(seed), image, label)
        _, before = alike.apply(np.random.default_rng(seed), image, label)
        assert crops.largest_share(ids) < 0.7
        if crops.largest_share(before) < 0.7:
            np.testing.assert_array_equal(ids, before)  # what is well stays
        broken += crops.largest_share(before) >= 0.7
    assert broken > 10


def test_the_last_draw_stands():
    """No crop of an image with one class is acceptable: the last one is taken."""
    label = np.zeros((60, 60), np.uint8)
    augment = Transform(
        (20, 20), Augment(scale_range=(1.0, 1.0), class_limit=0.5, class_limit_draws=4)
    )
    draw = augment.draw(np.random.default_rng(0), 60, 60)
    assert len(draw.others) == 3
    placed = augment.placed(draw, label)
    assert (placed.top, placed.left) == draw.others[-1]
    once = Transform((20, 20), dataclasses.replace(augment.augment, class_limit_draws=1))
    assert once.placed(dataclasses.replace(draw, others=()), label).top == draw.top
    assert once.draw(np.random.default_rng(0), 60, 60).others == ()


def test_other_places_are_uniform():
    augment = Transform(
        (40, 40), Augment(scale_range=(1.0, 1.0), class_limit=0.75, class_limit_draws=1000)
    )
    others = np.array(augment.draw(np.random.default_rng(0), 50, 44).others)
    assert set(others[:, 0]) == set(range(11))
    assert set(others[:, 1]) == set(range(5))
    assert abs(others[:, 0].mean() - 5) < 4 * 3.2 / 999**0.5
