from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxseg.data.augment import colour
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Draw, Transform

PLAIN = (1.0, 1.0, 1.0)


def example(rng, height, width, classes=19):
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.integers(0, classes, (height, width), dtype=np.uint8)


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    crop=st.tuples(st.integers(1, 110), st.integers(1, 110)),
    scales=st.sampled_from(
        [((0.5, 2.0), 0.0), ((0.5, 2.0), 0.25), ((0.7, 1.3), 0.1), ((0.1, 0.3), 0)]
    ),
    seed=st.integers(0, 2**32 - 1),
    blur=st.sampled_from([0.0, 1.0]),
)
def test_crop_first_equals_scale_first(size, crop, scales, seed, blur):
    """Labels exactly; images within one grey level (OpenCV's 11-bit weights), borders included."""
    rng = np.random.default_rng(seed)
    image, label = example(rng, *size)
    augment = Transform(crop, Augment(scale_range=scales[0], scale_step=scales[1], blur=blur))
    draw = augment.draw(rng, *size)
    assert draw.blurred == bool(blur)
    slow_image, slow_label = augment.scale_then_crop(draw, image, label)
    fast_image, fast_label = augment.crop_then_scale(draw, image, label)
    assert fast_image.shape == (*crop, 3)
    assert fast_label.shape == crop
    np.testing.assert_array_equal(fast_label, slow_label)
    assert np.abs(fast_image.astype(int) - slow_image).max() <= 1


def bilinear(image, scale, rows, columns):
    """The definition with pixel centres, float64: an oracle without OpenCV."""

    def weights(count, length):
        at = np.clip((np.arange(count) + 0.5) / scale - 0.5, 0, length - 1)
        low = np.minimum(np.floor(at).astype(int), length - 1)
        high = np.minimum(low + 1, length - 1)
        return low, high, at - low

    top, bottom, y = weights(rows, image.shape[0])
    left, right, x = weights(columns, image.shape[1])
    y, x = y[:, None, None], x[None, :, None]
    image = image.astype(float)
    upper = image[top][:, left] * (1 - x) + image[top][:, right] * x
    lower = image[bottom][:, left] * (1 - x) + image[bottom][:, right] * x
    return upper * (1 - y) + lower * y


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(45, 64), Fraction(5, 4), Fraction(2)])
def test_scaling_is_bilinear_at_pixel_centres(scale):
    image, label = example(np.random.default_rng(0), 37, 50)
    rows, columns = int(37 * scale), int(50 * scale)
    augment = Transform((rows, columns))
    scaled, ids = augment.crop_then_scale(Draw(scale, 0, 0, False, PLAIN), image, label)
    expected = bilinear(image, float(scale), rows, columns)
    assert np.abs(scaled - expected).max() <= 1.0
    y = np.floor((np.arange(rows) + 0.5) / float(scale)).astype(int)
    x = np.floor((np.arange(columns) + 0.5) / float(scale)).astype(int)
    np.testing.assert_array_equal(ids, label[y][:, x])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_image_and_label_stay_together_to_the_pixel(seed, fast):
    """A checkerboard drawn in both: where the image is one colour, the label says which."""
    rng = np.random.default_rng(seed)
    board = ((np.arange(60)[:, None] // 6 + np.arange(80)[None] // 6) % 2).astype(np.uint8)
    image = np.repeat(board[..., None] * 200, 3, axis=2)
    augment = Transform((48, 64), Augment(scale_range=(0.5, 2.0)))
    draw = augment.draw(rng, *board.shape)
    apply = augment.crop_then_scale if fast else augment.scale_then_crop
    image, label = apply(draw, image, board)
    there = label != 255
    assert there.any()
    # The label changes where the interpolated image crosses the middle of the two colours.
    brighter = image[..., 0] > 100
    clear = np.abs(image[..., 0].astype(int) - 100) > 1
    np.testing.assert_array_equal(brighter[there & clear], label[there & clear] == 1)
    if draw.scale == 2:  # samples at a quarter and three quarters: none stands on the middle
        assert clear[there].all()


def test_padding_is_mean_and_void_and_mirrors_with_the_image():
    image, label = example(np.random.default_rng(1), 10, 12)
    augment = Transform((20, 30), Augment(scale_range=(1.0, 1.0)), mean=(10.4, 20.6, 30))
    padded, ids = augment.crop_then_scale(Draw(Fraction(1), 0, 0, False, PLAIN), image, label)
    np.testing.assert_array_equal(padded[:10, :12], image)
    np.testing.assert_array_equal(ids[:10, :12], label)
    assert (padded[10:] == (10, 21, 30)).all()
    assert (padded[:, 12:] == (10, 21, 30)).all()
    assert (ids[10:] == 255).all()
    assert (ids[:, 12:] == 255).all()
    mirrored, back = augment.crop_then_scale(Draw(Fraction(1), 0, 0, True, PLAIN), image, label)
    np.testing.assert_array_equal(mirrored, padded[:, ::-1])
    np.testing.assert_array_equal(back, ids[:, ::-1])


@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_padding_may_be_black(rotation):
    """The same view otherwise, with a mean that is not used."""
    image, label = example(np.random.default_rng(1), 10, 12)
    views = {}
    for border, mean in (("mean", (0, 0, 0)), ("zero", (90, 80, 70))):
        augment = Transform(
            (20, 30), Augment(scale_range=(0.5, 1.0), rotation=rotation, border=border), mean=mean
        )
        views[border] = augment.apply(np.random.default_rng(3), image, label)
    for black, zero in zip(views["mean"], views["zero"], strict=True):
        np.testing.assert_array_equal(black, zero)
    assert (views["zero"][1] == 255).any()


def test_draws_have_the_stated_distribution():
    augment = Transform((40, 40), Augment(scale_range=(0.5, 2.0)))
    rng = np.random.default_rng(0)
    draws = [augment.draw(rng, 60, 50) for _ in range(20_000)]
    scales = np.array([float(d.scale) for d in draws])
    assert (scales.min(), scales.max()) == (0.5, 2.0)
    assert abs(scales.mean() - 1.25) < 4 * scales.std() / len(draws) ** 0.5
    assert abs(np.mean([d.mirror for d in draws]) - 0.5) < 4 * 0.5 / len(draws) ** 0.5
    double = [d for d in draws if d.scale == 2]
    assert {d.top for d in double} <= set(range(81))
    assert {d.left for d in double} <= set(range(61))
    tops = np.array([d.top for d in draws if d.scale == 1])
    assert set(tops) == set(range(21))  # both ends are reached
    grid = {
        augment.draw(rng, 9, 9).scale
        for augment in [Transform((9, 9), Augment(scale_range=(0.5, 2.0), scale_step=0.25))]
        for _ in range(300)
    }
    assert grid == {Fraction(n, 4) for n in range(2, 9)}  # DeepLab's seven


def test_a_small_image_is_never_cropped_away():
    augment = Transform((40, 40), Augment(scale_range=(0.5, 0.5)))
    draw = augment.draw(np.random.default_rng(0), 60, 200)
    assert draw.top == 0  # 30 rows in a crop of 40
    assert 0 <= draw.left <= 60


def test_same_rng_same_result_and_inputs_are_left_alone():
    image, label = example(np.random.default_rng(2), 50, 60)
    before = image.copy(), label.copy()
    augment = Transform((32, 32), Augment(jitter=0.4))
    one = augment.apply(np.random.default_rng(7), image, label)
    two = augment.apply(np.random.default_rng(7), image, label)
    other = augment.apply(np.random.default_rng(8), image, label)
    np.testing.assert_array_equal(one[0], two[0])
    assert (one[0] != other[0]).any()
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_turning_jitter_on_moves_no_crop():
    for seed in range(5):
        plain = Transform((32, 32)).draw(np.random.default_rng(seed), 90, 90)
        jittered = Transform((32, 32), Augment(jitter=0.5)).draw(
            np.random.default_rng(seed), 90, 90
        )
        assert plain.colour == PLAIN
        assert (plain.scale, plain.top, plain.left) == (jittered.scale, jittered.top, jittered.left)


def test_jitter_by_hand():
    image, _ = example(np.random.default_rng(3), 8, 9)
    factors = 1.3, 0.6, 1.5
    wide = image.astype(float) * factors[0]
    luma = np.array([0.299, 0.587, 0.114])
    middle = (wide @ luma).mean()
    wide = (wide - middle) * factors[1] + middle
    grey = (wide @ luma)[..., None]
    expected = np.clip((wide - grey) * factors[2] + grey, 0, 255)
    assert (
        np.abs(colour.jitter_colour(image, factors) - expected).max() <= 1
    )  # OpenCV rounds the weights
    np.testing.assert_array_equal(colour.jitter_colour(image, PLAIN), image)


def test_blur_has_the_binomial_taps():
    image, _ = example(np.random.default_rng(6), 12, 17)
    expected = image.astype(float)
    for axis in (0, 1):
        expected = ndimage.correlate1d(
            expected, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="mirror"
        )
    assert np.abs(colour.blur(image) - expected).max() <= 1


def test_jitter_leaves_the_padding_at_the_mean():
    image, label = example(np.random.default_rng(4), 20, 20)
    augment = Transform((40, 40), Augment(scale_range=(1.0, 1.0), jitter=0.5), mean=(100, 110, 120))
    view, ids = augment.apply(np.random.default_rng(0), image, label)
    assert (view[ids == 255] == (100, 110, 120)).all()


OF_TRANSFORM = ("crop_size", "mean")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale_range": (2.0, 0.5)}, "scale_range"),
        ({"scale_range": (0.0, 1.0)}, "scale_range"),
        ({"scale_step": -1.0}, "scale_step"),
        ({"crop_size": (0, 3)}, "crop_size"),
        ({"jitter": 1.0}, "jitter"),
        ({"rotation": -1.0}, "rotation=-1.0 must be at least 0 and below 360"),
        (
            {"rotation_probability": 2.0},
            "rotation_probability=2.0 must be at least 0 and at most 1",
        ),
        ({"elastic": float("nan")}, "elastic=nan"),
        ({"blur": -0.5}, "blur=-0.5 must be at least 0 and at most 1"),
        ({"border": "edge"}, "border='edge' must be one of mean, zero, mirror"),
        ({"scale_range": (1.0, float("inf"))}, "scale_range"),
        ({"class_limit": 1.5}, "class_limit=1.5 must be at least 0 and at most 1"),
        ({"class_limit": float("nan")}, "class_limit=nan"),
        ({"class_limit_draws": 0}, "class_limit_draws=0 must be at least 1"),
        ({"mean": (0.5, 300.0, 0.0)}, "mean"),
    ],
)
def test_fields_out_of_range_are_named(fields, message):
    of_transform = {"crop_size": (9, 9)} | {n: v for n, v in fields.items() if n in OF_TRANSFORM}
    of_augment = {n: v for n, v in fields.items() if n not in OF_TRANSFORM}
    with pytest.raises(ValueError, match=message):
        Transform(augment=Augment(**of_augment), **of_transform)
