"""Pads a map by mirroring it at its borders, as often as needed."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, Shaped

from jaxseg.types import Array


def mirrored_pixels(
    length: int, before: int, after: int
) -> Int32[np.ndarray, " {before+length+after}"]:
    """The pixel of an axis that each place shows.

    The border pixel is not repeated: 2 1 | 0 1 2 3 | 2 1 (OpenCV's BORDER_REFLECT_101). A single
    pixel has nothing to mirror and is repeated.
    """
    if length == 1:
        return np.zeros(before + 1 + after, np.int32)
    period = 2 * (length - 1)
    place = np.arange(-before, length + after) % period
    return np.minimum(place, period - place).astype(np.int32)


def mirrored(
    x: Shaped[Array, "b h w c"], rows: tuple[int, int], columns: tuple[int, int]
) -> Shaped[Array, "b h+{sum(rows)} w+{sum(columns)} c"]:
    """The map with `rows` = (before, after) and `columns` likewise, mirrored."""
    for axis, (before, after) in ((1, rows), (2, columns)):
        x = jnp.take(x, mirrored_pixels(x.shape[axis], before, after), axis=axis)
    return x
