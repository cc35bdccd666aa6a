"""Convolution as a sum over the kernel's taps, each a matrix product of a shifted map.

    y[o] = sum over taps t of x[stride o + rate t - padding] @ kernel[t]

Each tap is evaluated only for the outputs for which it falls on the map. With a rate near the size
of the map (ASPP's 12 and 18 on a 33 x 33 map), an ordinary convolution spends most of its work on
multiplying the zeros around the map; here that work is skipped, in both gradients as well.
"""

from collections.abc import Iterator

import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.window import Windows
from jaxseg.types import Array


def _on_map(windows: Windows) -> Iterator[tuple[int, int, tuple, tuple]]:
    """Yields each tap that covers at least one pixel of the map, with its rows and columns."""
    rows, columns = windows
    for i in range(rows.kernel):
        for j in range(columns.kernel):
            row, column = rows.seen(i), columns.seen(j)
            if row and column:
                yield i, j, row, column


def _inputs(x: Array, windows: Windows, row: tuple, column: tuple) -> Array:
    """Returns the inputs under a tap, one for each of its outputs."""
    (_, top, height), (_, left, width) = row, column
    down, right = windows[0].stride, windows[1].stride
    return x[
        :, top : top + (height - 1) * down + 1 : down, left : left + (width - 1) * right + 1 : right
    ]


def _outputs(y: Array, row: tuple, column: tuple) -> Array:
    """Returns the outputs to which a tap contributes."""
    (top, _, height), (left, _, width) = row, column
    return y[:, top : top + height, left : left + width]


def forward(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c f"], windows: Windows
) -> Float[Array, "b {windows[0].outputs} {windows[1].outputs} f"]:
    """Computes the convolution."""
    shape = (x.shape[0], windows[0].outputs, windows[1].outputs, kernel.shape[3])
    y = jnp.zeros(shape, accumulator(x))
    for i, j, row, column in _on_map(windows):
        seen = _inputs(x, windows, row, column)
        part = lax.dot_general(
            seen, kernel[i, j], (((3,), (0,)), ((), ())), preferred_element_type=y.dtype
        )
        edges = [
            (first, window.outputs - first - number, 0)
            for window, (first, _, number) in zip(windows, (row, column), strict=True)
        ]
        y += lax.pad(part, jnp.zeros((), y.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    return y.astype(x.dtype)


def input_gradient(
    dy: Float[Array, "b y x f"], kernel: Float[Array, "kh kw c f"], windows: Windows
) -> Float[Array, "b {windows[0].inputs} {windows[1].inputs} c"]:
    """Computes the gradient with respect to the input."""
    shape = (dy.shape[0], windows[0].inputs, windows[1].inputs, kernel.shape[2])
    dx = jnp.zeros(shape, accumulator(dy))
    for i, j, row, column in _on_map(windows):
        part = lax.dot_general(
            _outputs(dy, row, column),
            kernel[i, j],
            (((3,), (1,)), ((), ())),
            preferred_element_type=dx.dtype,
        )
        edges = [
            (
                first,
                window.inputs - first - (number - 1) * window.stride - 1,
                window.stride - 1,
            )
            for window, (_, first, number) in zip(windows, (row, column), strict=True)
        ]
        dx += lax.pad(part, jnp.zeros((), dx.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    return dx.astype(dy.dtype)


def _sum_over_positions(x: Array, dy: Array) -> Array:
    """Contracts [B, h, w, Cin] and [B, h, w, Cout] over all positions to [Cin, Cout]."""
    # Positions are flattened: XLA:CPU contracts several axes two to five times slower.
    columns = x.reshape(-1, x.shape[-1])
    return lax.dot_general(
        columns,
        dy.reshape(-1, dy.shape[-1]),
        (((0,), (0,)), ((), ())),
        preferred_element_type=accumulator(x),
    )


def kernel_gradient(
    x: Float[Array, "b h w c"], dy: Float[Array, "b y x f"], windows: Windows
) -> Float[Array, "{windows[0].kernel} {windows[1].kernel} c f"]:
    """Computes the gradient with respect to the kernel, 0 for taps that never cover the map."""
    channels = (x.shape[3], dy.shape[3])
    taps = dict.fromkeys(
        ((i, j) for i in range(windows[0].kernel) for j in range(windows[1].kernel)),
        jnp.zeros(channels, accumulator(x)),
    )
    for i, j, row, column in _on_map(windows):
        taps[i, j] = _sum_over_positions(
            _inputs(x, windows, row, column), _outputs(dy, row, column)
        )
    dw = jnp.stack(list(taps.values()))
    return dw.reshape(windows[0].kernel, windows[1].kernel, *channels).astype(x.dtype)
