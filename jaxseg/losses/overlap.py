"""Losses on the overlap of masks: soft Dice and Lovasz-softmax."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, Shaped

from jaxseg.types import Array, ArrayLike


def _by_group(
    logits: ArrayLike, labels: ArrayLike, valid: ArrayLike, per_image: bool
) -> tuple[Array, Array, Array]:
    """Returns probabilities [G, P, K], truth bool [G, P, K] and validity [G, P].

    A group is one image, or the whole batch. Void pixels have probability and truth 0; a valid
    label outside 0..K-1 makes the probabilities of its pixel NaN.
    """
    logits, valid = jnp.asarray(logits), jnp.asarray(valid)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    labels = jnp.where(valid, jnp.asarray(labels).astype(jnp.int32), 0)
    classes = logits.shape[-1]
    groups = logits.shape[0] if per_image else 1
    # The inner `where` keeps NaN from void pixels out of the gradient of softmax.
    probabilities = jax.nn.softmax(jnp.where(valid[..., None], logits, 0), axis=-1)
    known = (labels >= 0) & (labels < classes)
    probabilities = jnp.where(known[..., None], probabilities, jnp.nan)
    probabilities = jnp.where(valid[..., None], probabilities, 0)
    truth = (labels[..., None] == jnp.arange(classes)) & valid[..., None]
    return (
        probabilities.reshape(groups, -1, classes),
        truth.reshape(groups, -1, classes),
        valid.reshape(groups, -1),
    )


def _mean_where(values: Array, there: Array) -> Array:
    """The mean of [G, K] over the classes present, then over the groups with a class present."""
    counts = jnp.sum(there, axis=1)  # [G]
    means = jnp.sum(jnp.where(there, values, 0), axis=1) / jnp.maximum(counts, 1)
    return jnp.sum(means) / jnp.maximum(jnp.sum(counts > 0), 1)


def dice_coefficient(
    probabilities: Float[ArrayLike, "*shape"],
    truth: Shaped[ArrayLike, "*shape"],
    *,
    axis: int | tuple[int, ...],
    squared: bool,
) -> Float[Array, "..."]:
    """The soft Dice coefficient 2 sum(p t) / (sum(p) + sum(t)), summed over `axis`.

    With `squared` the denominator has squares, 2 sum(p t) / (sum(p^2) + sum(t^2)), as in Milletari
    et al., "V-Net" (arXiv 1606.04797), section 3. It is 1 if both masks are empty.

    Args:
      probabilities: 0 where void.
      truth: 0 or 1; 0 where void.
      axis: axes to sum over.
      squared: whether to square in the denominator.

    Examples:
      >>> probabilities, truth = np.array([0.5, 0.5, 0.0]), np.array([1, 0, 0])
      >>> float(dice_coefficient(probabilities, truth, axis=0, squared=False))
      0.5
    """
    p = jnp.asarray(probabilities)
    t = jnp.asarray(truth).astype(p.dtype)
    power = 2 if squared else 1
    total = jnp.sum(p**power, axis) + jnp.sum(t, axis)  # t^2 = t
    empty = total == 0
    return jnp.where(empty, 1, 2 * jnp.sum(p * t, axis) / jnp.where(empty, 1, total))


def soft_dice(
    logits: Float[ArrayLike, "b h w k"],
    labels: Integer[ArrayLike, "b h w"],
    valid: Bool[ArrayLike, "b h w"],
    *,
    squared: bool = False,
    per_class: bool = True,
    per_image: bool = False,
) -> Float[Array, ""]:
    """The mean of 1 - `dice_coefficient` of softmax probabilities over the classes in the truth.

    A class without a valid pixel is ignored, as in segmentation_models_pytorch, which however
    divides by the number of all classes. Without `per_class` there is a single coefficient of the
    masks of all classes together, which large classes dominate.

    Args:
      logits: of each class.
      labels: train ids, in 0..K-1 where valid; otherwise the loss is NaN.
      valid: which pixels count.
      squared: see `dice_coefficient`.
      per_class: one coefficient per class, else one for all classes together.
      per_image: coefficients of each image, else of the batch.

    Returns:
      The loss, 0 if no pixel is valid.

    Examples:
      >>> labels = np.array([[[0, 1, 255]]])
      >>> float(soft_dice(np.zeros((1, 1, 3, 2)), labels, labels != 255))
      0.5
    """
    probabilities, truth, _ = _by_group(logits, labels, valid, per_image)
    if not per_class:  # treat the masks of all classes as a single one
        probabilities, truth = (x.reshape(len(x), -1, 1) for x in (probabilities, truth))
    dice = dice_coefficient(probabilities, truth, axis=1, squared=squared)  # [G, K]
    return _mean_where(1 - dice, jnp.any(truth, axis=1))


def _lovasz_of_class(probability: Array, truth: Array, valid: Array) -> Array:
    """The Lovasz extension of 1 - IoU at the errors of one class; all arguments [P]."""
    errors = jnp.where(valid, jnp.abs(truth - probability), -1)  # void pixels last
    order = jnp.argsort(jax.lax.stop_gradient(-errors))
    errors, hits = errors[order], truth[order].astype(jnp.int32)
    # Counted as integers: float32 sums would stop growing at 2^24 pixels.
    total = jnp.sum(hits, dtype=jnp.int32)
    seen = jnp.cumsum(hits, dtype=jnp.int32)
    union = total + jnp.cumsum(1 - hits, dtype=jnp.int32)
    left = (total - seen).astype(errors.dtype)
    loss = 1 - left / jnp.maximum(union, 1).astype(
        errors.dtype
    )  # if the pixels up to here are wrong
    step = jnp.diff(loss, prepend=jnp.zeros(1, errors.dtype))
    return jnp.sum(jnp.where(valid[order], errors * step, 0))


def lovasz_softmax(
    logits: Float[ArrayLike, "b h w k"],
    labels: Integer[ArrayLike, "b h w"],
    valid: Bool[ArrayLike, "b h w"],
    *,
    per_image: bool = False,
) -> Float[Array, ""]:
    """The Lovasz-softmax loss, a convex surrogate of 1 - mIoU, over the classes in the truth.

    For class c with errors m = |[y = c] - p_c| in descending order m_1 >= m_2 ...:
        sum_i m_i * (J(i) - J(i - 1)),  J(i) = 1 - IoU if exactly the first i pixels are wrong
    See Berman et al., "The Lovasz-softmax loss" (arXiv 1705.08790), equations 9 and 11, averaged
    over the classes present, as in its released code by default.

    Args:
      logits: of each class.
      labels: train ids, in 0..K-1 where valid; otherwise the loss is NaN.
      valid: which pixels count.
      per_image: the mean of the losses of the images, else one loss for the whole batch.

    Returns:
      The loss, 0 if no pixel is valid.

    Examples:
      >>> labels = np.array([[[0, 1, 255]]])
      >>> float(lovasz_softmax(np.zeros((1, 1, 3, 2)), labels, labels != 255))
      0.5
    """
    probabilities, truth, valid = _by_group(logits, labels, valid, per_image)
    of_classes = jax.vmap(_lovasz_of_class, in_axes=(1, 1, None))  # [P, K] -> [K]
    losses = jax.vmap(of_classes)(probabilities, truth.astype(probabilities.dtype), valid)
    return _mean_where(losses, jnp.any(truth, axis=1))
