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

Tiles hold four times the values of the map, and products those of the result: where channels are
few (64 at full resolution) passing them through memory costs as much as the multiplications save.
So a loop goes over bands of a few rows of tiles, whose tiles and products fit a cache. As the
operand of a loop the map is also computed once: else XLA computes the chain of sums that it comes
from, such as the residual units of a whole stage, again at each of the 16 places where a tile takes
a pixel.

Each transform is one operation: tiles are gathered (B' has two terms a row), A' and G are small
matrix products. Written out pixel by pixel they run as fast but make 68 kernels a layer, which took
half of the compile time of a ResNet-50; and a matrix product is not computed again in each kernel
that reads it, as XLA does with sums.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from jaxseg.types import Array

TILE = 2  # outputs along one axis of a tile
_PRODUCTS = 16  # of a tile, for each pair of channels
_CACHED = 1 << 20  # numbers in the tiles and products of a band

_INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # B'
_KERNEL = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2  # G
_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])  # A'
_FLIPPED = [3, 1, 2, 0]  # the products of a flipped kernel


def tile_counts(size: Sequence[int], rate: int) -> tuple[int, int]:
    """How many tiles of 2 * rate outputs cover each axis of `size` (height, width)."""
    height, width = (-(-n // (TILE * rate)) for n in size)
    return height, width


@dataclasses.dataclass(frozen=True)
class _Bands:
    """How a map is cut into bands of whole rows of tiles."""

    rate: int
    tall: int  # rows of tiles in a band
    wide: int  # tiles in a row
    count: int

    @classmethod
    def of(cls, x: Array, channels: tuple[int, int], rate: int) -> Self:
        """For x [B, H, W, C] and a kernel of those channels in and out."""
        height, width = tile_counts(x.shape[1:3], rate)
        # Each band reads the transformed kernels, so it should be much more than they are.
        most = max(_CACHED, 8 * _PRODUCTS * channels[0] * channels[1])
        row = _PRODUCTS * x.shape[0] * rate * rate * width * sum(channels)
        count = min(height, -(-height * row // most))
        tall = -(-height // count)
        return cls(rate, tall, width, -(-height // tall))

    @property
    def pixels(self) -> int:
        """Rows of pixels of a band's outputs."""
        return TILE * self.rate * self.tall

    def padded(self, x: Array, around: int) -> Array:
        """[B, H, W, C] with zeros around it, so many that all bands are whole."""
        edges = [
            (around, n + around - m)
            for n, m in zip(
                (self.count * self.pixels, TILE * self.rate * self.wide), x.shape[1:3], strict=True
            )
        ]
        return jnp.pad(x, [(0, 0), *edges, (0, 0)])

    def tiles(self, padded: Array, band: Array, matrix: np.ndarray) -> Array:
        """The transformed tiles of a band, [points * points, B * tiles, C].

        Args:
          padded: the map, with zeros around it where tiles reach beyond their outputs.
          band: its number.
          matrix: [points, pixels of a tile], of at most two terms a row.
        """
        rows = self.pixels + (matrix.shape[1] - TILE) * self.rate
        x = lax.dynamic_slice_in_dim(padded, band * self.pixels, rows, axis=1)
        x = _along(x, 1, matrix, self.tall, self.rate)
        x = _along(x, 2, matrix, self.wide, self.rate)
        points = len(matrix)
        b, h, w, c = x.shape
        x = x.reshape(b, points, h // points, points, w // points, c)
        return x.transpose(1, 3, 0, 2, 4, 5).reshape(points * points, -1, c)


def _along(x: Array, axis: int, matrix: np.ndarray, count: int, rate: int) -> Array:
    """A matrix of at most two terms a row, applied to the pixels of each tile along an axis.

    Args:
      x: [B, H, W, C].
      axis: 1 or 2, of `count` tiles.
      matrix: [points, pixels of a tile].
      count: tiles.
      rate: distance of the pixels of a tile.

    Returns:
      x with points * count * rate pixels along the axis: point, tile, sub-grid.
    """
    origin = TILE * rate * np.arange(count)[:, None] + np.arange(rate)  # [count, rate]
    total = None
    for term in range(2):
        # The first and the last column that is not 0; the same one twice counts once.
        columns = np.array([np.flatnonzero(row)[-term] for row in matrix])
        once = [term == 0 or np.count_nonzero(row) > 1 for row in matrix]
        weights = matrix[np.arange(len(matrix)), columns] * once
        factors = weights.repeat(origin.size).reshape([-1 if a == axis else 1 for a in range(4)])
        pixels = (columns[:, None, None] * rate + origin).ravel().astype(np.int32)
        part = x.at[(slice(None),) * axis + (pixels,)].get(mode="promise_in_bounds")
        part *= jnp.asarray(factors, x.dtype)
        total = part if total is None else total + part
    assert total is not None
    return total


def _mix(matrix: np.ndarray, x: Array) -> Array:
    """A matrix on both axes of a tile: [m * m, ...] -> [n * n, ...] for one of [n, m]."""
    both = jnp.asarray(np.kron(matrix, matrix), x.dtype)
    return jnp.tensordot(both, x, axes=1, precision="highest")


def _convolve(x: Array, kernel: Array, contracted: int, rate: int, order: Sequence[int]) -> Array:
    """Products of tiles and kernels, whose axis `contracted` meets x's channels, in an order."""
    b, height, width, _ = x.shape
    kernels = _mix(_KERNEL, kernel.reshape(9, *kernel.shape[2:]))  # [16, Cin, Cout]
    bands = _Bands.of(x, (kernel.shape[2], kernel.shape[3]), rate)
    padded = bands.padded(x, rate)
    tall, wide, pixels = bands.tall, bands.wide, bands.pixels

    def add(band: Array, y: Array) -> Array:
        tiles = bands.tiles(padded, band, _INPUT[order])
        products = lax.dot_general(tiles, kernels, (((2,), (contracted,)), ((0,), (0,))))
        part = _mix(_OUTPUT[:, order], products).reshape(TILE, TILE, b, tall, rate, wide, rate, -1)
        part = part.transpose(2, 3, 0, 4, 5, 1, 6, 7)  # [B, tall, 2, rate, wide, 2, rate, C]
        part = part.reshape(b, pixels, *y.shape[2:])
        return lax.dynamic_update_slice_in_dim(y, part, band * pixels, axis=1)

    shape = (b, bands.count * pixels, TILE * rate * wide, kernel.shape[4 - contracted])
    y = lax.fori_loop(0, bands.count, add, jnp.zeros(shape, x.dtype))
    return y[:, :height, :width]


def forward(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c f"], rate: int
) -> Float[Array, "b h w f"]:
    """The convolution; padding is the rate."""
    return _convolve(x, kernel, 1, rate, range(4))


def input_gradient(
    dy: Float[Array, "b h w f"], kernel: Float[Array, "3 3 c f"], rate: int
) -> Float[Array, "b h w c"]:
    """The gradient to the input."""
    return _convolve(dy, kernel, 2, rate, _FLIPPED)


def kernel_gradient(
    x: Float[Array, "b h w c"], dy: Float[Array, "b h w f"], rate: int
) -> Float[Array, "3 3 c f"]:
    """The gradient to the kernel."""
    bands = _Bands.of(x, (x.shape[3], dy.shape[3]), rate)
    padded, cotangents = bands.padded(x, rate), bands.padded(dy, 0)

    def add(band: Array, products: Array) -> Array:
        tiles = bands.tiles(padded, band, _INPUT)
        outputs = bands.tiles(cotangents, band, _OUTPUT.T)
        return products + lax.dot_general(tiles, outputs, (((1,), (1,)), ((0,), (0,))))

    zeros = jnp.zeros((_PRODUCTS, x.shape[3], dy.shape[3]), x.dtype)
    products = lax.fori_loop(0, bands.count, add, zeros)  # [16, Cin, Cout]
    return _mix(_KERNEL.T, products).reshape(3, 3, *products.shape[1:])
