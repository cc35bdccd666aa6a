"""Reductions of per-pixel losses: the mean over all valid pixels, or over the hardest ones."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, Integer, Num

from jaxseg.sampling import nearest_pixels
from jaxseg.types import Array, ArrayLike


def masked_mean(
    per_pixel: Float[ArrayLike, "b h w"],
    valid: Bool[ArrayLike, "b h w"],
    weights: Num[ArrayLike, "b h w"] | None = None,
) -> Float[Array, ""]:
    """The mean over the valid pixels of all images together, 0 if there are none.

    It is sum(per_pixel) / max(number of valid pixels, 1). A loss with class weights is also divided
    by the number of pixels, as in the official code of DeepLab and SegNet, so the mean does not
    depend on how a batch is split. With `weights` (such as class_weights[labels]) the divisor is
    their sum over valid pixels instead, which is PyTorch's convention.

    Args:
      per_pixel: the losses.
      valid: which of them count.
      weights: not negative; their sum replaces the number of pixels in the divisor.

    Examples:
      >>> losses = np.array([[[1.0, 2.0, 50.0]]])
      >>> float(masked_mean(losses, np.array([[[True, True, False]]])))
      1.5
    """
    per_pixel = jnp.asarray(per_pixel)
    total = jnp.sum(jnp.where(valid, per_pixel, 0))
    if weights is None:
        return total / jnp.maximum(valid_pixels(valid), 1).astype(per_pixel.dtype)
    divisor = jnp.sum(jnp.where(valid, weights, 0))
    return total / jnp.where(divisor > 0, divisor, 1)


def _pixels_of(inputs: int, outputs: int) -> np.ndarray:
    """Returns the label indices for the pixels of a map along one axis; see `subsampled`."""
    strides = (1 << power for power in range(inputs.bit_length()))
    whole = [s for s in strides if s * (outputs - 1) <= inputs <= s * outputs]
    if whole:
        return np.minimum(whole[0] * np.arange(outputs), inputs - 1)
    return nearest_pixels(inputs, outputs, "align_corners")


def subsampled(
    labels: Integer[ArrayLike, "b h w"], size: tuple[int, int]
) -> Integer[Array, "b {size[0]} {size[1]}"]:
    """Subsamples labels to a smaller map by the nearest pixel, without mixing ids.

    For a map whose stride s is a power of two, these are every s-th label from the first one on
    (and the last label beyond the last row), as DeepLab v1, v2 and Yu and Koltun use in training.
    For other maps, corners are aligned. Unsure: how the released DeepLab v2 rounds for its scale
    0.75 (31 rows of 321), which neither the paper nor its prototxt files state.

    Args:
      labels: ids of any integer type.
      size: (height, width) of the map.

    Examples:
      >>> print(subsampled(np.arange(16).reshape(1, 4, 4), (2, 2))[0])
      [[ 0  2]
       [ 8 10]]
    """
    labels = jnp.asarray(labels)
    for axis, outputs in zip((1, 2), size, strict=True):
        labels = jnp.take(labels, _pixels_of(labels.shape[axis], outputs), axis=axis)
    return labels


def valid_pixels(valid: Bool[ArrayLike, "..."]) -> Int32[Array, ""]:
    """Counts the valid pixels, exactly for less than 2^31 pixels per batch.

    Examples:
      >>> int(valid_pixels(np.array([[[0, 3, 255]]]) != 255))
      2
    """
    return jnp.sum(jnp.asarray(valid), dtype=jnp.int32)


def hardest_mean(per_pixel: Float[ArrayLike, "b h w"], share: float) -> Float[Array, ""]:
    """The mean over the pixels with the highest losses of the batch (OHEM, top-k).

    The sum of the k = share * B H W highest losses (where k includes void pixels) is divided by the
    number of nonzero ones among them. This is the rule of the released DeepLab code
    (train_utils.py, top_k_percent_pixels), after the idea of Shrivastava et al. (arXiv 1604.03540).
    Its annealing of the share is not implemented.

    Args:
      per_pixel: losses, not negative, 0 where void.
      share: greater than 0, at most 1.

    Returns:
      The mean, 0 if every loss is 0.

    Examples:
      >>> float(hardest_mean(np.array([[[1.0, 2.0, 3.0, 6.0]]]), share=0.5))
      4.5
    """
    losses = jnp.asarray(per_pixel).reshape(-1)
    hardest, _ = jax.lax.top_k(losses, max(1, math.floor(share * losses.size)))
    counted = jnp.sum(hardest != 0, dtype=jnp.int32)
    return jnp.sum(hardest) / jnp.maximum(counted, 1).astype(losses.dtype)
