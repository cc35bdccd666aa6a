"""Local response normalisation against loops over channels, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.lrn import local_response_norm

SETTINGS = [  # size, alpha, beta, k
    (5, 1e-4, 0.75, 1.0),  # Caffe's, of CaffeNet and SegNet-Basic
    (3, 0.5, 0.75, 2.0),
    (5, 2.0, 0.5, 1.0),
    (1, 1.0, 1.0, 0.5),
    (9, 0.3, 0.75, 1.0),  # wider than the number of channels
]


def scales(x, size, alpha, k):
    """Returns the divisor of each value, before it is raised to the power beta."""
    channels = x.shape[-1]
    result = np.full(x.shape, k)
    for c in range(channels):
        for d in range(max(0, c - size // 2), min(channels, c + size // 2 + 1)):
            result[..., c] += alpha / size * x[..., d] ** 2
    return result


@pytest.mark.parametrize(("size", "alpha", "beta", "k"), SETTINGS)
def test_value_and_gradient_equal_loops(size, alpha, beta, k):
    """dL/dx[c] = dy[c] s[c]^-beta - 2 beta alpha / n x[c] sum of dy[d] x[d] s[d]^(-beta - 1)."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(scale=3, size=(2, 2, 3, 2, 7))
    scale = scales(x, size, alpha, k)
    y, pull = jax.vjp(lambda x: local_response_norm(x, size, alpha, beta, k), jnp.float32(x))
    np.testing.assert_allclose(y, x * scale**-beta, rtol=1e-5, atol=1e-6)
    dx = dy * scale**-beta
    for c in range(7):
        for d in range(max(0, c - size // 2), min(7, c + size // 2 + 1)):
            through = dy[..., d] * x[..., d] * scale[..., d] ** (-beta - 1)
            dx[..., c] -= 2 * beta * alpha / size * x[..., c] * through
    np.testing.assert_allclose(pull(jnp.float32(dy))[0], dx, rtol=1e-4, atol=1e-5)


def test_raw_pixels_in_half_precision():
    """SegNet-Basic normalises raw pixels, so their squares must be summed in float32."""
    x = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype(np.float64)
    y = local_response_norm(jnp.asarray(x, jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    expected = x * scales(x, 5, 1e-4, 1.0) ** -0.75
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("size", [0, 2, 4])
def test_a_window_without_a_middle_is_refused(size):
    with pytest.raises(ValueError, match=f"size is {size}"):
        local_response_norm(jnp.ones((1, 1, 1, 4)), size)
