"""Max pooling that keeps where each maximum lay, and its inverse (SegNet, DeconvNet).

Windows do not overlap: their side is their stride. The last one may reach past the map, by Caffe's
ceil rule, so no pixel is lost on odd sizes. A place is the number of the maximum in its window, row
by row, the first of equals.
"""

import jax.numpy as jnp

from jaxseg.layers.forms import use_fast
from jaxseg.types import Array


def _windows(x: Array, size: int) -> Array:
    """[B, H, W, C] -> [B, h, size, w, size, C], minus infinity past the map."""
    batch, height, width, channels = x.shape
    rows, columns = -(-height // size), -(-width // size)
    edges = [(0, 0), (0, rows * size - height), (0, columns * size - width), (0, 0)]
    if edges[1:3] != [(0, 0), (0, 0)]:
        x = jnp.pad(x, edges, constant_values=-jnp.inf)
    return x.reshape(batch, rows, size, columns, size, channels)


def max_pool_with_places(x: Array, size: int = 2, *, form: str = "auto") -> tuple[Array, Array]:
    """The maximum of each window, and its place there.

    Args:
      x: [B, H, W, C].
      size: side and stride of the windows.
      form: "auto", "plain" (arg-maximum and gather) or "fast" (comparisons of slices); both give
        the same numbers and gradients.

    Returns:
      [B, ceil(H / size), ceil(W / size), C] in x's dtype, and the places likewise, uint8.
    """
    windows = _windows(x, size)
    if not use_fast(form, auto=True):
        batch, rows, _, columns, _, channels = windows.shape
        flat = windows.transpose(0, 1, 3, 5, 2, 4).reshape(batch, rows, columns, channels, -1)
        places = jnp.argmax(flat, axis=-1)  # [B, h, w, C]
        best = jnp.take_along_axis(flat, places[..., None], axis=-1)[..., 0]
        return best, places.astype(jnp.uint8)
    best = windows[:, :, 0, :, 0]
    places = jnp.zeros(best.shape, jnp.uint8)
    for place in range(1, size * size):
        value = windows[:, :, place // size, :, place % size]
        better = (value > best) | jnp.isnan(value)
        best = jnp.where(better, value, best)
        places = jnp.where(better, jnp.uint8(place), places)
    return best, places


def unpool(
    y: Array, places: Array, size: int = 2, *, shape: tuple[int, int], form: str = "auto"
) -> Array:
    """Each value at its place in its window, zeros elsewhere.

    Args:
      y: [B, h, w, C].
      places: [B, h, w, C], as `max_pool_with_places` gives them.
      size: side of the windows.
      shape: (H, W) of the result, that of the map which was pooled.
      form: "auto", "plain" (scatter) or "fast" (a comparison for each pixel); both give the same
        numbers and gradients.

    Returns:
      [B, H, W, C] in y's dtype.

    Raises:
      ValueError: places of another shape than y; h x w windows do not just cover H x W.
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
    else:
        x = jnp.zeros((batch, rows, size, columns, size, channels), y.dtype)
        b, i, j, c = jnp.indices(y.shape, sparse=True)
        x = x.at[b, i, places // size, j, places % size, c].set(y)
    x = x.reshape(batch, rows * size, columns * size, channels)
    return x[:, : shape[0], : shape[1]]
