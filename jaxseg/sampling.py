"""Sampling conventions: where the pixels of one map lie on another.

- "align_corners": the centres of the corner pixels coincide: output i is taken at i (n - 1) / (m -
  1). torch's align_corners=True; TensorFlow 1's; every size s k + 1 keeps its grid (DeepLab).
- "half_pixel": the outer edges of the maps coincide: output i is taken at (i + 1/2) n / m - 1/2.
  torch's align_corners=False, OpenCV's INTER_LINEAR, TensorFlow 2's.
- "origin": the centres of the first pixels coincide, and the step is the ratio of the sizes: output
  i is taken at i n / m. TensorFlow 1's without align_corners; Yu and Koltun's released code.

Both the layers that resize maps and the losses that downsample labels use these definitions.
"""

import numpy as np

CONVENTIONS = ("align_corners", "half_pixel", "origin")


def sample_positions(inputs: int, outputs: int, convention: str) -> np.ndarray:
    """The position of each output on an axis of `inputs` pixels: float64 [outputs], 0 to inputs-1.

    Raises:
      ValueError: `convention` is unknown.
    """
    index = np.arange(outputs, dtype=np.float64)
    # A single division at the end keeps positions on pixels, or half-way between them, exact.
    if convention == "align_corners":
        return index * (inputs - 1) / max(outputs - 1, 1)
    if convention == "half_pixel":
        return np.clip((2 * index + 1) * inputs / (2 * outputs) - 0.5, 0, inputs - 1)
    if convention == "origin":
        return np.minimum(index * inputs / outputs, inputs - 1)
    raise ValueError(
        f"resize convention is {convention!r}: it must be one of {', '.join(CONVENTIONS)}"
    )


def nearest_pixels(inputs: int, outputs: int, convention: str) -> np.ndarray:
    """The nearest pixel of an axis of `inputs` for each output: int32 [outputs]; halves round up.

    Raises:
      ValueError: `convention` is unknown.
    """
    positions = sample_positions(inputs, outputs, convention)
    return np.floor(positions + 0.5).astype(np.int32).clip(0, inputs - 1)
