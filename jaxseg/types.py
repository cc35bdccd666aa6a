"""Types shared by the whole project.

Letters in shape comments: B images, H rows, W columns, C channels, K classes, N examples.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxseg.ignore import IGNORE

__all__ = ["IGNORE", "Array", "ArrayLike", "Batch", "Number", "Outputs", "Variables"]

Array = jax.Array
ArrayLike = jax.Array | np.ndarray
Number = ArrayLike | np.floating | float  # a parameter, learned or not
Batch = Mapping[str, ArrayLike]  # image uint8 [B, H, W, 3], label uint8 [B, H, W], index int64 [B]
# logits float32 [B, H, W, K], aux_logits, named features. If there are coarse_logits and the model
# has a field resize_convention, logits are coarse_logits upsampled with that convention.
Outputs = dict[str, jax.Array]
Variables = Mapping[str, Any]  # {"params": ..., "batch_stats": ...}
