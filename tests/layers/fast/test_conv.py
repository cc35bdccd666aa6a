"""Every form of convolution equals XLA's in value and in both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import (
    Conv,
    DepthwiseConv,
    SeparableConv,
    conv,
    he_normal_fan_in,
    he_normal_fan_out,
    plain_conv,
)
from jaxseg.layers.fast import conv as fast_conv
from jaxseg.layers.fast import depthwise, patches, winograd
from jaxseg.layers.fast.conv import Plan, plan
from jaxseg.layers.norm import Norm
from jaxseg.layers.window import Window
from tests.helpers.rates import EVERY_RATE

TAPS = Plan("taps", "taps", "taps")
WINOGRAD = Plan("winograd", "winograd", "winograd")
PATCHES = Plan("library", "library", "patches")

FULL = {"xla_backend_optimization_level": 3}  # XLA's default
# Compilation takes most of the time here, so programs are compiled with little optimisation.
FAST_COMPILE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _windows(size, kernel, stride, rate, padding=None):
    padding = rate * (kernel - 1) // 2 if padding is None else padding
    return tuple(Window(n, kernel, stride, rate, padding) for n in size)


def _draw(seed, *shapes, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def _passes(function, x, kernel):
    """Returns the value, and both gradients for a cotangent that differs at every position."""
    y, pull = jax.vjp(function, x, kernel)
    dy = jnp.sin(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape).astype(y.dtype)
    return y, *pull(dy)


def _differences(cases):
    """Returns the largest relative difference between the passes of f and g, for each case."""

    def compare():
        worst = []
        for expected, actual, x, kernel in cases:
            pairs = zip(_passes(expected, x, kernel), _passes(actual, x, kernel), strict=True)
            worst += [jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(a)) for a, b in pairs]
        return jnp.stack(worst)

    return np.asarray(jax.jit(compare, compiler_options=FAST_COMPILE)()).reshape(-1, 3)


@pytest.mark.parametrize("size", [(9, 10), (6, 3)])
@EVERY_RATE
def test_taps_at_every_rate(size, rates):
    """Odd and even maps, and maps smaller than the rate, on which only the middle tap falls."""
    x, kernel = _draw(0, (2, *size, 3), (3, 3, 3, 4))
    cases = []
    for rate in rates.tolist():
        windows = _windows(size, 3, 1, rate)
        cases.append(
            (
                lambda x, k, w=windows: plain_conv(x, k, w),
                lambda x, k, w=windows: fast_conv.fast_conv(x, k, w, TAPS, plain_conv),
                x,
                kernel,
            )
        )
    assert _differences(cases).max() < 1e-5


@pytest.mark.parametrize("size", [(9, 10), (5, 4)])
@EVERY_RATE
def test_winograd_at_every_rate(size, rates):
    x, kernel = _draw(1, (2, *size, 3), (3, 3, 3, 4))
    cases = []
    for rate in rates.tolist():
        windows = _windows(size, 3, 1, rate)
        cases.append(
            (
                lambda x, k, w=windows: plain_conv(x, k, w),
                lambda x, k, w=windows: fast_conv.fast_conv(x, k, w, WINOGRAD, plain_conv),
                x,
                kernel,
            )
        )
    assert _differences(cases).max() < 1e-5


@pytest.mark.parametrize("size", [(11, 10), (6, 13)])
def test_winograd_in_bands(size, monkeypatch):
    """With bands of one or more rows of tiles; the last band extends beyond the map."""
    monkeypatch.setattr(winograd, "_CACHED", 1)
    x, kernel = _draw(1, (2, *size, 3), (3, 3, 3, 4))
    cases, counts = [], []
    for rate in (1, 2, 3):
        windows = _windows(size, 3, 1, rate)
        counts.append(winograd._Bands.of(x, (3, 4), rate).count)
        cases.append(
            (
                lambda x, k, w=windows: plain_conv(x, k, w),
                lambda x, k, w=windows: fast_conv.fast_conv(x, k, w, WINOGRAD, plain_conv),
                x,
                kernel,
            )
        )
    assert min(counts[:2]) > 1
    assert _differences(cases).max() < 1e-5


@pytest.mark.parametrize(("chosen", "cached"), [(TAPS, 1), (PATCHES, 2_000), (PATCHES, 1 << 18)])
def test_kernels_strides_and_paddings(chosen, cached, monkeypatch):
    """Patches in several bands of rows, and in a single one."""
    monkeypatch.setattr(patches, "_CACHED", cached)
    cases = []
    for size, kernel, stride, rate, padding in [
        ((9, 8), 1, 1, 1, None),
        ((9, 8), 1, 2, 1, None),
        ((9, 8), 3, 2, 1, None),
        ((8, 9), 3, 2, 3, None),
        ((9, 9), 3, 3, 1, None),
        ((8, 7), 5, 1, 2, None),
        ((9, 8), 7, 2, 1, None),
        ((9, 8), 2, 2, 1, 0),
        ((9, 8), 4, 2, 1, 3),
        ((9, 8), 3, 1, 1, 0),
        ((7, 7), 3, 1, 7, None),
    ]:
        x, k = _draw(2, (2, *size, 3), (kernel, kernel, 3, 4))
        windows = _windows(size, kernel, stride, rate, padding)
        options = {"stride": stride, "rate": rate, "padding": padding}
        cases.append(
            (
                lambda x, k, o=options: conv(x, k, form="plain", **o),
                lambda x, k, w=windows: fast_conv.fast_conv(x, k, w, chosen, plain_conv),
                x,
                k,
            )
        )
    assert _differences(cases).max() < 1e-5


@pytest.mark.parametrize("on_cpu", [True, False])
def test_depthwise_at_every_stride_and_many_rates(on_cpu, monkeypatch):
    """With both forms of the kernel's gradient, and on maps smaller than the rate."""
    monkeypatch.setattr(depthwise, "on_cpu", lambda: on_cpu)
    cases = []
    for size, kernel, stride, rate in [
        *[((7, 8), 3, 1, rate) for rate in (1, 2, 3, 5, 6, 7, 8, 12, 36)],
        ((9, 8), 3, 2, 1),
        ((8, 9), 3, 2, 2),
        ((9, 9), 3, 3, 1),
        ((9, 8), 5, 1, 1),
        ((9, 8), 5, 2, 2),
        ((4, 4), 1, 1, 1),
    ]:
        x, k = _draw(3, (2, *size, 4), (kernel, kernel, 1, 4))
        options = {"stride": stride, "rate": rate, "groups": 4}
        cases.append(
            (
                lambda x, k, o=options: conv(x, k, form="plain", **o),
                lambda x, k, o=options: conv(x, k, form="fast", **o),
                x,
                k,
            )
        )
    assert _differences(cases).max() < 1e-5


def test_forms_agree_as_they_are_compiled_for_use():
    """With full optimisation, at shapes for which "auto" takes each of the forms."""
    for size, rate, channels, expected in [
        (10, 1, 64, "winograd"),
        (9, 6, 64, "taps"),
        (9, 1, 3, "library"),
    ]:
        x, kernel = _draw(4, (2, size, size, channels), (3, 3, channels, 64))
        assert plan(x, kernel, _windows((size, size), 3, 1, rate)).forward == expected
        results = [
            jax.jit(
                lambda x, k, f=form, r=rate: _passes(lambda x, k: conv(x, k, rate=r, form=f), x, k),
                compiler_options=FULL,
            )(x, kernel)
            for form in ("plain", "auto", "fast")
        ]
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_allclose(b, a, atol=1e-5 * np.abs(a).max())


def test_seen_taps_are_those_on_the_map():
    """Compares with the definition, one (output, tap) pair at a time."""
    for n in (1, 2, 5, 8):
        for k, stride, rate, padding in [
            (3, 1, 1, 1),
            (3, 1, 4, 4),
            (3, 2, 1, 1),
            (5, 3, 2, 4),
            (2, 2, 1, 1),
            (3, 2, 7, 7),
        ]:
            window = Window(n, k, stride, rate, padding)
            if window.outputs < 1:
                continue
            total = 0
            for tap in range(k):
                inputs = {o: o * stride + tap * rate - padding for o in range(window.outputs)}
                seen = [(o, i) for o, i in inputs.items() if 0 <= i < n]
                total += len(seen)
                assert window.seen(tap) == ((*seen[0], len(seen)) if seen else None)
            assert window.seen_share == pytest.approx(total / (k * window.outputs))


def _in_float64(x, kernel, dy):
    """Computes a 3x3 convolution and its two gradients with NumPy."""
    h, w = x.shape[1:3]
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    back = np.pad(dy, [(0, 0), (1, 1), (1, 1), (0, 0)])
    y, dx, dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(kernel.shape)
    for i, j in np.ndindex(3, 3):
        under = padded[:, i : i + h, j : j + w]
        y += under @ kernel[i, j]
        dx += back[:, 2 - i : 2 - i + h, 2 - j : 2 - j + w] @ kernel[i, j].T
        dw[i, j] = np.tensordot(under, dy, ([0, 1, 2], [0, 1, 2]))
    return y, dx, dw


def test_winograd_is_as_accurate_as_a_direct_sum():
    """Compares the error against float64 with the rounding error of XLA's convolution."""
    x, kernel, dy = _draw(5, (2, 16, 16, 256), (3, 3, 256, 64), (2, 16, 16, 64))
    windows = _windows((16, 16), 3, 1, 1)
    exact = _in_float64(*(np.asarray(a, np.float64) for a in (x, kernel, dy)))

    def both(x, kernel, dy):
        y, pull = jax.vjp(lambda x, k: plain_conv(x, k, windows), x, kernel)
        forward = winograd.forward(x, kernel, 1)
        gradients = winograd.input_gradient(dy, kernel, 1), winograd.kernel_gradient(x, dy, 1)
        return (y, *pull(dy)), (forward, *gradients)

    direct, fast = jax.jit(both, compiler_options=FAST_COMPILE)(x, kernel, dy)
    for reference, a, b in zip(exact, direct, fast, strict=True):
        error_direct, error_fast = (np.sqrt(np.mean((v - reference) ** 2)) for v in (a, b))
        assert error_fast < 4 * error_direct
        assert np.abs(b - reference).max() < 1e-5 * np.abs(reference).max()


def test_plan_follows_the_share_of_padding_and_the_channels():
    def forms(size, k, stride, rate, cin, cout, dtype="float32", **options):
        x = jax.ShapeDtypeStruct((2, size, size, cin), dtype)
        kernel = jax.ShapeDtypeStruct((k, k, cin, cout), dtype)
        chosen = plan(x, kernel, _windows((size, size), k, stride, rate), **options)
        return chosen.forward, chosen.input_gradient, chosen.kernel_gradient

    assert forms(33, 3, 1, 18, 2048, 256) == ("taps", "taps", "taps")
    assert forms(33, 3, 1, 1, 256, 256) == ("winograd", "winograd", "winograd")
    assert forms(64, 3, 2, 1, 128, 128) == ("library", "library", "taps")
    assert forms(256, 7, 2, 1, 3, 64) == ("library", "library", "patches")
    assert forms(64, 3, 2, 1, 64, 128) == ("library", "library", "patches")
    assert forms(64, 3, 1, 1, 16, 16)[2] == "patches"
    assert forms(33, 1, 1, 1, 256, 64) == ("taps", "taps", "taps")
    assert "winograd" not in forms(33, 3, 1, 1, 256, 256, "bfloat16")
    assert "library" not in forms(256, 7, 2, 1, 3, 64, only_fast=True)


def test_half_precision_is_summed_in_float32():
    """Adds 1024 ones, a sum that would stop at 256 in bfloat16."""
    x = jnp.ones((1, 4, 4, 1024), jnp.bfloat16)
    for kernel in (jnp.ones((1, 1, 1024, 2)), jnp.ones((3, 3, 1024, 2))):
        y = conv(x, kernel.astype(jnp.bfloat16), form="fast")
        assert y.dtype == jnp.bfloat16
        assert y[0, 2, 2, 0] == 1024 * kernel.shape[0] ** 2
    kernel = jnp.ones((3, 3, 1, 8), jnp.bfloat16)
    x = jnp.ones((1, 32, 32, 8), jnp.bfloat16)
    y, pull = jax.vjp(lambda x, k: conv(x, k, groups=8, form="fast"), x, kernel)
    dw = pull(jnp.ones_like(y))[1]
    assert y.dtype == dw.dtype == jnp.bfloat16
    assert dw[1, 1, 0, 0] == 1024


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_half_precision_is_near_float32(groups):
    x, kernel = _draw(6, (2, 9, 9, 4), (3, 3, 4 // groups, 4))
    x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    wide = conv(x.astype(jnp.float32), kernel.astype(jnp.float32), groups=groups, form="plain")
    for form in ("auto", "fast"):
        y = conv(x, kernel, groups=groups, form=form)
        assert y.dtype == jnp.bfloat16
        np.testing.assert_allclose(y.astype(jnp.float32), wide, rtol=2**-7, atol=2**-7)


def test_padding_is_symmetric_and_keeps_outputs_on_their_inputs():
    """A kernel with only a middle tap subsamples, whatever the size, stride and rate."""
    x = _draw(7, (1, 10, 7, 2))[0]
    for size in (1, 3, 5):
        kernel = jnp.zeros((size, size, 2, 2)).at[size // 2, size // 2].set(jnp.eye(2))
        for stride in (1, 2, 4):
            for rate in (1, 3):
                y = conv(x, kernel, stride=stride, rate=rate)
                np.testing.assert_array_equal(y, x[:, ::stride, ::stride])


def test_unknown_form_is_refused():
    x, kernel = _draw(8, (1, 4, 4, 2), (3, 3, 2, 2))
    with pytest.raises(ValueError, match="form is 'quick': it must be one of auto, plain, fast"):
        conv(x, kernel, form="quick")


def _shapes(module, x, *args, **options):
    """Returns the shapes of output and parameters, without computing them."""
    key = jax.random.key(0)
    y, variables = jax.eval_shape(lambda x: module.init_with_output(key, x, *args, **options), x)
    return (y.shape, y.dtype.name), jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype.name), variables["params"]
    )


def test_parameters_are_float32_and_the_outputs_in_the_compute_dtype():
    x = jnp.ones((1, 8, 8, 16))
    y, params = _shapes(Conv(8, 5, use_bias=True, groups=2, compute=Compute("bfloat16")), x)
    assert y == ((1, 8, 8, 8), "bfloat16")
    assert params == {"kernel": ((5, 5, 8, 8), "float32"), "bias": ((8,), "float32")}
    y, params = _shapes(DepthwiseConv(stride=2, compute=Compute("bfloat16"), use_bias=True), x)
    assert y == ((1, 4, 4, 16), "bfloat16")
    assert params == {"kernel": ((3, 3, 1, 16), "float32"), "bias": ((16,), "float32")}


def test_initial_kernels_have_the_variance_of_he_et_al():
    key = jax.random.key(0)
    kernel = he_normal_fan_out(key, (3, 3, 64, 256))
    assert np.std(kernel) == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.02)
    kernel = he_normal_fan_in(key, (3, 3, 64, 256))
    assert np.std(kernel) == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)
    assert Conv(4).kernel_init is he_normal_fan_out
    assert DepthwiseConv().kernel_init is he_normal_fan_in


def test_separable_convolution_equals_its_two_convolutions():
    x = _draw(9, (2, 9, 9, 4))[0]
    module = SeparableConv(6, rate=2, activate_depthwise=False, activate=False, norm=Norm("none"))
    y, variables = module.init_with_output(jax.random.key(0), x, train=False)
    assert sorted(variables["params"]) == ["depthwise", "pointwise"]
    depth, point = (variables["params"][name]["kernel"] for name in ("depthwise", "pointwise"))
    dense = depth * jnp.eye(4)[None, None]  # [3, 3, 4, 4]: the same filter without groups
    expected = conv(conv(x, dense, rate=2, form="plain"), point, form="plain")
    np.testing.assert_allclose(y, expected, atol=1e-5)
    names = ["depthwise", "depthwise_norm", "pointwise", "pointwise_norm"]
    assert sorted(_shapes(SeparableConv(6), x, train=False)[1]) == names
