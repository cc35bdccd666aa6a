"""Losses: pure, per pixel, masked; the mean over pixels is taken by the caller.

Void pixels take no part: whatever their logits hold, NaN included, they add 0 to the value and 0
to the gradient.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.types import IGNORE, Array, ArrayLike, Outputs


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
    logits: ArrayLike,
    labels: ArrayLike,
    valid: ArrayLike,
    *,
    class_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    """Cross-entropy in nats of each pixel; 0 where `valid` is False.

    With y the label, w the class weights, s the smoothing and K the classes:
        w[y] * (logsumexp(x) - (1 - s) * x[y] - s * mean(x))
    The smoothed target (1 - s) onehot(y) + s / K is that of Szegedy et al., "Rethinking the
    Inception architecture" (2016), section 7; the class weights that of SegNet (Badrinarayanan
    et al., 2015), section 3, where they are median frequency / frequency.

    Args:
      logits: [B, H, W, K].
      labels: [B, H, W] train ids, of any integer type.
      valid: [B, H, W] bool; only here must labels be 0..K-1. A valid label outside gives NaN, which
        stops training, rather than a loss for a class that the label does not name.
      class_weights: [K]; all 1 without.
      label_smoothing: 0 up to 1.

    Returns:
      [B, H, W], float32 (float64 for float64 logits).
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


def masked_mean(per_pixel: ArrayLike, valid: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """The mean over valid pixels of all images together; 0 when there are none.

    sum(per_pixel) / max(number of valid pixels, 1). A loss with class weights is divided by the
    number of pixels as well, as the official DeepLab code and SegNet's do: the mean then does not
    depend on how a batch is split. With `weights` (say, class_weights[labels]) the divisor is their
    sum over valid pixels instead, which is torch's convention.

    Args:
      per_pixel: [B, H, W].
      valid: [B, H, W] bool.
      weights: [B, H, W], not negative; or None.

    Returns:
      A scalar.
    """
    per_pixel = jnp.asarray(per_pixel)
    total = jnp.sum(jnp.where(valid, per_pixel, 0))
    if weights is None:
        return total / jnp.maximum(valid_pixels(valid), 1).astype(per_pixel.dtype)
    divisor = jnp.sum(jnp.where(valid, weights, 0))
    return total / jnp.where(divisor > 0, divisor, 1)


def valid_pixels(valid: ArrayLike) -> Array:
    """How many pixels are valid: an int32 scalar, exact up to 2^31 pixels a batch."""
    return jnp.sum(jnp.asarray(valid), dtype=jnp.int32)


def segmentation(
    outputs: Outputs,
    labels: Array,
    *,
    class_weights: Sequence[float] = (),
    label_smoothing: float = 0.0,
    aux_weight: float = 0.4,
) -> dict[str, Array]:
    """The loss of a model's outputs and its terms, each a mean over the valid pixels.

    loss = cross_entropy + aux_weight * aux, where aux is the cross-entropy of the auxiliary head of
    a model that has one (PSPNet, section 3.3, with weight 0.4). Weight decay is the optimiser's.

    Args:
      outputs: "logits" and perhaps "aux_logits", [B, H, W, K].
      labels: [B, H, W] train ids, IGNORE where void.
      class_weights: one per class; empty: all 1.
      label_smoothing: of `cross_entropy`.
      aux_weight: of the auxiliary term in the loss.

    Returns:
      Scalars "loss", "cross_entropy" and, with an auxiliary head, "aux".
    """
    valid = labels != IGNORE

    def mean(logits: Array) -> Array:
        per_pixel = cross_entropy(
            logits,
            labels,
            valid,
            class_weights=jnp.asarray(class_weights) if len(class_weights) else None,
            label_smoothing=label_smoothing,
        )
        return masked_mean(per_pixel, valid)

    main = mean(outputs["logits"])
    if "aux_logits" not in outputs:
        return {"loss": main, "cross_entropy": main}
    aux = mean(outputs["aux_logits"])
    return {"loss": main + aux_weight * aux, "cross_entropy": main, "aux": aux}
