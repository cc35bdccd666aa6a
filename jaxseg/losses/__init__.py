"""Losses: pure functions with a validity mask; per-pixel losses leave the mean to the caller.

Void pixels are ignored: whatever their logits, including NaN, they contribute 0 to the value and to
the gradient. A valid label outside 0..K-1 gives NaN, which stops training.
"""

from jaxseg.losses.cross_entropy import cross_entropy, focal
from jaxseg.losses.means import hardest_mean, masked_mean, subsampled, valid_pixels
from jaxseg.losses.overlap import dice_coefficient, lovasz_softmax, soft_dice
from jaxseg.losses.presence import presence, presence_loss
from jaxseg.losses.terms import coarse_names, segmentation

__all__ = [
    "coarse_names",
    "cross_entropy",
    "dice_coefficient",
    "focal",
    "hardest_mean",
    "lovasz_softmax",
    "masked_mean",
    "presence",
    "presence_loss",
    "segmentation",
    "soft_dice",
    "subsampled",
    "valid_pixels",
]
