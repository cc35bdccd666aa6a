"""3 x 3 convolution with 16 instead of 36 products per 2 x 2 outputs.

Winograd's minimal filtering F(2 x 2, 3 x 3), after Lavin and Gray, "Fast algorithms for
convolutional neural networks" (2015), section 4.1. Along one axis two outputs of a three-tap
filter g over four inputs d need four products, not six:

    y = A' [(G g) * (B' d)],   B' d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
                               G g  = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
                               A' m = (m0 + m1 + m2, m1 - m2 - m3)

and in two dimensions 16 instead of 36. Over all tiles and channels they are 16 matrix products.
The entries of the three matrices are 0, ±1 and ±1/2, so the result differs from a direct sum only
by rounding errors of the same order as the direct sum's; larger tiles save more but lose accuracy.

An atrous convolution of rate r applies the same algorithm to each of the r x r sub-grids of the
map: its tiles take every r-th pixel. So do the gradients: with respect to the input with the
flipped kernel, which exchanges products 0 and 3, and with respect to the kernel by its transpose.

Tiles hold four times as many values as the map, and products four times as many as the result: with
few channels (64 at full resolution), moving them through memory costs as much as the saved
multiplications. Therefore a loop runs over bands of a few rows of tiles, whose tiles and products
fit into a cache. As an operand of the loop, the map is also computed only once; otherwise XLA
recomputes the chain of sums that produces it, such as the residual units of a whole stage, for each
of the 16 pixels of a tile.

Each transform is one operation: tiles are gathered (B' has two terms per row), while A' and G are
small matrix products. Written out pixel by pixel they run as fast but make 68 kernels per layer,
which took half of the compile time of a ResNet-50; and XLA does not recompute a matrix product in
each kernel that reads it, as it does with sums.
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
_PRODUCTS = 16  # per tile and pair of channels
_CACHED = 1 << 20  # values in the tiles and products of a band

_INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # B'
_KERNEL = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2  # G
_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])  # A'
_FLIPPED = [3, 1, 2, 0]  # the products of a flipped kernel


def tile_counts(size: Sequence[int], rate: int) -> tuple[int, int]:
    """Returns how many tiles of 2 * rate outputs cover each axis of `size` (height, width)."""
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
        """Cuts x [B, H, W, C] into bands, for a kernel with these input and output channels."""
        height, width = tile_counts(x.shape[1:3], rate)
        # Each band reads the transformed kernels, so it should be much larger than they are.
        most = max(_CACHED, 8 * _PRODUCTS * channels[0] * channels[1])
        row = _PRODUCTS * x.shape[0] * rate * rate * width * sum(channels)
        count = min(height, -(-height * row // most))
        tall = -(-height // count)
        return cls(rate, tall, width, -(-height // tall))

    @property
    def pixels(self) -> int:
        """The number of output rows of a band, in pixels."""
        return TILE * self.rate * self.tall

    def padded(self, x: Array, around: int) -> Array:
        """Pads with zeros until all bands are complete."""
        edges = [
            (around, n + around - m)
            for n, m in zip(
                (self.count * self.pixels, TILE * self.rate * self.wide), x.shape[1:3], strict=True
            )
        ]
        return jnp.pad(x, [(0, 0), *edges, (0, 0)])

    def tiles(self, padded: Array, band: Array, matrix: np.ndarray) -> Array:
        """Returns the transformed tiles of a band, [points * points, B * tiles, C].

        Args:
          padded: the map, padded with zeros where tiles extend beyond their outputs.
          band: index of the band.
          matrix: [points, pixels of a tile], with at most two nonzero terms per row.
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
    """Applies a matrix with at most two terms per row to the pixels of each tile along an axis.

    Args:
      x: [B, H, W, C].
      axis: 1 or 2.
      matrix: [points, pixels of a tile].
      count: number of tiles along the axis.
      rate: distance between the pixels of a tile.

    Returns:
      x with points * count * rate pixels along the axis, ordered by point, tile and sub-grid.
    """
    origin = TILE * rate * np.arange(count)[:, None] + np.arange(rate)  # [count, rate]
    total = None
    for term in range(2):
        # The first and the last nonzero column; if they are the same, it counts once.
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
    """Applies a matrix [n, m] to both axes of a tile: [m * m, ...] -> [n * n, ...]."""
    both = jnp.asarray(np.kron(matrix, matrix), x.dtype)
    return jnp.tensordot(both, x, axes=1, precision="highest")


def _convolve(x: Array, kernel: Array, contracted: int, rate: int, order: Sequence[int]) -> Array:
    """Convolves x with a kernel.

    Args:
      x: [B, H, W, C].
      kernel: [3, 3, Cin, Cout].
      contracted: the axis of the transformed kernels [16, Cin, Cout] that meets the channels of x.
      rate: distance between kernel taps; also the padding.
      order: the order of a tile's products, reversed for the flipped kernel.
    """
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
    """Computes the convolution with a padding of `rate`."""
    return _convolve(x, kernel, 1, rate, range(4))


def input_gradient(
    dy: Float[Array, "b h w f"], kernel: Float[Array, "3 3 c f"], rate: int
) -> Float[Array, "b h w c"]:
    """Computes the gradient with respect to the input."""
    return _convolve(dy, kernel, 2, rate, _FLIPPED)


def kernel_gradient(
    x: Float[Array, "b h w c"], dy: Float[Array, "b h w f"], rate: int
) -> Float[Array, "3 3 c f"]:
    """Computes the gradient with respect to the kernel."""
    bands = _Bands.of(x, (x.shape[3], dy.shape[3]), rate)
    padded, cotangents = bands.padded(x, rate), bands.padded(dy, 0)

    def add(band: Array, products: Array) -> Array:
        tiles = bands.tiles(padded, band, _INPUT)
        outputs = bands.tiles(cotangents, band, _OUTPUT.T)
        return products + lax.dot_general(tiles, outputs, (((1,), (1,)), ((0,), (0,))))

    zeros = jnp.zeros((_PRODUCTS, x.shape[3], dy.shape[3]), x.dtype)
    products = lax.fori_loop(0, bands.count, add, zeros)  # [16, Cin, Cout]
    return _mix(_KERNEL.T, products).reshape(3, 3, *products.shape[1:])
