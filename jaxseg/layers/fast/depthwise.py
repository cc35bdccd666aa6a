"""Depthwise convolution as shifted multiply-adds.

XLA's convolution with one group per channel does not use its fast paths, and XLA computes its
kernel gradient as that of a dense convolution, of which it keeps the diagonal: C times the work.
Here the forward pass and the input's gradient are sums of shifted maps, each a single fused loop
over memory, and the kernel's gradient loops over the rows with one partial sum for each tap, column
and channel.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.fast.forms import on_cpu
from jaxseg.layers.window import Windows
from jaxseg.types import Array


def _seen_taps(windows: Windows) -> list[tuple[int, int]]:
    """Returns the taps that cover at least one pixel of the map."""
    rows, columns = windows
    return [
        (i, j)
        for i in range(rows.kernel)
        for j in range(columns.kernel)
        if rows.seen(i) and columns.seen(j)
    ]


def _padded(x: Array, windows: Windows) -> Array:
    edges = [(w.padding, w.padding) for w in windows]
    return jnp.pad(x.astype(accumulator(x)), [(0, 0), *edges, (0, 0)])


def _under(x: Array, windows: Windows, i: int, j: int) -> Array:
    """Returns the pixels of the padded map under a tap, [B, h, w, C]."""
    rows, columns = windows
    top, left = i * rows.rate, j * columns.rate
    bottom = top + rows.stride * (rows.outputs - 1) + 1
    right = left + columns.stride * (columns.outputs - 1) + 1
    return x[:, top : bottom : rows.stride, left : right : columns.stride]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw 1 c"], windows: Windows
) -> Float[Array, "b {windows[0].outputs} {windows[1].outputs} c"]:
    """Convolves each channel separately; it has reverse-mode derivatives only."""
    padded = _padded(x, windows)
    shape = (x.shape[0], windows[0].outputs, windows[1].outputs, x.shape[3])
    y = jnp.zeros(shape, padded.dtype)
    for i, j in _seen_taps(windows):
        y += _under(padded, windows, i, j) * kernel[i, j, 0]
    return y.astype(x.dtype)


def _forward(x: Array, kernel: Array, windows: Windows) -> tuple:
    return depthwise_conv(x, kernel, windows), (x, kernel)


def _backward(windows: Windows, residuals: tuple, dy: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    kernel_gradient = _kernel_gradient_by_rows if on_cpu() else _kernel_gradient
    dx = _input_gradient(dy, kernel, windows)
    return dx, kernel_gradient(x, dy, windows).astype(kernel.dtype)


depthwise_conv.defvjp(_forward, _backward)


def _input_gradient(dy: Array, kernel: Array, windows: Windows) -> Array:
    """Returns the gradient with respect to the input, [B, H, W, C]."""
    wide = dy.astype(accumulator(dy))
    # The sum includes the padding, which is cropped at the end: XLA (jax 0.10) cannot partition a
    # lax.pad over devices that dilates and crops at the same time.
    shape = [w.inputs + 2 * w.padding for w in windows]
    dx = jnp.zeros((dy.shape[0], *shape, dy.shape[3]), wide.dtype)
    for i, j in _seen_taps(windows):
        edges = []
        for tap, size, w in zip((i, j), shape, windows, strict=True):
            before = tap * w.rate
            reach = (w.outputs - 1) * w.stride + 1
            edges.append((before, size - before - reach, w.stride - 1))
        dx += lax.pad(
            wide * kernel[i, j, 0], jnp.zeros((), wide.dtype), [(0, 0, 0), *edges, (0, 0, 0)]
        )
    (top, left), (rows, columns) = (w.padding for w in windows), (w.inputs for w in windows)
    return dx[:, top : top + rows, left : left + columns].astype(dy.dtype)


def _kernel_gradient(x: Array, dy: Array, windows: Windows) -> Array:
    """Returns the gradient with respect to the kernel, [kh, kw, 1, C], by one sum per tap."""
    padded, wide = _padded(x, windows), dy.astype(accumulator(dy))
    sums = {
        (i, j): jnp.sum(_under(padded, windows, i, j) * wide, (0, 1, 2))
        for i, j in _seen_taps(windows)
    }
    return _kernel_of(sums, windows, x.shape[3], wide.dtype)


def _kernel_gradient_by_rows(x: Array, dy: Array, windows: Windows) -> Array:
    """`_kernel_gradient` in a tenth of its time on CPU, where a sum over few elements is slow."""
    padded, wide = _padded(x, windows), dy.astype(accumulator(dy))
    rows, columns = windows
    taps = _seen_taps(windows)
    reach = rows.rate * (rows.kernel - 1) + 1
    span = columns.stride * (columns.outputs - 1) + 1

    def add_row(sums: list[Array], row: Array) -> tuple[list[Array], None]:
        under = lax.dynamic_slice_in_dim(padded, row * rows.stride, reach, axis=1)
        here = lax.dynamic_index_in_dim(wide, row, axis=1, keepdims=False)  # [B, w, C]
        for n, (i, j) in enumerate(taps):
            left = j * columns.rate
            pixels = under[:, i * rows.rate, left : left + span : columns.stride]
            sums[n] += pixels * here
        return sums, None

    zeros = jnp.zeros((x.shape[0], columns.outputs, x.shape[3]), wide.dtype)
    sums, _ = lax.scan(add_row, [zeros] * len(taps), jnp.arange(rows.outputs))
    by_tap = {tap: s.sum((0, 1)) for tap, s in zip(taps, sums, strict=True)}
    return _kernel_of(by_tap, windows, x.shape[3], wide.dtype)


def _kernel_of(
    sums: dict[tuple[int, int], Array], windows: Windows, channels: int, dtype: jnp.dtype
) -> Array:
    """Assembles the kernel [kh, kw, 1, C] from the sums [C] of its taps, 0 for missing ones."""
    zero = jnp.zeros(channels, dtype)
    grid = [
        [sums.get((i, j), zero) for j in range(windows[1].kernel)] for i in range(windows[0].kernel)
    ]
    return jnp.stack([jnp.stack(row) for row in grid])[:, :, None]
