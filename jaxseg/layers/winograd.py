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

An atrous convolution of rate r is the same on each of the r x r sub-grids of the map: its tiles
take every r-th pixel. Gradients are the same algorithm: to the input with the flipped kernel, which
exchanges products 0 and 3, and to the kernel by its transpose.

Each transform is one operation: tiles are gathered (B' has two terms a row), A' and G are small
matrix products. Written out pixel by pixel they run as fast but make 68 kernels a layer, which took
half of the compile time of a ResNet-50; and a matrix product is not computed again in each kernel
that reads it, as XLA does with sums.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.types import Array

TILE = 2  # outputs along one axis of a tile

_INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # B'
_KERNEL = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2  # G
_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])  # A'
_FLIPPED = [3, 1, 2, 0]  # the products of a flipped kernel


def tile_counts(size: Sequence[int], rate: int) -> tuple[int, int]:
    """How many tiles of 2 * rate outputs cover each axis of `size` (height, width)."""
    height, width = (-(-n // (TILE * rate)) for n in size)
    return height, width


def _along(x: Array, axis: int, matrix: np.ndarray, before: int, rate: int) -> Array:
    """A matrix of at most two terms a row, applied to the pixels of each tile along an axis.

    Args:
      x: [B, H, W, C].
      axis: 1 or 2, of n pixels in `count` tiles.
      matrix: [points, pixels of a tile].
      before: zeros before the map; behind it there are as many as it takes.
      rate: distance of the pixels of a tile.

    Returns:
      x with points * count * rate pixels along the axis: point, tile, sub-grid.
    """
    length = x.shape[axis]
    tile, phase = np.arange(-(-length // (TILE * rate)))[:, None], np.arange(rate)
    origin = TILE * rate * tile + phase - before  # [count, rate]
    total = None
    for term in range(2):
        # The first and the last column that is not 0; the same one twice counts once.
        columns = [np.flatnonzero(row)[-term] for row in matrix]
        once = [term == 0 or np.count_nonzero(row) > 1 for row in matrix]
        weights = matrix[np.arange(len(matrix)), columns] * once
        places = np.array(columns)[:, None, None] * rate + origin  # [points, count, rate]
        weights = weights[:, None, None] * ((places >= 0) & (places < length))
        factors = jnp.asarray(np.expand_dims(weights.ravel(), (0, 3 - axis, 3)), x.dtype)
        pixels = places.ravel().clip(0, length - 1).astype(np.int32)
        part = x.at[(slice(None),) * axis + (pixels,)].get(mode="promise_in_bounds") * factors
        total = part if total is None else total + part
    assert total is not None
    return total


def _tiles(x: Array, matrix: np.ndarray, before: int, rate: int) -> Array:
    """[B, H, W, C] -> [points * points, B * tiles, C]: the transformed tiles."""
    points = len(matrix)
    for axis in (1, 2):
        x = _along(x, axis, matrix, before, rate)
    b, h, w, c = x.shape
    x = x.reshape(b, points, h // points, points, w // points, c)
    return x.transpose(1, 3, 0, 2, 4, 5).reshape(points * points, -1, c)


def _mix(matrix: np.ndarray, x: Array) -> Array:
    """A matrix on both axes of a tile: [m * m, ...] -> [n * n, ...] for one of [n, m]."""
    both = jnp.asarray(np.kron(matrix, matrix), x.dtype)
    return jnp.tensordot(both, x, axes=1, precision="highest")


def _convolve(x: Array, kernel: Array, contracted: int, rate: int, order: Sequence[int]) -> Array:
    """Products of tiles and kernels, whose axis `contracted` meets x's channels, in an order."""
    b, height, width, _ = x.shape
    kernels = _mix(_KERNEL, kernel.reshape(9, *kernel.shape[2:]))  # [16, Cin, Cout]
    tiles = _tiles(x, _INPUT[order], rate, rate)
    products = lax.dot_general(tiles, kernels, (((2,), (contracted,)), ((0,), (0,))))
    th, tw = tile_counts((height, width), rate)
    y = _mix(_OUTPUT[:, order], products).reshape(TILE, TILE, b, th, rate, tw, rate, -1)
    y = y.transpose(2, 3, 0, 4, 5, 1, 6, 7)  # [B, th, 2, rate, tw, 2, rate, C]
    y = y.reshape(b, th * TILE * rate, tw * TILE * rate, -1)
    return y[:, :height, :width]


def forward(x: Array, kernel: Array, rate: int) -> Array:
    """[B, H, W, Cin] with [3, 3, Cin, Cout] -> [B, H, W, Cout]; padding is the rate."""
    return _convolve(x, kernel, 1, rate, range(4))


def input_gradient(dy: Array, kernel: Array, rate: int) -> Array:
    """The gradient to the input: [B, H, W, Cout] with [3, 3, Cin, Cout] -> [B, H, W, Cin]."""
    return _convolve(dy, kernel, 2, rate, _FLIPPED)


def kernel_gradient(x: Array, dy: Array, rate: int) -> Array:
    """The gradient to the kernel: [B, H, W, Cin] and [B, H, W, Cout] -> [3, 3, Cin, Cout]."""
    tiles, outputs = _tiles(x, _INPUT, rate, rate), _tiles(dy, _OUTPUT.T, 0, rate)
    products = lax.dot_general(tiles, outputs, (((1,), (1,)), ((0,), (0,))))  # [16, Cin, Cout]
    return _mix(_KERNEL.T, products).reshape(3, 3, *products.shape[1:])
