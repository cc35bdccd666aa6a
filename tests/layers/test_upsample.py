"""Every kind of upsampling against NumPy, at odd sizes and by two factors; invalid arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.compute import Compute
from jaxseg.layers.upsample import KINDS, Upsample, interpolating_init
from tests.models.networks import QUICK

CASES = [((5, 8), 2), ((7, 4), 3), ((1, 1), 2)]  # size of the result, factor


def interpolated(x, factor, outside):
    """Bilinear interpolation by loops in float64; `outside` is the mode of `np.pad`."""
    batch, rows, columns, channels = x.shape
    edged = np.pad(x.astype(np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)], mode=outside)
    y = np.zeros((batch, rows * factor, columns * factor, channels))
    for i, j in np.ndindex(*y.shape[1:3]):
        row, column = ((k + 0.5) / factor + 0.5 for k in (i, j))  # in the padded map
        r, c = int(row), int(column)
        for di, dj in np.ndindex(2, 2):
            share = (1 - abs(row - r - di)) * (1 - abs(column - c - dj))
            y[:, i, j] += share * edged[:, r + di, c + dj] if share > 0 else 0
    return y


def expected(kind, x, places, factor):
    """Returns the result before it is cropped to size."""
    if kind == "nearest":
        return x.repeat(factor, 1).repeat(factor, 2)
    if kind == "bilinear":
        return interpolated(x, factor, "edge")
    if kind.startswith("transposed"):
        return interpolated(x, factor, "constant")
    y = np.zeros((x.shape[0], factor * x.shape[1], factor * x.shape[2], x.shape[3]))
    for b, i, j, c in np.ndindex(*x.shape):
        place = places[b, i, j, c] if kind == "max_unpooling" else 0
        y[b, factor * i + place // factor, factor * j + place % factor, c] = x[b, i, j, c]
    return y


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_each_kind_equals_its_definition(form):
    rng = np.random.default_rng(0)
    inputs = []
    for size, factor in CASES:
        x = rng.normal(size=(2, *(-(-n // factor) for n in size), 3)).astype(np.float32)
        inputs.append((x, rng.integers(0, factor * factor, x.shape).astype(np.uint8)))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(inputs):
        results = {}
        for (x, places), (size, factor) in zip(inputs, CASES, strict=True):
            for kind in KINDS:
                layer = Upsample(kind, factor, compute=Compute(form=form))
                y, variables = layer.init_with_output(jax.random.key(0), x, size, places)
                results[kind, size] = y, variables.get("params", {})
        return [results[kind, size] for kind in KINDS for size, _ in CASES]

    results = iter(run(inputs))
    for kind in KINDS:
        for (x, places), (size, factor) in zip(inputs, CASES, strict=True):
            y, params = next(results)
            whole = expected(kind, x, places, factor)[:, : size[0], : size[1]]
            np.testing.assert_allclose(y, whole, atol=1e-5, err_msg=f"{kind} to {size}")
            taps = 2 * factor - factor % 2
            kernels = {"kernel": (taps, taps, 3, 3)} if kind == "transposed" else {}
            assert jax.tree.map(jnp.shape, params) == kernels


@pytest.mark.parametrize(("size", "stride"), [(4, 2), (8, 2), (6, 2), (5, 3), (16, 8)])
def test_an_initial_transposed_convolution_preserves_a_constant_map(size, stride):
    """The weights of each output sum to 1, also with 8 taps at stride 2 (SegNet, Table 1)."""
    kernel = np.asarray(interpolating_init(stride)(None, (size, size, 2, 2)))
    for i, j in np.ndindex(stride, stride):
        place = kernel[i::stride, j::stride].sum((0, 1))
        np.testing.assert_allclose(place, np.eye(2), atol=1e-6)


def test_a_wide_kernel_gives_the_same_size():
    shape = jax.eval_shape(
        lambda x: Upsample("transposed", kernel_size=8).init_with_output(
            jax.random.key(0), x, (45, 60)
        )[0],
        jnp.zeros((1, 23, 30, 2)),
    ).shape
    assert shape == (1, 45, 60, 2)


@pytest.mark.parametrize(
    ("layer", "size", "says"),
    [
        (Upsample("unpooling"), (4, 4), "upsampling is 'unpooling': it must be one of nearest,"),
        (Upsample("max_unpooling"), (4, 4), "needs the places of a pooling"),
        (Upsample("nearest"), (5, 4), "2 x 2 pixels do not become 5 x 4 by factor 2: 3 x 2 would"),
        (Upsample("transposed", kernel_size=3), (4, 4), "kernel_size is 3"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_invalid_arguments_are_refused(layer, size, says):
    with pytest.raises(ValueError, match=says):
        layer.init(jax.random.key(0), jnp.zeros((1, 2, 2, 3)), size)
