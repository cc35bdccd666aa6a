"""3 x 3 convolution with 16 instead of 36 products for each 2 x 2 outputs.

Winograd's minimal filtering F(2 x 2, 3 x 3), after Lavin and Gray, "Fast algorithms for
convolutional neural networks" (2015), section 4.1. Along one axis two outputs of a three-tap
filter g over four inputs d need four products, not six:

    y = A' [(G g) * (B' d)],   B' d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
                               G g  = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
                               A' m = (m0 + m1 + m2, m1 - m2 - m3)

and on both axes 16 instead of 36. The products over all tiles and channels are 16 matrix products.
Its three matrices hold only 0, 1 and 1/2, so the result differs from a direct sum by rounding
alone, of the direct sum's own order; larger tiles save more and do lose digits.

An atrous convolution of rate r is the same on each of the r x r sub-grids of the map; here the
sub-grids stay in place, as two more axes of the tiles. Gradients are the same algorithm: to the
input with the flipped kernel, which exchanges products 0 and 3, and to the kernel by its transpose.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from jaxseg.types import Array

Transform = Callable[[Sequence[Array]], list[Array]]

TILE = 2  # outputs along one axis of a tile
POINTS = 4  # inputs, and products, along one axis of a tile


def tile_counts(size: Sequence[int], rate: int) -> tuple[int, int]:
    """How many tiles of 2 * rate outputs cover each axis of `size` (height, width)."""
    height, width = (-(-n // (TILE * rate)) for n in size)
    return height, width


def _grid(x: Array, offset: int, count: int, rate: int, axis: int) -> Array:
    """Every (2 rate)-th run of `rate` pixels from `offset`: the axis becomes [count, rate]."""
    length = TILE * rate * count
    x = lax.slice_in_dim(x, offset, offset + length, axis=axis)
    shape = (*x.shape[:axis], count, TILE * rate, *x.shape[axis + 1 :])
    return lax.slice_in_dim(x.reshape(shape), 0, rate, axis=axis + 1)


def _tiles(x: Array, points: int, before: int, counts: tuple[int, int], rate: int) -> list:
    """points x points arrays [B, th, rate, tw, rate, C]: pixel (i, j) of every tile."""
    edges = [
        (before, rate * (points - 1) + TILE * rate * count - before - n)
        for n, count in zip(x.shape[1:3], counts, strict=True)
    ]
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)])
    rows = [_grid(x, i * rate, counts[0], rate, 1) for i in range(points)]
    return [[_grid(row, j * rate, counts[1], rate, 3) for j in range(points)] for row in rows]


def _both_axes(transform: Transform, grid: Array | list[list[Array]]) -> list[list[Array]]:
    """A one-axis transform on the columns and then on the rows of a grid of arrays."""
    columns = [transform([row[j] for row in grid]) for j in range(len(grid[0]))]
    return [transform([column[i] for column in columns]) for i in range(len(columns[0]))]


def _input(d: Sequence[Array]) -> list[Array]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _kernel(g: Sequence[Array]) -> list[Array]:
    half = (g[0] + g[2]) / 2
    return [g[0], half + g[1] / 2, half - g[1] / 2, g[2]]


def _kernel_transposed(u: Sequence[Array]) -> list[Array]:
    half = (u[1] + u[2]) / 2
    return [u[0] + half, (u[1] - u[2]) / 2, half + u[3]]


def _output(m: Sequence[Array]) -> list[Array]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _output_transposed(y: Sequence[Array]) -> list[Array]:
    return [y[0], y[0] + y[1], y[0] - y[1], -y[1]]


def _convolve(x: Array, kernels: Sequence[Sequence[Array]], contracted: int, rate: int) -> Array:
    """Products of tiles and transformed kernels, whose axis `contracted` meets x's channels."""
    counts = tile_counts(x.shape[1:3], rate)
    tiles = _both_axes(_input, _tiles(x, POINTS, rate, counts, rate))
    dimensions = (((5,), (contracted,)), ((), ()))
    products = [
        [lax.dot_general(v, u, dimensions) for v, u in zip(*rows, strict=True)]
        for rows in zip(tiles, kernels, strict=True)
    ]
    outputs = _both_axes(_output, products)  # 2 x 2 of [B, th, rate, tw, rate, C]
    y = jnp.stack([jnp.stack(row, 4) for row in outputs], 2)
    b, th, _, _, tw, _, _, c = y.shape  # [B, th, 2, rate, tw, 2, rate, C]
    y = y.reshape(b, th * TILE * rate, tw * TILE * rate, c)
    return y[:, : x.shape[1], : x.shape[2]]


def _sum_over_positions(v: Array, d: Array) -> Array:
    """[..., Cin] and [..., Cout] of the same positions -> [Cin, Cout]."""
    # One axis of all positions: XLA:CPU multiplies two to five times slower over several.
    v, d = v.reshape(-1, v.shape[-1]), d.reshape(-1, d.shape[-1])
    return lax.dot_general(v, d, (((0,), (0,)), ((), ())))


def forward(x: Array, kernel: Array, rate: int) -> Array:
    """[B, H, W, Cin] with [3, 3, Cin, Cout] -> [B, H, W, Cout]; padding is the rate."""
    return _convolve(x, _both_axes(_kernel, kernel), 0, rate)


def input_gradient(dy: Array, kernel: Array, rate: int) -> Array:
    """The gradient to the input: [B, H, W, Cout] with [3, 3, Cin, Cout] -> [B, H, W, Cin]."""
    kernels = _both_axes(_kernel, kernel)
    flipped = [3, 1, 2, 0]
    return _convolve(dy, [[kernels[i][j] for j in flipped] for i in flipped], 1, rate)


def kernel_gradient(x: Array, dy: Array, rate: int) -> Array:
    """The gradient to the kernel: [B, H, W, Cin] and [B, H, W, Cout] -> [3, 3, Cin, Cout]."""
    counts = tile_counts(x.shape[1:3], rate)
    tiles = _both_axes(_input, _tiles(x, POINTS, rate, counts, rate))
    outputs = _both_axes(_output_transposed, _tiles(dy, TILE, 0, counts, rate))
    products = [
        [_sum_over_positions(v, d) for v, d in zip(*rows, strict=True)]
        for rows in zip(tiles, outputs, strict=True)
    ]
    return jnp.stack([jnp.stack(row) for row in _both_axes(_kernel_transposed, products)])
