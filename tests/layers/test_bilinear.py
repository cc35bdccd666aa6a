"""The fixed deconvolution: both forms equal a transposed convolution with the bilinear kernel."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.bilinear import bilinear_conv_transpose
from jaxseg.layers.conv_transpose import bilinear_init, conv_transpose
from tests.models.networks import QUICK


@pytest.mark.parametrize(
    ("map_size", "size", "stride"),
    [
        ((4, 5), 4, 2),
        ((3, 4), 16, 8),
        ((2, 1), 32, 16),
        ((2, 2), 64, 32),
        ((1, 3), 63, 32),
        ((3, 2), 5, 3),
        ((3, 4), 1, 1),
    ],
)
def test_both_forms_are_the_convolution_in_value_and_gradient(map_size, size, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *map_size, 3)).astype(np.float32)
    kernel = bilinear_init(None, (size, size, 3, 3))
    outputs = [stride * (n - 1) + size for n in map_size]
    dy = rng.normal(size=(2, *outputs, 3)).astype(np.float32)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(x, dy):
        functions = [
            functools.partial(bilinear_conv_transpose, size=size, stride=stride, form=form)
            for form in ("plain", "fast")
        ]
        functions.append(lambda x: conv_transpose(x, kernel, stride=stride, form="plain"))
        pulled = [jax.vjp(function, x) for function in functions]
        return [(y, *pull(dy)) for y, pull in pulled]

    *ours, convolution = run(x, dy)
    for y, dx in ours:
        np.testing.assert_allclose(y, convolution[0], atol=1e-5)
        np.testing.assert_allclose(dx, convolution[1], rtol=1e-4, atol=1e-4)


def test_half_precision_is_accumulated_in_float32():
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    y = bilinear_conv_transpose(jnp.asarray(x, jnp.bfloat16), size=8, stride=4)
    assert y.dtype == jnp.bfloat16
    rounded = jnp.asarray(x, jnp.bfloat16).astype(jnp.float32)
    expected = bilinear_conv_transpose(rounded, size=8, stride=4)
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=2**-8)


@pytest.mark.parametrize("size", [3, 6, 9])
def test_a_size_that_does_not_interpolate_two_inputs_is_refused(size):
    with pytest.raises(ValueError, match=f"size is {size}: with stride 4"):
        bilinear_conv_transpose(jnp.ones((1, 2, 2, 1)), size=size, stride=4)
