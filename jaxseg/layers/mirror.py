"""Padding by reflection at the borders, repeated as often as needed."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, Shaped

from jaxseg.types import Array


def mirrored_pixels(
    length: int, before: int, after: int
) -> Int32[np.ndarray, " {before+length+after}"]:
    """Returns the index of the input pixel for each pixel of the padded axis.

    The border pixel is not repeated: 2 1 | 0 1 2 3 | 2 1 (OpenCV's BORDER_REFLECT_101). An axis of
    a single pixel cannot be reflected, so that pixel is repeated.
    """
    if length == 1:
        return np.zeros(before + 1 + after, np.int32)
    period = 2 * (length - 1)
    place = np.arange(-before, length + after) % period
    return np.minimum(place, period - place).astype(np.int32)


def mirrored(
    x: Shaped[Array, "b h w c"], rows: tuple[int, int], columns: tuple[int, int]
) -> Shaped[Array, "b h+{sum(rows)} w+{sum(columns)} c"]:
    """Pads by reflection with `rows` = (above, below) and `columns` = (left, right) pixels."""
    for axis, (before, after) in ((1, rows), (2, columns)):
        x = jnp.take(x, mirrored_pixels(x.shape[axis], before, after), axis=axis)
    return x
