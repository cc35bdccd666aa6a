"""Types shared by the whole project.

Letters in shape comments: B images, H rows, W columns, C channels, K classes, N examples.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxseg.ignore import IGNORE

__all__ = [
    "IGNORE",
    "Array",
    "ArrayLike",
    "Batch",
    "Instances",
    "Number",
    "Objects",
    "Outputs",
    "Variables",
]

Array = jax.Array
ArrayLike = jax.Array | np.ndarray
Number = ArrayLike | np.floating | float  # a parameter, learned or not
Batch = Mapping[str, ArrayLike]  # image uint8 [B, H, W, 3], label uint8 [B, H, W], index int64 [B]
# logits float32 [B, H, W, K], aux_logits, named features. If there are coarse_logits and the model
# has a field resize_convention, logits are coarse_logits upsampled with that convention.
Outputs = dict[str, jax.Array]
# What a detector gives: of training or, with boxes, classes, scores, of inference.
Instances = Mapping[str, jax.Array]
Variables = Mapping[str, Any]  # {"params": ..., "batch_stats": ...}


class Objects(NamedTuple):
    """The objects of each image of a batch, padded to a fixed number G."""

    boxes: ArrayLike  # float [B, G, 4]: x1, y1, x2, y2 in pixels of the canvas, 0 where padded
    classes: ArrayLike  # int32 [B, G]: 1 .. K, 0 where padded
    valid: ArrayLike  # bool [B, G]
    masks: ArrayLike  # uint8 [B, G, H, ceil(W / 8)] by numpy.packbits along the width
