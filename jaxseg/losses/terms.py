"""The loss of a model's outputs: the weighted sum of terms that an experiment asks for."""

import functools

import jax.numpy as jnp

from jaxseg import config
from jaxseg.losses.cross_entropy import cross_entropy, focal
from jaxseg.losses.means import hardest_mean, masked_mean
from jaxseg.losses.overlap import lovasz_softmax, soft_dice
from jaxseg.losses.presence import presence_loss
from jaxseg.types import IGNORE, Array, Outputs


def segmentation(
    outputs: Outputs, labels: Array, loss: config.Loss, extra_weights: Array | None = None
) -> dict[str, Array]:
    """The loss of a model's outputs and its terms, each unweighted; a term of weight 0 is left out.

    The auxiliary head's term is its cross-entropy (PSPNet, section 3.3). Weight decay is the
    optimiser's.

    Args:
      outputs: "logits" and perhaps "aux_logits" [B, H, W, K], "presence_logits" [B, K].
      labels: [B, H, W] train ids, IGNORE where void.
      loss: the weights of the terms and what they need.
      extra_weights: [B, H, W], added to the class weight of each pixel in the main cross-entropy
        (U-Net, equation 2).

    Returns:
      Scalars: "loss", and of "cross_entropy", "focal", "dice", "lovasz", "aux", "presence" those
      that have a weight and an output.
    """
    valid = labels != IGNORE
    weights = jnp.asarray(loss.class_weights) if loss.class_weights else None

    def of_pixels(logits: Array, extra: Array | None = None) -> Array:
        each_with = functools.partial(
            cross_entropy, logits, labels, valid, label_smoothing=loss.label_smoothing
        )
        each = each_with(class_weights=weights)
        if extra is not None:
            each += extra * each_with()
        return hardest_mean(each, loss.hardest) if loss.hardest < 1 else masked_mean(each, valid)

    logits = outputs["logits"]
    terms: dict[str, Array] = {}
    total = jnp.zeros((), jnp.promote_types(logits.dtype, jnp.float32))

    if loss.cross_entropy:
        terms["cross_entropy"] = of_pixels(logits, extra_weights)
        total += loss.cross_entropy * terms["cross_entropy"]
    if loss.focal:
        each = focal(logits, labels, valid, gamma=loss.focal_gamma, class_weights=weights)
        terms["focal"] = masked_mean(each, valid)
        total += loss.focal * terms["focal"]
    if loss.dice:
        terms["dice"] = soft_dice(
            logits, labels, valid, squared=loss.dice_squared, per_image=loss.per_image
        )
        total += loss.dice * terms["dice"]
    if loss.lovasz:
        terms["lovasz"] = lovasz_softmax(logits, labels, valid, per_image=loss.per_image)
        total += loss.lovasz * terms["lovasz"]
    if loss.aux_weight and "aux_logits" in outputs:
        terms["aux"] = of_pixels(outputs["aux_logits"])
        total += loss.aux_weight * terms["aux"]
    if loss.presence and "presence_logits" in outputs:
        terms["presence"] = presence_loss(outputs["presence_logits"], labels, valid)
        total += loss.presence * terms["presence"]
    return {"loss": total} | terms
