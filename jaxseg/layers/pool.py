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
    """Yields the values at each position of the windows, row by row: [B, h, w, C].

    Values outside the map are minus infinity.
    """
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
    """The maximum of the slices, one for each position in a window."""
    return functools.reduce(jnp.maximum, _slices(x, windows))


def _sliced_max_forward(x: Array, windows: Windows) -> tuple:
    places = _slices(x, windows)
    best = next(places)
    first = jnp.zeros(best.shape, jnp.uint8)  # index of the first maximum in its window
    for place, value in enumerate(places, start=1):
        first = jnp.where(value > best, jnp.uint8(place), first)
        best = jnp.maximum(best, value)
    return best, first


def _sliced_max_backward(windows: Windows, first: Array, dy: Array) -> tuple[Array]:
    rows, columns = windows
    wide = dy.astype(accumulator(dy))
    zero = jnp.zeros((), wide.dtype)
    # The sum includes the padding, which is cropped at the end: XLA (jax 0.10) cannot partition a
    # lax.pad over devices that dilates and crops at the same time.
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
    """Returns the number of pixels to append so that Caffe's last window fits."""
    outputs = max(1, -(-(inputs + 2 * padding - window) // stride) + 1)
    if padding and (outputs - 1) * stride >= inputs + padding:
        outputs -= 1  # that window would cover padding only
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
    """The maximum of each window; the gradient goes to the first maximum in row order.

    Args:
      x: the map.
      window: side of the square window.
      stride: distance between neighbouring windows, in pixels.
      padding: pixels of minus infinity on each side.
      ceil: Caffe's rule: a last window that only starts inside the map (or the padding before it)
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
    # Slices compile to one fused loop, and their gradient is summed in a fixed order, even on GPUs.
    few = window <= _MOST_SLICES and jax.default_backend() != "tpu"
    if use_fast(form, few):
        return _sliced_max(x, cast(Windows, windows))
    return nn.max_pool(x, (window, window), (stride, stride), [(padding, padding)] * 2)


def avg_pool(
    x: Float[Array, "b h w c"], window: int, stride: int, padding: int = 0
) -> Float[Array, "b y x c"]:
    """The mean of each window; zeros from the padding are included, as by default in PyTorch."""
    pads = [(padding, padding)] * 2
    return nn.avg_pool(x, (window, window), (stride, stride), pads)


def global_avg_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b 1 1 c"]:
    """The mean of the whole map, accumulated in at least float32."""
    return jnp.mean(x, axis=(1, 2), keepdims=True, dtype=accumulator(x)).astype(x.dtype)
