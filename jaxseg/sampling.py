"""Where the pixels of one map lie on another: each sampling convention by name.

- "align_corners": the corner pixels' centres coincide: output i is taken at i (n - 1) / (m - 1).
  torch's align_corners=True; TensorFlow 1's; every size s k + 1 keeps its grid (DeepLab).
- "half_pixel": the maps' outer edges coincide: output i is taken at (i + 1/2) n / m - 1/2.
  torch's align_corners=False, OpenCV's INTER_LINEAR, TensorFlow 2's.
- "origin": the first pixels' centres coincide and the steps are those of the sizes: output i is
  taken at i n / m. TensorFlow 1's without align_corners; Yu and Koltun's released code.

The one definition for layers, which resize maps, and losses, which take labels to smaller maps.
"""

import numpy as np

CONVENTIONS = ("align_corners", "half_pixel", "origin")


def sample_positions(inputs: int, outputs: int, convention: str) -> np.ndarray:
    """Where along an axis of `inputs` pixels each output lies: float64 [outputs], in [0, inputs-1].

    Raises:
      ValueError: `convention` is unknown.
    """
    index = np.arange(outputs, dtype=np.float64)
    # One division, last: what lies on a pixel or half-way between two is then there exactly.
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
    """The pixel of an axis of `inputs` that each output takes: int32 [outputs]; halves round up.

    Raises:
      ValueError: `convention` is unknown.
    """
    positions = sample_positions(inputs, outputs, convention)
    return np.floor(positions + 0.5).astype(np.int32).clip(0, inputs - 1)
