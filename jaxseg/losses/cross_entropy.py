"""Per-pixel cross-entropy, plain and focal."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Integer

from jaxseg.types import Array, ArrayLike


@jax.custom_vjp
def _smoothed_cross_entropy(logits: Array, labels: Array, smoothing: Array) -> Array:
    """-sum_k q_k log softmax(x)_k with q = (1 - smoothing) onehot(label) + smoothing / K."""
    return _forward(logits, labels, smoothing)[0]


def _forward(logits: Array, labels: Array, smoothing: Array) -> tuple[Array, tuple[Array, ...]]:
    # log softmax itself is never formed: beside the logits, which live anyway, only one number a
    # pixel is kept for the gradient. A label outside 0..K-1 gathers NaN ("fill").
    normaliser = jax.nn.logsumexp(logits, axis=-1)
    target = jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="fill")[..., 0]
    expected = (1 - smoothing) * target + smoothing * jnp.mean(logits, axis=-1)
    return normaliser - expected, (logits, labels, smoothing, normaliser)


def _backward(residuals: tuple[Array, ...], cotangent: Array) -> tuple[Array, None, None]:
    logits, labels, smoothing, normaliser = residuals
    classes = logits.shape[-1]
    probabilities = jnp.exp(logits - normaliser[..., None])
    hit = labels[..., None] == jnp.arange(classes)
    gradient = probabilities - (1 - smoothing) * hit - smoothing / classes
    # A void pixel has cotangent 0; the product alone would still pass on the NaN of its logits.
    counted = (cotangent != 0)[..., None]
    return jnp.where(counted, cotangent[..., None] * gradient, 0), None, None


_smoothed_cross_entropy.defvjp(_forward, _backward)


def cross_entropy(
    logits: Float[ArrayLike, "b h w k"],
    labels: Integer[ArrayLike, "b h w"],
    valid: Bool[ArrayLike, "b h w"],
    *,
    class_weights: Float[ArrayLike, " k"] | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, "b h w"]:
    """Cross-entropy in nats of each pixel; 0 where `valid` is False.

    With y the label, w the class weights, s the smoothing and K the classes:
        w[y] * (logsumexp(x) - (1 - s) * x[y] - s * mean(x))
    The smoothed target (1 - s) onehot(y) + s / K is that of Szegedy et al., "Rethinking the
    Inception architecture" (2016), section 7; the class weights that of SegNet (Badrinarayanan
    et al., 2015), section 3, where they are median frequency / frequency.

    Args:
      logits: of each class.
      labels: train ids.
      valid: only here must labels be 0..K-1. A valid label outside gives NaN, which stops training,
        rather than a loss for a class that the label does not name.
      class_weights: all 1 without.
      label_smoothing: 0 up to 1.

    Returns:
      float32 (float64 for float64 logits).

    Examples:
      >>> logits = np.log([[[[0.9, 0.1], [0.25, 0.75]]]])
      >>> labels = np.array([[[0, 255]]])
      >>> print(cross_entropy(logits, labels, labels != 255).round(3))
      [[[0.105 0.   ]]]
    """
    logits = jnp.asarray(logits)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    labels = jnp.where(valid, jnp.asarray(labels).astype(jnp.int32), 0)
    labels = jnp.where(labels < 0, logits.shape[-1], labels)  # would count from the last class
    smoothing = jnp.asarray(label_smoothing, logits.dtype)
    loss = _smoothed_cross_entropy(logits, labels, smoothing)  # [B, H, W]
    if class_weights is not None:
        weights = jnp.asarray(class_weights, logits.dtype)
        loss = loss * jnp.take(weights, labels, mode="fill", fill_value=np.nan)
    return jnp.where(valid, loss, 0)


def focal(
    logits: Float[ArrayLike, "b h w k"],
    labels: Integer[ArrayLike, "b h w"],
    valid: Bool[ArrayLike, "b h w"],
    *,
    gamma: float = 2.0,
    class_weights: Float[ArrayLike, " k"] | Sequence[float] | None = None,
) -> Float[Array, "b h w"]:
    """Focal loss of each pixel; 0 where `valid` is False.

    With p the probability of the label y and w the class weights (alpha in the paper):
        w[y] * (1 - p)^gamma * -log p
    Lin et al., "Focal loss for dense object detection" (arXiv 1708.02002), equation 5, in its
    softmax form. gamma 0 is cross-entropy.

    Args:
      logits: of each class.
      labels: train ids.
      valid: only here must labels be 0..K-1, see `cross_entropy`.
      gamma: at least 0; how much less pixels count that are already told well.
      class_weights: all 1 without.

    Returns:
      float32 (float64 for float64 logits).

    Examples:
      >>> logits = np.log([[[[0.9, 0.1], [0.25, 0.75]]]])
      >>> labels = np.array([[[0, 1]]])
      >>> print(focal(logits, labels, labels != 255).round(3))
      [[[0.001 0.018]]]
    """
    logits = jnp.where(jnp.asarray(valid)[..., None], logits, 0)  # no gradient meets a void's NaN
    loss = cross_entropy(logits, labels, valid)  # -log p
    # 1 - p = -expm1(-loss), exact where p is near 1; at 0, where gamma < 1 has no slope, the loss
    # and its gradient are 0.
    missed = jnp.where(loss > 0, -jnp.expm1(-loss), 1)
    loss = jnp.where(loss > 0, missed**gamma * loss, 0 * loss)
    if class_weights is None:
        return loss
    weights = jnp.asarray(class_weights, loss.dtype)
    return loss * jnp.take(weights, jnp.where(valid, labels, 0), mode="clip")
