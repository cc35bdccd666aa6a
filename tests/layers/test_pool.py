"""Pooling against NumPy loops: values, ties in the gradient, padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.pool import avg_pool, global_avg_pool, max_pool

# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
CASES = [  # size, window, stride, padding
    ((8, 7), 2, 2, 0),
    ((9, 8), 3, 2, 1),  # ResNet's
    ((6, 9), 3, 1, 1),
    ((9, 7), 3, 3, 0),
    ((6, 7), 5, 2, 2),
    ((8, 8), 2, 3, 1),
    ((2, 1), 3, 2, 1),  # smaller than the window
]


def _pool(x, dy, window, stride, padding):
    """Returns the maximum of each window, and the gradient, given to the first one in row order."""
    edges = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    padded = np.pad(x, edges, constant_values=-np.inf)
    y, gradient = np.zeros(dy.shape, x.dtype), np.zeros(padded.shape)
    for b, h, w, c in np.ndindex(*dy.shape):
        place = (b, slice(h * stride, h * stride + window), slice(w * stride, w * stride + window))
        seen = padded[*place, c]
        y[b, h, w, c] = seen.max()
        row, column = np.unravel_index(seen.argmax(), seen.shape)
        gradient[b, h * stride + row, w * stride + column, c] += dy[b, h, w, c]
    height, width = x.shape[1:3]
    return y, gradient[:, padding : padding + height, padding : padding + width]


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_max_pool_and_its_gradient_with_many_ties(form):
    """A few distinct values produce ties; negative ones would reveal padding with zeros."""
    rng = np.random.default_rng(0)
    maps, cotangents = [], []
    for size, window, stride, padding in CASES:
        maps.append(rng.integers(-4, -1, (2, *size, 3)).astype(np.float32))
        outputs = [(n + 2 * padding - window) // stride + 1 for n in size]
        cotangents.append(rng.integers(1, 9, (2, *outputs, 3)).astype(np.float32))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(maps, cotangents):
        results = []
        for x, dy, (_, *fields) in zip(maps, cotangents, CASES, strict=True):
            y, pull = jax.vjp(lambda x, f=fields: max_pool(x, *f, form=form), x)
            results.append((y, *pull(dy)))
        return results

    for x, dy, (_, *fields), (y, dx) in zip(
        maps, cotangents, CASES, run(maps, cotangents), strict=True
    ):
        expected = _pool(x, dy, *fields)
        np.testing.assert_array_equal(y, expected[0])
        np.testing.assert_array_equal(dx, expected[1])


CAFFE = [  # pixels, window, stride, padding -> pixels by Caffe's rule (FCN, SegNet, DeepLab)
    (349, 2, 2, 0, 175),
    (175, 2, 2, 0, 88),
    (45, 2, 2, 0, 23),
    (321, 3, 2, 1, 161),
    (81, 3, 2, 1, 41),
    (306, 2, 2, 1, 154),
    (154, 2, 2, 1, 78),
    (42, 3, 1, 1, 42),
    (8, 3, 2, 1, 5),  # 4 if rounded down
    (7, 2, 2, 1, 4),  # one more window would cover padding only
    (1, 2, 2, 0, 1),
]


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize(("inputs", "window", "stride", "padding", "outputs"), CAFFE)
def test_caffes_ceil_rule(inputs, window, stride, padding, outputs, form):
    x = -1.0 - np.random.default_rng(inputs).random((1, inputs, 3, 1)).astype(np.float32)
    y = np.asarray(max_pool(jnp.asarray(x), window, stride, padding, ceil=True, form=form))
    assert y.shape[1] == outputs
    for i in range(outputs):
        begin = i * stride - padding
        rows = x[0, max(0, begin) : begin + window, :, 0]
        assert rows.size
        columns = rows[:, max(0, -padding) : window - padding]
        assert y[0, i, 0, 0] == columns.max()


def test_half_precision_gradients_are_accumulated_in_float32():
    """Nine windows share one maximum: a bfloat16 sum of 1 and eight times 1 / 256 would stay 1."""
    x = jnp.zeros((1, 5, 5, 1), jnp.bfloat16).at[0, 2, 2, 0].set(1)
    dy = jnp.full((1, 3, 3, 1), 2.0**-8, jnp.bfloat16).at[0, 0, 0, 0].set(1)
    pooled = functools.partial(max_pool, window=3, stride=1, form="fast")
    pull = jax.jit(lambda x, dy: jax.vjp(pooled, x)[1](dy)[0], compiler_options=QUICK)
    dx = pull(x, dy)
    assert dx.dtype == jnp.bfloat16
    assert dx[0, 2, 2, 0] == 1 + 8 / 256


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_nan_is_propagated(form):
    """Otherwise a diverged run would look healthy after the pooling."""
    x = jnp.zeros((1, 6, 6, 1)).at[0, 3, 3, 0].set(jnp.nan)
    y = np.asarray(max_pool(x, 3, 2, 1, form=form))[0, ..., 0]
    assert np.isnan(y[1:, 1:]).all()
    assert np.isfinite(y[0]).all()


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_a_window_larger_than_the_map_is_refused(form):
    with pytest.raises(ValueError, match="a map of 2 pixels with padding 0 is smaller than a ker"):
        max_pool(jnp.zeros((1, 5, 2, 1)), 3, 2, form=form)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form is 'quick'"):
        max_pool(jnp.zeros((1, 4, 4, 1)), 2, 2, form="quick")


def test_average_pooling_counts_the_zeros_of_its_padding():
    x = np.random.default_rng(1).normal(size=(2, 5, 6, 2)).astype(np.float32)
    y = avg_pool(x, 3, 2, 1)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    assert y.shape == (2, 3, 3, 2)
    for h, w in np.ndindex(3, 3):
        seen = padded[:, 2 * h : 2 * h + 3, 2 * w : 2 * w + 3]
        np.testing.assert_allclose(y[:, h, w], seen.mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_mean_of_a_map_is_summed_in_float32(dtype):
    """100 x 100 times 50 overflows float16, and a bfloat16 sum stops growing long before."""
    x = jnp.full((1, 100, 100, 2), 50, dtype)
    y = global_avg_pool(x)
    assert y.shape == (1, 1, 1, 2)
    assert y.dtype == jnp.dtype(dtype)
    assert (y == 50).all()


def test_the_mean_of_a_map_keeps_float64():
    x = np.random.default_rng(2).normal(1e3, 1, (2, 9, 8, 3))
    with jax.enable_x64(True):
        y = np.asarray(global_avg_pool(jnp.asarray(x)))
    np.testing.assert_allclose(y, x.mean((1, 2), keepdims=True), rtol=1e-14)
