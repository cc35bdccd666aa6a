"""The forms of sums with a Gaussian against each other and against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.postprocess.gaussian_sum import (
    gaussian_sum,
    rounding_radius,
    separable_gaussian_sum,
)

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def test_float32_keeps_the_kernels_digits_far_from_the_origin():
    """Black and white at theta_beta 3, and a pair of colours that differ by less than theta."""
    rng = np.random.default_rng(0)
    features = rng.choice([-42.5, 42.5], (600, 5)) + rng.normal(0, 0.3, (600, 5))
    features = features.astype(np.float32)
    values = rng.random((600, 2)).astype(np.float32)
    wide = features.astype(np.float64)
    kernel = np.exp(-((wide[:, None] - wide[None]) ** 2).sum(-1) / 2)
    sums = jax.jit(gaussian_sum, compiler_options=QUICK)(features, values)
    np.testing.assert_allclose(sums, kernel @ values.astype(np.float64), rtol=3e-6)


def test_a_banded_kernel_is_the_whole_one_in_value_and_gradient():
    """Rows in three blocks, columns in one; large values stand where the band ends."""
    theta = 1.5
    radius = rounding_radius(theta)
    assert radius == 9
    rng = np.random.default_rng(0)
    values = rng.random((71, 20, 3), np.float32)
    values[[0, 31, 70], 3] = 50
    way = rng.normal(size=values.shape).astype(np.float32)

    def both(values, radius):
        sums, pull = jax.vjp(lambda v: separable_gaussian_sum(v, theta, radius), values)
        return sums, pull(way)[0]

    run = jax.jit(both, static_argnums=1, compiler_options=QUICK)
    whole, banded = run(values, None), run(values, radius)
    for x, y in zip(whole, banded, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=2e-5)
    cut = np.asarray(jax.jit(both, static_argnums=1, compiler_options=QUICK)(values, 4)[0])
    assert np.abs(cut - whole[0]).max() > 1e-2  # so it was a band that was used


def test_all_rows_count_where_the_image_is_smaller_than_a_band():
    values = np.random.default_rng(0).random((5, 40, 2), np.float32)
    x = np.arange(40)
    rows, columns = (np.exp(-((x[:n, None] - x[:n]) ** 2) / (2 * 4.0**2)) for n in (5, 40))
    expected = np.einsum("hH,wW,HWc->hwc", rows, columns, values.astype(np.float64))
    sums = jnp.asarray(separable_gaussian_sum(values, 4.0, rounding_radius(4.0)))
    np.testing.assert_allclose(sums, expected, rtol=1e-6)
