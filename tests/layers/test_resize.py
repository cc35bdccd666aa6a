"""Resizing in every convention, against np.interp, OpenCV and integer arithmetic."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.resize import resize_bilinear, resize_nearest, sample_positions

CONVENTIONS = ("align_corners", "half_pixel", "origin")
SIZES = [  # of the map and the result: odd and even, larger and smaller, a single pixel, equal
    ((5, 4), (9, 7)),
    ((9, 8), (4, 5)),
    ((5, 9), (12, 4)),
    ((1, 1), (3, 4)),
    ((6, 5), (1, 1)),
    ((1, 6), (5, 6)),
    ((4, 3), (4, 3)),
    ((2, 3), (70, 5)),  # too many terms in the gradient of a pixel to gather them
]
# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _matrix(inputs, outputs, convention):
    """Returns the interpolation matrix of one axis: np.interp of each unit vector."""
    if convention == "align_corners":
        positions = np.linspace(0, inputs - 1, outputs)
    elif convention == "half_pixel":
        positions = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    else:
        positions = np.arange(outputs) * inputs / outputs
    pixels = np.arange(inputs)
    return np.stack([np.interp(positions, pixels, unit) for unit in np.eye(inputs)], axis=1)


def _map(size, seed=0, channels=2):
    return np.random.default_rng(seed).normal(size=(2, *size, channels))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("form", ["plain", "fast"])
def test_bilinear_and_its_gradient_equal_np_interp(convention, form):
    """In float64, so that a different formula would not pass."""

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(maps, cotangents):
        results = []
        for x, dy in zip(maps, cotangents, strict=True):
            resize = functools.partial(
                resize_bilinear, size=dy.shape[1:3], convention=convention, form=form
            )
            y, pull = jax.vjp(resize, x)
            results.append((y, *pull(dy)))
        return results

    maps, cotangents = ([_map(s[end], end) for s in SIZES] for end in (0, 1))
    with jax.enable_x64(True):
        results = jax.device_get(run(maps, cotangents))
    for x, dy, (y, dx) in zip(maps, cotangents, results, strict=True):
        rows, columns = (_matrix(x.shape[a], dy.shape[a], convention) for a in (1, 2))
        assert y.dtype == dx.dtype == np.float64
        np.testing.assert_allclose(y, np.einsum("hH,wW,bHWc->bhwc", rows, columns, x), atol=1e-13)
        np.testing.assert_allclose(dx, np.einsum("hH,wW,bhwc->bHWc", rows, columns, dy), atol=1e-13)


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize("size", [(11, 14), (3, 4), (17, 2)])
def test_half_pixel_equals_opencv(form, size):
    x = _map((7, 6)).astype(np.float32)
    y = resize_bilinear(x, size, convention="half_pixel", form=form)
    assert y.dtype == jnp.float32
    for image, resized in zip(x, y, strict=True):
        expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(resized, expected, atol=1e-5)


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_aligned_corners_keep_the_grid_of_sizes_k_s_plus_1(form):
    x = _map((5, 4)).astype(np.float32)
    aligned = functools.partial(resize_bilinear, convention="align_corners", form=form)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def there_and_back(x):
        y = aligned(x, (4 * 8 + 1, 3 * 8 + 1))
        return y, aligned(y, (5, 4))

    y, back = there_and_back(x)
    np.testing.assert_allclose(y[:, ::8, ::8], x, atol=1e-6)
    np.testing.assert_allclose(back, x, atol=1e-6)


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_rounded_once(dtype, form):
    x = jnp.asarray(_map((5, 4)), dtype)
    resize = functools.partial(resize_bilinear, size=(8, 9), convention="half_pixel", form=form)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def passes(x, dy):
        y, pull = jax.vjp(resize, x)
        return y, *pull(dy.astype(y.dtype))

    dy = jnp.asarray(_map((8, 9), 1), dtype)
    (y, dx), (wide, dx_wide) = passes(x, dy), passes(x.astype(jnp.float32), dy)
    assert y.dtype == dx.dtype == x.dtype
    np.testing.assert_array_equal(y, wide.astype(dtype))
    np.testing.assert_array_equal(dx, dx_wide.astype(dtype))


def _nearest(inputs, outputs, convention):
    """Returns the nearest pixel by integer arithmetic; halves round up."""
    i = np.arange(outputs)
    if convention == "half_pixel":
        return (2 * i + 1) * inputs // (2 * outputs)
    if convention == "origin":
        return np.minimum((2 * i * inputs + outputs) // (2 * outputs), inputs - 1)
    steps = max(outputs - 1, 1)
    return (2 * i * (inputs - 1) + steps) // (2 * steps)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_positions_on_pixels_and_halfway_between_are_exact(convention):
    """Otherwise rounding errors would decide the nearest pixel of a point halfway."""
    for inputs in range(1, 50):
        for outputs in range(1, 120):
            positions = sample_positions(inputs, outputs, convention)
            assert positions.min() >= 0
            assert positions.max() <= inputs - 1
            nearest = np.floor(positions + 0.5)
            np.testing.assert_array_equal(nearest, _nearest(inputs, outputs, convention))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    ("size", "result"), [((4, 10), (95, 67)), ((2, 8), (49, 3)), ((7, 5), (5, 5)), ((3, 1), (1, 4))]
)
def test_nearest_selects_whole_pixels(convention, size, result):
    x = np.arange(np.prod(size), dtype=np.int32).reshape(1, *size, 1)
    rows, columns = (_nearest(*s, convention) for s in zip(size, result, strict=True))
    y = resize_nearest(jnp.asarray(x), result, convention=convention)
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y, x[:, rows][:, :, columns])


def test_nearest_by_half_pixels_equals_opencv_nearest_exact():
    x = np.random.default_rng(0).integers(0, 255, (9, 7), np.uint8)
    for size in ((20, 16), (4, 5), (27, 21)):
        expected = cv2.resize(x, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        y = resize_nearest(jnp.asarray(x)[None, ..., None], size, convention="half_pixel")
        np.testing.assert_array_equal(y[0, ..., 0], expected)


@pytest.mark.parametrize("resize", [resize_bilinear, resize_nearest])
def test_an_unknown_convention_is_refused(resize):
    with pytest.raises(ValueError, match="'centres': it must be one of align_corners, half_pixel"):
        resize(jnp.zeros((1, 4, 4, 1)), (2, 2), convention="centres")
