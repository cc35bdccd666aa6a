"""Continuing a map beyond its borders by mirroring it, as often as that takes."""

import jax.numpy as jnp
import numpy as np

from jaxseg.types import Array


def mirrored_pixels(length: int, before: int, after: int) -> np.ndarray:
    """The pixel of an axis that each place shows: int32 [before + length + after].

    The border pixel is not repeated: 2 1 | 0 1 2 3 | 2 1 (OpenCV's BORDER_REFLECT_101). A single
    pixel has nothing to mirror and is repeated.
    """
    period = max(2 * (length - 1), 1)
    place = np.arange(-before, length + after) % period
    return np.minimum(place, period - place).astype(np.int32) * (length > 1)


def mirrored(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """[B, H, W, C] with `rows` = (before, after) and `columns` likewise, mirrored."""
    for axis, (before, after) in ((1, rows), (2, columns)):
        x = jnp.take(x, mirrored_pixels(x.shape[axis], before, after), axis=axis)
    return x
