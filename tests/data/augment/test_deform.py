"""Rotation, elastic deformation and borders: image and label stay together, at the stated place."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data import loader
from jaxseg.data.augment import deform
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Draw, Transform
from jaxseg.data.augment.weight_map import boundary_weights
from jaxseg.types import IGNORE

STILL = Draw(Fraction(1), 0, 0, False, (1.0, 1.0, 1.0))


def coded(height, width):
    """An image whose colours are the row and the column, and the labels of both."""
    rows, columns = np.indices((height, width)).astype(np.uint8)
    return np.stack([rows, columns, rows], axis=-1), rows, columns


FEATURES = {
    "rotation": {"rotation": 40.0},
    "elastic": {"elastic": 6.0},
    "blur": {"blur": 1.0},
    "mirrored borders": {"border": "mirror"},
    "all": {"rotation": 180.0, "elastic": 6.0, "blur": 1.0, "border": "mirror"},
    "all with void": {"rotation": 180.0, "elastic": 6.0, "blur": 0.5},
}


@pytest.mark.parametrize("name", FEATURES)
def test_the_label_says_where_the_image_was_taken_to_the_pixel(name):
    """Labels that are the row (or column) against colours that are."""
    image, *labels = coded(120, 150)
    augment = Transform((90, 100), Augment(scale_range=(0.7, 1.5), **FEATURES[name]))
    for seed in range(12):
        draw = augment.draw(np.random.default_rng(seed), 120, 150)
        assert augment.augment.flip
        for channel, label in enumerate(labels):
            view, ids = augment.apply(np.random.default_rng(seed), image, label)
            there = ids != IGNORE
            # Away from void, where neither the border's colour nor the blur of it reaches.
            clear = ndimage.binary_erosion(there, np.ones((9, 9)))
            assert clear.mean() > 0.15
            # Half a pixel to the nearest one, and half a grey level of rounding. At a mirror's
            # edge the blur mixes both directions.
            room = 1.0 if not draw.blurred else 1.6
            difference = np.abs(view[..., channel].astype(int) - ids)[clear]
            assert difference.max() <= room
            assert np.mean(difference) < 0.45


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(3, 4), Fraction(3, 2)])
def test_a_view_is_taken_where_the_definition_says(scale):
    """Against float64 positions pixel by pixel, interpolated by SciPy."""
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.uniform(0, 255, (70, 90, 3)), (4, 4, 0)) * 4 % 256
    image = ndimage.gaussian_filter(image, (3, 3, 0)).astype(np.uint8)
    label = rng.integers(0, 9, (70, 90)).astype(np.uint8)
    vectors = rng.normal(size=18) * 4
    draw = dataclasses.replace(
        STILL, scale=scale, top=5, left=9, angle=25.0, vectors=tuple(vectors)
    )
    view, ids = Transform((40, 50), Augment(border="mirror")).deformed(draw, image, label)
    bent = deform.displacements(vectors, (40, 50))
    turn = np.exp(1j * np.radians(25.0))  # columns are real, rows upwards imaginary
    at = np.zeros((40, 50, 2))
    for i, j in np.ndindex(40, 50):
        y = (5 + i + bent[i, j, 0] + 0.5) / float(scale) - 35
        x = (9 + j + bent[i, j, 1] + 0.5) / float(scale) - 45
        from_centre = complex(x, -y) / turn  # the image turned left was looked up to the right
        at[i, j] = -from_centre.imag + 34.5, from_centre.real + 44.5
    for channel in range(3):
        expected = ndimage.map_coordinates(
            image[..., channel].astype(float), at.transpose(2, 0, 1), order=1, mode="mirror"
        )
        assert np.abs(view[..., channel] - expected).max() <= 2.5  # OpenCV's 32nds of a pixel
    decided = (np.abs(at % 1 - 0.5) > 1e-3).all(axis=-1)
    expected = ndimage.map_coordinates(label, at.transpose(2, 0, 1), order=0, mode="mirror")
    np.testing.assert_array_equal(ids[decided], expected[decided])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_move_whole_pixels(turns):
    rng = np.random.default_rng(1)
    side = 31
    image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    label = rng.integers(0, 9, (side, side), dtype=np.uint8)
    draw = dataclasses.replace(STILL, angle=90.0 * turns)
    view, ids = Transform((side, side)).deformed(draw, image, label)
    np.testing.assert_array_equal(view, np.rot90(image, turns))
    np.testing.assert_array_equal(ids, np.rot90(label, turns))


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(1), Fraction(2)])
def test_without_angle_and_displacements_it_is_the_crop(scale):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    label = rng.integers(0, 9, (40, 60), dtype=np.uint8)
    for blurred in (False, True):
        draw = dataclasses.replace(STILL, scale=scale, top=3, left=5, blurred=blurred, mirror=True)
        augment = Transform((13, 20), Augment(jitter=0.1))
        view, ids = augment.deformed(draw, image, label)
        expected, expected_ids = augment.crop_then_scale(draw, image, label)
        np.testing.assert_array_equal(ids, expected_ids)
        assert np.abs(view.astype(int) - expected).max() <= 1


def test_displacements_are_bicubic_between_the_nodes():
    """Keys' kernel with a = -0.75, which is OpenCV's, by its formula."""

    def kernel(t):
        t = abs(t)
        if t <= 1:
            return 1.25 * t**3 - 2.25 * t**2 + 1
        return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0

    def weights(length):
        out = np.zeros((length, 3))
        for i in range(length):
            at = (i + 0.5) * 3 / length - 0.5
            for node in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
                out[i, min(max(node, 0), 2)] += kernel(at - node)
        return out

    vectors = np.random.default_rng(3).normal(size=(3, 3, 2)) * 10
    expected = np.einsum("iI,jJ,IJc->ijc", weights(45), weights(63), vectors)
    found = deform.displacements(vectors.ravel(), (45, 63))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(found[7::15, 10::21], vectors, atol=1e-5)  # at the nodes


def test_equal_vectors_shift():
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    label = rng.integers(0, 9, (30, 40), dtype=np.uint8)
    draw = dataclasses.replace(STILL, vectors=(3.0, -2.0) * 9)
    view, ids = Transform((30, 40), mean=(10, 20, 30)).deformed(draw, image, label)
    np.testing.assert_array_equal(view[:27, 2:], image[3:, :38])
    np.testing.assert_array_equal(ids[:27, 2:], label[3:, :38])
    for beyond in (np.s_[27:], np.s_[:, :2]):
        assert (view[beyond] == (10, 20, 30)).all()
        assert (ids[beyond] == IGNORE).all()


def test_mirrored_borders_are_those_of_the_overlap_tile():
    """As numpy's "reflect", which is what the network does at evaluation; also beyond once."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    label = rng.integers(0, 9, (9, 11), dtype=np.uint8)
    augment = Transform((40, 30), Augment(scale_range=(1.0, 1.0), border="mirror", flip=False))
    view, ids = augment.apply(np.random.default_rng(0), image, label)
    np.testing.assert_array_equal(ids, np.pad(label, ((0, 31), (0, 19)), "reflect"))
    np.testing.assert_array_equal(view, np.pad(image, ((0, 31), (0, 19), (0, 0)), "reflect"))


def test_runs_without_the_later_transforms_draw_as_before():
    """The numbers are those of the code before rotation, elastic deformation and blur."""
    rng = np.random.default_rng(0)
    draw = Transform((40, 50), Augment(jitter=0.3)).draw(rng, 120, 160)
    assert (draw.scale, draw.top, draw.left, draw.mirror) == (Fraction(93, 64), 36, 7, True)
    assert draw.colour == (1.1879621435201635, 1.247653346366633, 1.063981465460308)
    assert rng.random() == 0.7294965609839984  # nothing more was drawn


EVERYTHING = {
    "rotation": 10.0,
    "elastic": 3.0,
    "blur": 1.0,
    "photometric": True,
    "class_crops": True,
    "class_limit": 0.75,
}
PARTS = {
    "rotation": "angle",
    "elastic": "vectors",
    "blur": "blurred",
    "photometric": "distortion",
    "class_crops": "towards",
    "class_limit": "others",
}


@pytest.mark.parametrize("on", EVERYTHING)
def test_turning_one_thing_on_moves_nothing_else(on):
    for seed in range(5):
        plain, one, full = (
            Transform((32, 32), Augment(jitter=0.1, **more)).draw(
                np.random.default_rng(seed), 90, 90
            )
            for more in ({}, {on: EVERYTHING[on]}, EVERYTHING)
        )
        changed = PARTS[on]
        assert one == dataclasses.replace(plain, **{changed: getattr(full, changed)})
        assert one != plain


def test_later_draws_have_the_stated_distribution():
    augment = Transform(
        (32, 32), Augment(rotation=10.0, rotation_probability=0.5, elastic=10.0, blur=0.25)
    )
    rng = np.random.default_rng(0)
    draws = [augment.draw(rng, 60, 60) for _ in range(4000)]
    angles = np.array([d.angle for d in draws])
    turned = angles[angles != 0]
    assert abs(len(turned) / 4000 - 0.5) < 4 * 0.5 / 4000**0.5
    assert -10 <= turned.min() < -9.9
    assert 9.9 < turned.max() <= 10
    assert abs(turned.mean()) < 4 * turned.std() / len(turned) ** 0.5
    assert turned.std() == pytest.approx(20 / 12**0.5, rel=0.03)
    assert abs(np.mean([d.blurred for d in draws]) - 0.25) < 4 * 0.44 / 4000**0.5
    assert np.std([d.vectors for d in draws]) == pytest.approx(10, rel=0.01)


def test_the_weight_map_is_that_of_the_deformed_label():
    label = np.zeros((80, 80), np.uint8)
    label[10:35, 10:30], label[10:35, 34:60], label[40:70, 15:50] = 1, 1, 1
    image = np.repeat(label[..., None] * 100, 3, axis=2)
    augment = Transform(
        (64, 64), Augment(rotation=180.0, elastic=5.0, border="mirror"), boundary=10.0
    )
    example = {"image": image, "label": label, "name": ""}
    one, two = (loader.train_stream([example], augment, seed=0) for _ in range(2))
    for position in range(4):
        view = one[position]
        for name, value in two[position].items():
            np.testing.assert_array_equal(view[name], value)
        expected = boundary_weights(view["label"], weight=10.0, sigma=5.0)
        np.testing.assert_array_equal(view["weight"], expected)
        assert view["weight"].max() > 1
        brighter = view["image"][..., 0] > 50
        assert np.mean(brighter == (view["label"] == 1)) > 0.98
