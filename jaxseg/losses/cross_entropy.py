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
    # log softmax is never stored: besides the logits, which are in memory anyway, the gradient
    # needs only one number per pixel. A label outside 0..K-1 gathers NaN ("fill").
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
    # A void pixel has cotangent 0, but the product alone would propagate NaN from its logits.
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
    """Cross-entropy of each pixel in nats, 0 where `valid` is False.

    With the label y, the class weights w, the smoothing s and K classes:
        w[y] * (logsumexp(x) - (1 - s) * x[y] - s * mean(x))
    The smoothed target (1 - s) onehot(y) + s / K is that of Szegedy et al., "Rethinking the
    Inception architecture" (2016), section 7. The class weights are as in SegNet (Badrinarayanan
    et al., 2015), section 3, which uses median frequency / frequency.

    Args:
      logits: of each class.
      labels: train ids, in 0..K-1 where valid. A valid label outside this range gives NaN, which
        stops training, rather than the loss of another class.
      valid: which pixels count.
      class_weights: all 1 by default.
      label_smoothing: in 0..1.

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
    labels = jnp.where(labels < 0, logits.shape[-1], labels)  # else they would index from the end
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
    """Focal loss of each pixel, 0 where `valid` is False.

    With the probability p of the label y and the class weights w (alpha in the paper):
        w[y] * (1 - p)^gamma * -log p
    This is the softmax form of Lin et al., "Focal loss for dense object detection" (arXiv
    1708.02002), equation 5. With gamma 0 it is cross-entropy.

    Args:
      logits: of each class.
      labels: train ids, in 0..K-1 where valid; see `cross_entropy`.
      valid: which pixels count.
      gamma: at least 0; larger values reduce the loss of well-classified pixels.
      class_weights: all 1 by default.

    Returns:
      float32 (float64 for float64 logits).

    Examples:
      >>> logits = np.log([[[[0.9, 0.1], [0.25, 0.75]]]])
      >>> labels = np.array([[[0, 1]]])
      >>> print(focal(logits, labels, labels != 255).round(3))
      [[[0.001 0.018]]]
    """
    logits = jnp.where(jnp.asarray(valid)[..., None], logits, 0)  # no NaN in the gradient
    loss = cross_entropy(logits, labels, valid)  # -log p
    # 1 - p = -expm1(-loss) is accurate for p near 1. At a loss of 0, where the derivative for
    # gamma < 1 is undefined, the focal loss and its gradient are 0.
    missed = jnp.where(loss > 0, -jnp.expm1(-loss), 1)
    loss = jnp.where(loss > 0, missed**gamma * loss, 0 * loss)
    if class_weights is None:
        return loss
    weights = jnp.asarray(class_weights, loss.dtype)
    return loss * jnp.take(weights, jnp.where(valid, labels, 0), mode="clip")
