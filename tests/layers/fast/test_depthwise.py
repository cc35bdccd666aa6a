"""Depthwise convolution by multiply-adds against NumPy in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import DepthwiseConv, conv
from jaxseg.layers.fast import depthwise
from tests.helpers.rates import EVERY_RATE

# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
CHANNELS = 3


def _by_numpy(x, kernel, dy, stride, rate, padding):
    """Computes the value and both gradients; `dy` has the shape of the value."""
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    y, dx, dw = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    rows, columns = (np.arange(n) * stride for n in dy.shape[1:3])
    for i, j in np.ndindex(*kernel.shape[:2]):
        under = (slice(None), *np.ix_(rows + i * rate, columns + j * rate))
        y += padded[under] * kernel[i, j, 0]
        dx[under] += dy * kernel[i, j, 0]
        dw[i, j, 0] = (padded[under] * dy).sum((0, 1, 2))
    height, width = x.shape[1:3]
    return y, dx[:, padding : padding + height, padding : padding + width], dw


def _check(cases):
    """Checks cases (size, kernel, stride, rate, padding) in one float64 program."""
    rng = np.random.default_rng(0)
    arguments = []
    for size, kernel, stride, rate, padding in cases:
        pad = rate * (kernel - 1) // 2 if padding is None else padding
        outputs = [(n + 2 * pad - rate * (kernel - 1) - 1) // stride + 1 for n in size]
        shapes = (2, *size, CHANNELS), (kernel, kernel, 1, CHANNELS), (2, *outputs, CHANNELS)
        arguments.append([rng.normal(size=shape) for shape in shapes])

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(arguments):
        results = []
        for (x, kernel, dy), (_, _, stride, rate, padding) in zip(arguments, cases, strict=True):
            options = {"stride": stride, "rate": rate, "padding": padding, "groups": CHANNELS}
            fast = functools.partial(conv, form="fast", **options)
            y, pull = jax.vjp(fast, x, kernel)
            results.append((y, *pull(dy)))
        return results

    with jax.enable_x64(True):
        results = jax.device_get(run(arguments))
    for case, arrays, actual in zip(cases, arguments, results, strict=True):
        _, kernel, stride, rate, padding = case
        pad = rate * (kernel - 1) // 2 if padding is None else padding
        for a, b in zip(actual, _by_numpy(*arrays, stride, rate, pad), strict=True):
            assert a.dtype == np.float64
            np.testing.assert_allclose(a, b, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize("size", [(7, 10), (5, 4)])
@EVERY_RATE
def test_every_rate_even_beyond_the_map(size, rates):
    _check([(size, 3, 1, rate, None) for rate in rates.tolist()])


LESS_USUAL = [
    ((4, 7), 3, 2, 6, None),  # strides on a map smaller than its rate
    ((8, 7), 5, 3, 1, None),
    ((7, 6), 3, 1, 2, 0),
    ((6, 7), 3, 2, 1, 3),
    ((7, 6), 4, 2, 1, 1),
    ((3, 3), 2, 1, 8, None),  # no tap falls on the map
]


@pytest.mark.parametrize(("on_cpu", "cases"), [(True, LESS_USUAL), (False, LESS_USUAL[::3])])
def test_strides_kernels_and_paddings(on_cpu, cases, monkeypatch):
    """With both forms of the kernel's gradient."""
    monkeypatch.setattr(depthwise, "on_cpu", lambda: on_cpu)
    _check(cases)


def test_a_module_computes_in_its_dtype_and_filters_each_channel_alone():
    x = np.random.default_rng(1).normal(size=(1, 6, 6, CHANNELS)).astype(np.float32)
    module = DepthwiseConv(rate=2, use_bias=True, compute=Compute("bfloat16", "fast"))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x))
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    apply = jax.jit(module.apply, compiler_options=QUICK)
    y = apply(variables, x)
    assert y.dtype == jnp.bfloat16
    changed = apply(variables, x + np.array([0, 1, 0], np.float32))
    moved = np.any(np.asarray(y != changed), (0, 1, 2))
    assert moved.tolist() == [False, True, False]


def test_a_kernel_larger_than_the_padded_map_is_refused():
    x, kernel = jnp.zeros((1, 3, 9, 2)), jnp.zeros((5, 5, 1, 2))
    for form in ("plain", "fast"):
        with pytest.raises(ValueError, match=r"a map of 3 pixels .* kernel of 5 at rate 1"):
            conv(x, kernel, groups=2, padding=0, form=form)
