"""Bilinear and nearest resizing, each convention for where the samples lie by its name.

- "align_corners": the corner pixels' centres coincide: output i is taken at i (n - 1) / (m - 1).
  torch's align_corners=True; TensorFlow 1's; every size s k + 1 keeps its grid (DeepLab).
- "half_pixel": the maps' outer edges coincide: output i is taken at (i + 1/2) n / m - 1/2.
  torch's align_corners=False, OpenCV's INTER_LINEAR, TensorFlow 2's.

Positions outside the input take the nearest edge. There is no low-pass filter when shrinking.
"""

import jax.numpy as jnp
import numpy as np

from jaxseg.types import Array

CONVENTIONS = ("align_corners", "half_pixel")


def sample_positions(inputs: int, outputs: int, convention: str) -> np.ndarray:
    """Where along an axis of `inputs` pixels each output lies: float64 [outputs], in [0, inputs-1].

    Raises:
      ValueError: `convention` is unknown.
    """
    index = np.arange(outputs, dtype=np.float64)
    if convention == "align_corners":
        return index * ((inputs - 1) / max(outputs - 1, 1))
    if convention == "half_pixel":
        return np.clip((index + 0.5) * (inputs / outputs) - 0.5, 0, inputs - 1)
    raise ValueError(
        f"resize convention is {convention!r}: it must be one of {', '.join(CONVENTIONS)}"
    )


def _weights(inputs: int, outputs: int, convention: str) -> np.ndarray:
    """The interpolation of one axis as a matrix, float32 [outputs, inputs]; rows sum to 1."""
    positions = sample_positions(inputs, outputs, convention)
    distance = np.abs(positions[:, None] - np.arange(inputs))
    return np.maximum(0, 1 - distance).astype(np.float32)


def _matmul(x: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    """rows @ x @ columns.T per image and channel, in float32: [B, H, W, C] -> [B, h, w, C]."""
    y = jnp.einsum(
        "hH,wW,BHWC->BhwC",
        rows,
        columns,
        x.astype(jnp.float32),
        precision="highest",
    )
    return y.astype(x.dtype)


def resize_bilinear(
    x: Array, size: tuple[int, int], *, convention: str, form: str = "auto"
) -> Array:
    """Bilinear interpolation of [B, H, W, C] to [B, *size, C].

    Args:
      x: the map; a map of one pixel is repeated.
      size: (height, width) of the result, larger or smaller than x's.
      convention: "align_corners" or "half_pixel"; see the module.
      form: "auto", "plain" or "fast"; all give the same numbers.

    Raises:
      ValueError: `convention` is unknown.
    """
    rows, columns = (
        _weights(inputs, outputs, convention)
        for inputs, outputs in zip(x.shape[1:3], size, strict=True)
    )
    return _matmul(x, rows, columns)


def resize_nearest(x: Array, size: tuple[int, int], *, convention: str) -> Array:
    """The nearest pixel of [B, H, W, C] for each of [B, *size, C]; halves round up.

    Raises:
      ValueError: `convention` is unknown.
    """
    for axis, outputs in zip((1, 2), size, strict=True):
        positions = sample_positions(x.shape[axis], outputs, convention)
        index = np.floor(positions + 0.5).astype(np.int32).clip(0, x.shape[axis] - 1)
        x = jnp.take(x, index, axis=axis)
    return x
