"""Max and average pooling."""

import functools
import itertools
from collections.abc import Iterator
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Num

from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.fast.forms import use_fast
from jaxseg.layers.window import Window, Windows
from jaxseg.types import Array

_MOST_SLICES = 5  # side of the largest window that is unrolled


def _slices(x: Array, windows: Windows) -> Iterator[Array]:
    """Each place in a window, row by row: [B, h, w, C], minus infinity beyond the map."""
    rows, columns = windows
    edges = [(w.padding, w.padding) for w in windows]
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)], constant_values=-jnp.inf)
    for i in range(rows.kernel):
        for j in range(columns.kernel):
            bottom = i + rows.stride * (rows.outputs - 1) + 1
            right = j + columns.stride * (columns.outputs - 1) + 1
            yield x[:, i : bottom : rows.stride, j : right : columns.stride]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sliced_max(x: Array, windows: Windows) -> Array:
    """The maximum over slices, one for each place in a window."""
    return functools.reduce(jnp.maximum, _slices(x, windows))


def _sliced_max_forward(x: Array, windows: Windows) -> tuple:
    places = _slices(x, windows)
    best = next(places)
    first = jnp.zeros(best.shape, jnp.uint8)  # the place in the window of the first maximum
    for place, value in enumerate(places, start=1):
        first = jnp.where(value > best, jnp.uint8(place), first)
        best = jnp.maximum(best, value)
    return best, first


def _sliced_max_backward(windows: Windows, first: Array, dy: Array) -> tuple[Array]:
    rows, columns = windows
    wide = dy.astype(accumulator(dy))
    zero = jnp.zeros((), wide.dtype)
    # On the map with its padding, which is cut off once: XLA (jax 0.10) cannot split a lax.pad over
    # devices that spreads and cuts at the same time.
    shape = [w.inputs + 2 * w.padding for w in windows]
    dx = jnp.zeros((dy.shape[0], *shape, dy.shape[3]), wide.dtype)
    for place, tap in enumerate(itertools.product(range(rows.kernel), range(columns.kernel))):
        edges = []
        for offset, size, w in zip(tap, shape, windows, strict=True):
            reach = (w.outputs - 1) * w.stride + 1
            edges.append((offset, size - offset - reach, w.stride - 1))
        here = jnp.where(first == place, wide, zero)
        dx += lax.pad(here, zero, [(0, 0, 0), *edges, (0, 0, 0)])
    top, left = (w.padding for w in windows)
    dx = dx[:, top : top + rows.inputs, left : left + columns.inputs]
    return (dx.astype(dy.dtype),)


_sliced_max.defvjp(_sliced_max_forward, _sliced_max_backward)


def _after_last(inputs: int, window: int, stride: int, padding: int) -> int:
    """Pixels to add after the last one, so that Caffe's last window has its place."""
    outputs = max(1, -(-(inputs + 2 * padding - window) // stride) + 1)
    if padding and (outputs - 1) * stride >= inputs + padding:
        outputs -= 1  # that window would see padding only
    return max(0, (outputs - 1) * stride + window - inputs - 2 * padding)


def max_pool(
    x: Num[Array, "b h w c"],
    window: int,
    stride: int,
    padding: int = 0,
    *,
    ceil: bool = False,
    form: str = "auto",
) -> Num[Array, "b y x c"]:
    """The maximum of each window; in the gradient the first maximum, row by row, takes all.

    Args:
      x: the map.
      window: side of the square window.
      stride: of the output's grid in the input's.
      padding: of minus infinity on each side.
      ceil: Caffe's rule: a last window that only begins on the map (or on the padding before it)
        counts too, so 45 pixels give 23 with windows of 2.
      form: "auto", "plain" or "fast"; all give the same numbers.

    Returns:
      [B, (H + 2 padding - window) // stride + 1, W likewise, C]; with `ceil` that division rounds
      up.

    Raises:
      ValueError: the window is larger than the padded map.
    """
    if ceil:
        after = [_after_last(n, window, stride, padding) for n in x.shape[1:3]]
        if any(after):
            edges = [(0, 0), (0, after[0]), (0, after[1]), (0, 0)]
            x = jnp.pad(x, edges, constant_values=-jnp.inf)
    windows = tuple(Window(n, window, stride, 1, padding) for n in x.shape[1:3])
    # Slices are one fused loop, and their gradient adds in a fixed order on a GPU too.
    few = window <= _MOST_SLICES and jax.default_backend() != "tpu"
    if use_fast(form, few):
        return _sliced_max(x, cast(Windows, windows))
    return nn.max_pool(x, (window, window), (stride, stride), [(padding, padding)] * 2)


def avg_pool(
    x: Float[Array, "b h w c"], window: int, stride: int, padding: int = 0
) -> Float[Array, "b y x c"]:
    """The mean of each window; padding is zeros that count, as in torch."""
    pads = [(padding, padding)] * 2
    return nn.avg_pool(x, (window, window), (stride, stride), pads)


def global_avg_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b 1 1 c"]:
    """The mean of the whole map, summed in float32 at least."""
    return jnp.mean(x, axis=(1, 2), keepdims=True, dtype=accumulator(x)).astype(x.dtype)
