"""Bilinear and nearest-neighbour resizing; `jaxseg.sampling` defines the pixel conventions.

Positions outside the input take the value of the nearest edge pixel. Downsampling is not
antialiased.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from jaxseg.layers.fast.forms import on_cpu, use_fast
from jaxseg.sampling import nearest_pixels, sample_positions
from jaxseg.types import Array

# The most terms in the gradient of a pixel along one axis, each of which the compiled loop spells
# out. Upsampling 33 to 513 pixels, which compiles in 0.3 s, has 31.
_MOST_TERMS = 64


def _weights(inputs: int, outputs: int, convention: str) -> np.ndarray:
    """The interpolation of one axis as a matrix, float64 [outputs, inputs]; rows sum to 1."""
    positions = sample_positions(inputs, outputs, convention)
    distance = np.abs(positions[:, None] - np.arange(inputs))
    return np.maximum(0, 1 - distance)


def _both_weights(
    inputs: Sequence[int], outputs: Sequence[int], convention: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights of the rows and of the columns."""
    rows, columns = (_weights(n, m, convention) for n, m in zip(inputs, outputs, strict=True))
    return rows, columns


def _matmul(x: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    """rows @ x @ columns.T per image and channel: [B, H, W, C] -> [B, h, w, C]."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    rows, columns = (weights.astype(wide.dtype) for weights in (rows, columns))
    y = jnp.einsum("hH,wW,BHWC->BhwC", rows, columns, wide, precision="highest")
    return y.astype(x.dtype)


def _lerp(x: Array, positions: np.ndarray, axis: int) -> Array:
    """Interpolates x at fractional `positions` along an axis."""
    low = np.floor(positions).astype(np.int32)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    shape = [-1 if a == axis else 1 for a in range(x.ndim)]
    share = (positions - low).astype(x.dtype).reshape(shape)
    before, after = (jnp.take(x, index, axis=axis) for index in (low, high))
    return before + (after - before) * share


def _transposed_lerp(dy: Array, weights: np.ndarray, axis: int) -> Array:
    """weights.T @ dy along an axis: each input pixel gathers the outputs it contributed to."""
    most = int((weights > 0).sum(axis=0).max())
    index = np.argsort(weights <= 0, axis=0, kind="stable")[:most]  # [most, inputs]
    shares = np.take_along_axis(weights, index, axis=0)
    index = np.where(shares > 0, index, index[0])  # a pixel with fewer outputs
    shape = [-1 if a == axis else 1 for a in range(dy.ndim)]
    dx = jnp.zeros((), dy.dtype)
    for outputs, share in zip(index, shares, strict=True):
        dx += jnp.take(dy, outputs, axis=axis) * share.astype(dy.dtype).reshape(shape)
    return dx


def _smaller_first(inputs: Sequence[int], outputs: Sequence[int]) -> list[int]:
    """Returns the axes that change, in the order that gives the smaller intermediate map."""
    changing = [axis for axis in (0, 1) if inputs[axis] != outputs[axis]]
    return [axis + 1 for axis in sorted(changing, key=lambda a: outputs[a] / inputs[a])]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(x: Array, size: tuple[int, int], convention: str) -> Array:
    """The fast form: a weighted mean of two neighbours along each axis.

    Its gradient gathers too: the scatter that XLA derives for a gather is many times slower.
    """
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis in _smaller_first(x.shape[1:3], size):
        y = _lerp(y, sample_positions(x.shape[axis], size[axis - 1], convention), axis)
    return y.astype(x.dtype)


def _gather_forward(x: Array, size: tuple[int, int], convention: str) -> tuple:
    # An empty array passes the map's size and dtype to the gradient.
    return _gather(x, size, convention), jnp.zeros((0, *x.shape[1:3]), x.dtype)


def _gather_backward(size: tuple[int, int], convention: str, x: Array, dy: Array) -> tuple[Array]:
    inputs = x.shape[1:3]
    weights = _both_weights(inputs, size, convention)
    if max((w > 0).sum(axis=0).max() for w in weights) > _MOST_TERMS:
        return (_matmul(dy, *(w.T for w in weights)).astype(x.dtype),)
    dx = dy.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis in _smaller_first(size, inputs):
        dx = _transposed_lerp(dx, weights[axis - 1], axis)
    return (dx.astype(x.dtype),)


_gather.defvjp(_gather_forward, _gather_backward)


def resize_bilinear(
    x: Float[Array, "b h w c"], size: tuple[int, int], *, convention: str, form: str = "auto"
) -> Float[Array, "b {size[0]} {size[1]} c"]:
    """Bilinear interpolation, computed in at least float32.

    Args:
      x: the map; a single pixel is repeated.
      size: (height, width) of the result, larger or smaller than x's.
      convention: "align_corners", "half_pixel" or "origin"; see `jaxseg.sampling`.
      form: "auto", "plain" (two matrix products, which suit matrix units) or "fast" (gather, with
        reverse-mode derivatives only); all give the same numbers.

    Returns:
      The resized map in x's dtype.

    Raises:
      ValueError: `convention` is unknown.
    """
    rows, columns = _both_weights(x.shape[1:3], size, convention)
    if use_fast(form, on_cpu()):
        return _gather(x, tuple(size), convention)
    return _matmul(x, rows, columns)


def resize_nearest(
    x: Shaped[Array, "b h w c"], size: tuple[int, int], *, convention: str
) -> Shaped[Array, "b {size[0]} {size[1]} c"]:
    """Nearest-neighbour resizing; positions halfway between two pixels round up.

    Raises:
      ValueError: `convention` is unknown.
    """
    for axis, outputs in zip((1, 2), size, strict=True):
        x = jnp.take(x, nearest_pixels(x.shape[axis], outputs, convention), axis=axis)
    return x
