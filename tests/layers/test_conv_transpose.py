"""Transposed convolution: both forms equal loops in value and gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv_transpose import (
    ConvTranspose,
    bilinear_init,
    bilinear_taps,
    conv_transpose,
)

# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
CASES = [  # size, kernel, stride, padding
    ((4, 5), 2, 2, 0),  # U-Net's
    ((4, 3), 4, 2, 1),
    ((5, 4), 3, 2, 1),
    ((3, 3), 3, 2, 0),
    ((3, 2), 5, 3, 1),
    ((2, 3), 1, 2, 0),  # every second output is 0
    ((4, 4), 3, 1, 1),
    ((1, 1), 7, 1, 0),
    ((2, 1), 16, 8, 0),
    ((3, 3), 7, 4, 3),
]


def spread(x, kernel, stride, padding):
    """Adds, in float64, each input times the kernel at its position in the output."""
    batch, h, w, _ = x.shape
    kh, kw, _, outputs = kernel.shape
    y = np.zeros((batch, stride * (h - 1) + kh, stride * (w - 1) + kw, outputs))
    for i, j in np.ndindex(h, w):
        part = np.einsum("bc,tuco->btuo", x[:, i, j].astype(np.float64), kernel)
        y[:, i * stride : i * stride + kh, j * stride : j * stride + kw] += part
    height, width = y.shape[1:3]
    return y[:, padding : height - padding, padding : width - padding]


@pytest.mark.parametrize(("size", "k", "stride", "padding"), CASES)
def test_both_forms_are_the_definition_in_value_and_gradient(size, k, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    kernel = rng.normal(size=(k, k, 3, 4)).astype(np.float32)
    expected = spread(x, kernel, stride, padding)
    dy = rng.normal(size=expected.shape).astype(np.float32)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(x, kernel, dy):
        results = []
        for form in ("plain", "fast"):
            function = functools.partial(conv_transpose, stride=stride, padding=padding, form=form)
            y, pull = jax.vjp(function, x, kernel)
            results.append((y, *pull(dy)))
        return results

    plain, fast = run(x, kernel, dy)
    np.testing.assert_allclose(plain[0], expected, atol=1e-4)
    np.testing.assert_allclose(fast[0], expected, atol=1e-4)
    for ours, definition in zip(fast[1:], plain[1:], strict=True):
        np.testing.assert_allclose(ours, definition, atol=2e-4)


def test_the_gradient_is_the_adjoint():
    """Checks <dy, T x> = <T* dy, x>, where T is computed by loops."""
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(1, 3, 4, 2)), rng.normal(size=(4, 4, 2, 3))
    y = spread(x, kernel, 2, 1)
    dy = rng.normal(size=y.shape)
    _, pull = jax.vjp(lambda x: conv_transpose(x, kernel, stride=2, padding=1), jnp.asarray(x))
    np.testing.assert_allclose(np.sum(pull(dy)[0] * x), np.sum(dy * y), rtol=1e-5)


@pytest.mark.parametrize(("stride", "size"), [(2, 4), (8, 16), (16, 32), (32, 64), (32, 63)])
def test_bilinear_taps_interpolate(stride, size):
    """With FCN's kernels, every output is a weighted mean of its two neighbours."""
    taps = bilinear_taps(size)
    assert taps.shape == (size,)
    np.testing.assert_allclose(taps, taps[::-1])
    for start in range(stride):
        weights = taps[start::stride]
        assert len(weights) in (1, 2)
        if size % stride == 0:
            assert weights.sum() == pytest.approx(1)


def test_the_bilinear_init_resizes_each_channel():
    x = np.random.default_rng(0).normal(size=(1, 5, 6, 3)).astype(np.float32)
    kernel = bilinear_init(None, (4, 4, 3, 3))
    y = conv_transpose(x, kernel, stride=2, padding=1)
    assert y.shape == (1, 10, 12, 3)
    inside = jax.image.resize(x, (1, 10, 12, 3), "bilinear")[:, 1:-1, 1:-1]
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], inside, atol=1e-6)


def test_kernel_and_bias_of_the_module_are_float32():
    layer = ConvTranspose(8, 2, 2, use_bias=True, compute=Compute("bfloat16"))
    y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 3, 3, 4)))
    assert (y.shape, y.dtype) == ((1, 6, 6, 8), jnp.bfloat16)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), variables["params"]) == {
        "kernel": ((2, 2, 4, 8), "float32"),
        "bias": ((8,), "float32"),
    }


def test_padding_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="padding 2 leaves nothing of"):
        conv_transpose(jnp.ones((1, 1, 1, 1)), jnp.ones((3, 3, 1, 1)), stride=2, padding=2)
