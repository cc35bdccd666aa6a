"""EncNet's SE-loss, on the presence of classes in an image."""

import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float, Integer

from jaxseg.types import Array, ArrayLike


def presence(
    labels: Integer[ArrayLike, "b h w"], valid: Bool[ArrayLike, "b h w"], num_classes: int
) -> Bool[Array, "b {num_classes}"]:
    """Returns whether each class has a valid pixel in each image.

    Examples:
      >>> labels = np.array([[[0, 2, 255]]])
      >>> print(presence(labels, labels != 255, 3))
      [[ True False  True]]
    """
    ids = jnp.where(valid, jnp.asarray(labels).astype(jnp.int32), num_classes)
    flat = ids.reshape(ids.shape[0], -1)  # [B, H*W]
    held = jnp.zeros((flat.shape[0], num_classes), bool)
    return held.at[jnp.arange(flat.shape[0])[:, None], flat].set(True, mode="drop")


def presence_loss(
    logits: Float[ArrayLike, "b k"],
    labels: Integer[ArrayLike, "b h w"],
    valid: Bool[ArrayLike, "b h w"],
) -> Float[Array, ""]:
    """The mean binary cross-entropy of the presence of each class, over classes and images.

    This is the semantic encoding (SE) loss of Zhang et al., EncNet (arXiv 1803.08904), section 3.1,
    which weights large and small objects equally. An image without valid pixels is ignored.

    Args:
      logits: presence logit of each class.
      labels: train ids.
      valid: which pixels count.

    Returns:
      The loss, 0 if no pixel is valid.

    Examples:
      >>> labels = np.array([[[0, 2, 255]]])
      >>> round(float(presence_loss(np.array([[4.0, -4.0, 4.0]]), labels, labels != 255)), 3)
      0.018
    """
    logits = jnp.asarray(logits)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    known = jnp.any(jnp.asarray(valid), axis=(1, 2))[:, None]  # [B, 1]
    target = presence(labels, valid, logits.shape[-1]).astype(logits.dtype)
    each = optax.sigmoid_binary_cross_entropy(jnp.where(known, logits, 0), target)
    images = jnp.maximum(jnp.sum(known, dtype=jnp.int32), 1)
    return jnp.sum(jnp.where(known, each, 0)) / (images * logits.shape[-1]).astype(each.dtype)
