"""Max pooling with the index ("place") of each maximum, and unpooling (SegNet, DeconvNet).

Windows do not overlap: their side equals their stride. By Caffe's ceil rule the last window may
extend past the map, so no pixel is lost on odd sizes. A place is the index of the maximum in its
window in row order, the first one in case of ties.
"""

import jax.numpy as jnp
from jaxtyping import Integer, Num, UInt8

from jaxseg.layers.fast.forms import use_fast
from jaxseg.layers.pool import max_pool
from jaxseg.types import Array


def _whole(x: Array, size: int) -> Array:
    """Pads with minus infinity to a whole number of windows, [B, h size, w size, C]."""
    below, right = (-n % size for n in x.shape[1:3])
    if below or right:
        edges = [(0, 0), (0, below), (0, right), (0, 0)]
        x = jnp.pad(x, edges, constant_values=-jnp.inf)
    return x


def max_pool_with_places(
    x: Num[Array, "b h w c"], size: int = 2, *, form: str = "auto"
) -> tuple[
    Num[Array, "b -(-h//{size}) -(-w//{size}) c"], UInt8[Array, "b -(-h//{size}) -(-w//{size}) c"]
]:
    """The maximum of each window and its place in the window.

    Args:
      x: the map.
      size: side and stride of the windows.
      form: "auto", "plain" (pooling and argmax) or "fast" (comparisons of slices); both give the
        same numbers and gradients.

    Returns:
      The maxima in x's dtype, and their places.
    """
    x = _whole(x, size)
    if not use_fast(form, auto=True):
        each = [x[:, i::size, j::size, :, None] for i in range(size) for j in range(size)]
        places = jnp.argmax(jnp.concatenate(each, axis=-1), axis=-1)  # [B, h, w, C]
        return max_pool(x, size, size, form="plain"), places.astype(jnp.uint8)
    batch, height, width, channels = x.shape
    windows = x.reshape(batch, height // size, size, width // size, size, channels)
    best = windows[:, :, 0, :, 0]
    places = jnp.zeros(best.shape, jnp.uint8)
    for place in range(1, size * size):
        value = windows[:, :, place // size, :, place % size]
        better = (value > best) | jnp.isnan(value)
        best = jnp.where(better, value, best)
        places = jnp.where(better, jnp.uint8(place), places)
    return best, places


def unpool(
    y: Num[Array, "b h w c"],
    places: Integer[Array, "b h w c"],
    size: int = 2,
    *,
    shape: tuple[int, int],
    form: str = "auto",
) -> Num[Array, "b {shape[0]} {shape[1]} c"]:
    """Puts each value at its place in its window, with zeros elsewhere.

    Args:
      y: the values, one per window.
      places: as returned by `max_pool_with_places`.
      size: side of the windows.
      shape: (H, W) of the result, the size of the map before pooling.
      form: "auto", "plain" (repeats values and places, then compares) or "fast" (compares by
        broadcasting); both give the same numbers and gradients.

    Raises:
      ValueError: `places` and `y` differ in shape, or h x w is not the number of windows of H x W.
    """
    if places.shape != y.shape:
        raise ValueError(f"places of shape {places.shape} do not belong to maps of {y.shape}")
    batch, rows, columns, channels = y.shape
    if any(-(-n // size) != m for n, m in zip(shape, (rows, columns), strict=True)):
        raise ValueError(
            f"{rows} x {columns} windows of {size} do not cover {shape[0]} x {shape[1]} pixels"
        )
    if use_fast(form, auto=True):
        place = jnp.arange(size * size, dtype=places.dtype).reshape(1, 1, size, 1, size, 1)
        here = places[:, :, None, :, None] == place  # [B, h, size, w, size, C]
        x = jnp.where(here, y[:, :, None, :, None], 0)
        x = x.reshape(batch, rows * size, columns * size, channels)
    else:
        y, places = (v.repeat(size, axis=1).repeat(size, axis=2) for v in (y, places))
        row, column = (jnp.arange(n * size) % size for n in (rows, columns))
        here = places == (size * row[:, None] + column)[:, :, None]
        x = jnp.where(here, y, 0)  # [B, h size, w size, C]
    return x[:, : shape[0], : shape[1]]
