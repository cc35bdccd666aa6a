"""The forms of Gaussian sums against each other and against NumPy in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.postprocess import gaussian_pallas
from jaxseg.postprocess.gaussian_sum import (
    gaussian_sum,
    rounding_radius,
    separable_gaussian_sum,
)
from tests.postprocess.quick import QUICK


def test_the_kernel_is_accurate_in_float32_far_from_the_origin():
    """Uses black and white at theta_beta 3, and colours that differ by less than theta."""
    rng = np.random.default_rng(0)
    features = rng.choice([-42.5, 42.5], (600, 5)) + rng.normal(0, 0.3, (600, 5))
    features = features.astype(np.float32)
    values = rng.random((600, 2)).astype(np.float32)
    wide = features.astype(np.float64)
    kernel = np.exp(-((wide[:, None] - wide[None]) ** 2).sum(-1) / 2)
    sums = jax.jit(gaussian_sum, compiler_options=QUICK)(features, values)
    np.testing.assert_allclose(sums, kernel @ values.astype(np.float64), rtol=3e-6)


@pytest.mark.parametrize("kernel", ["triton", "mosaic"])
def test_a_pallas_kernel_equals_tiles_in_value_and_gradient(kernel, monkeypatch):
    """Interpreted, with two blocks of rows and columns that the pixels do not fill."""
    for blocks in (gaussian_pallas._ROWS, gaussian_pallas._COLUMNS):
        monkeypatch.setitem(blocks, kernel, 16)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(27, 5)).astype(np.float32) * 2
    values, way = rng.normal(size=(2, 27, 3)).astype(np.float32)

    def both(features, values, form):
        sums, pull = jax.vjp(lambda f, v: gaussian_sum(f, v, form), features, values)
        return sums, *pull(way)

    run = jax.jit(both, static_argnums=2, compiler_options=QUICK)
    for x, y in zip(run(features, values, kernel), run(features, values, "tiles"), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "platform"), [("triton", "cuda"), ("mosaic", "tpu")])
def test_a_pallas_kernel_can_be_lowered_for_its_platform(kernel, platform):
    """With 21 classes and the features of a CRF; this does not need such a device."""
    shapes = [jax.ShapeDtypeStruct((5000, n), jnp.float32) for n in (5, 21)]
    traced = jax.jit(lambda f, v: gaussian_pallas.kernel_sum(f, v, kernel)).trace(*shapes)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert {"triton": "triton", "mosaic": "tpu_custom_call"}[kernel] in text


@pytest.mark.parametrize("fault", [RuntimeError("no such instruction"), 1.01])
def test_a_kernel_that_does_not_work_is_not_used(fault, monkeypatch):
    """On a mocked GPU backend, a kernel that fails and one with wrong sums give a warning."""
    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(2, 30, 3)).astype(np.float32)

    def broken(features, values, kernel, interpret=False):
        if isinstance(fault, Exception):
            raise fault
        weights = np.exp(-((features[:, None] - features) ** 2).sum(-1) / 2)
        return fault * weights @ values

    weights = np.exp(-((features[:, None] - features) ** 2).sum(-1) / 2)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(gaussian_pallas, "kernel_sum", broken)
    gaussian_pallas.works.cache_clear()
    with pytest.warns(UserWarning, match="triton kernel .* does not work here"):
        sums = jax.jit(lambda *x: gaussian_sum(*x), compiler_options=QUICK)(features, values)
    gaussian_pallas.works.cache_clear()
    np.testing.assert_allclose(sums, weights @ values, rtol=1e-4, atol=1e-5)


def test_a_kernel_that_works_is_found_while_tracing(monkeypatch):
    """Interpreted, on a mocked TPU backend."""
    interpreted = functools.partial(gaussian_pallas.kernel_sum, interpret=True)
    monkeypatch.setattr(gaussian_pallas, "kernel_sum", interpreted)
    for blocks in (gaussian_pallas._ROWS, gaussian_pallas._COLUMNS):
        monkeypatch.setitem(blocks, "mosaic", 16)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    gaussian_pallas.works.cache_clear()
    found = []
    jax.make_jaxpr(lambda x: found.append(gaussian_pallas.works(5, 21)) or x)(0.0)
    gaussian_pallas.works.cache_clear()
    assert found == ["mosaic"]


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form: 'fast'; allowed: auto, tiles"):
        gaussian_sum(np.zeros((2, 1)), np.zeros((2, 1)), "fast")


def test_a_banded_kernel_equals_the_whole_one_in_value_and_gradient():
    """Rows have three blocks, columns one; large values are where the band ends."""
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
    assert np.abs(cut - whole[0]).max() > 1e-2  # so a band was used


def test_all_rows_count_if_the_image_is_smaller_than_a_band():
    values = np.random.default_rng(0).random((5, 40, 2), np.float32)
    x = np.arange(40)
    rows, columns = (np.exp(-((x[:n, None] - x[:n]) ** 2) / (2 * 4.0**2)) for n in (5, 40))
    expected = np.einsum("hH,wW,HWc->hwc", rows, columns, values.astype(np.float64))
    run = jax.jit(lambda v: separable_gaussian_sum(v, 4.0, 24), compiler_options=QUICK)
    assert rounding_radius(4.0) == 24
    np.testing.assert_allclose(run(values), expected, rtol=1e-6)
