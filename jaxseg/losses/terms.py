"""The loss of a model's outputs: a weighted sum of the terms that an experiment selects."""

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
from jaxtyping import Float, Integer

from jaxseg import config
from jaxseg.losses.cross_entropy import cross_entropy, focal
from jaxseg.losses.means import hardest_mean, subsampled, valid_pixels
from jaxseg.losses.overlap import lovasz_softmax, soft_dice
from jaxseg.losses.presence import presence_loss
from jaxseg.types import IGNORE, Array, ArrayLike, Outputs

_COARSE = "coarse_logits"


def coarse_names(outputs: Iterable[str]) -> list[str]:
    """Returns the outputs for `Loss.coarse`: all that begin with "coarse_logits", sorted.

    Examples:
      >>> coarse_names({"logits": None, "coarse_logits_scale50": None, "coarse_logits": None})
      ['coarse_logits', 'coarse_logits_scale50']
    """
    return sorted(name for name in outputs if name.startswith(_COARSE))


@dataclasses.dataclass(frozen=True)
class _Part:
    """A part of a batch, which computes its contribution to the terms of the whole batch."""

    labels: Array  # of the part, [B, H, W]
    whole: Array  # of the whole batch
    loss: config.Loss

    def on(self, logits: Array) -> "_Part":
        """Subsamples the labels to the map of these logits."""
        size = logits.shape[1], logits.shape[2]
        return _Part(subsampled(self.labels, size), subsampled(self.whole, size), self.loss)

    def share(self, term: Array) -> Array:
        """Weights a term that is not a sum over pixels by the part's share of the valid pixels."""
        here, all_of_them = (valid_pixels(y != IGNORE) for y in (self.labels, self.whole))
        return term * (here / jnp.maximum(all_of_them, 1)).astype(term.dtype)

    def of_pixels(self, each: Array) -> Array:
        """Reduces [B, H, W]: its sum, divided by the whole batch's images or valid pixels."""
        total = jnp.sum(jnp.where(self.labels != IGNORE, each, 0))
        if self.loss.reduction == "images":
            return total / self.whole.shape[0]
        return total / jnp.maximum(valid_pixels(self.whole != IGNORE), 1).astype(each.dtype)

    def class_weights(self) -> Array | None:
        """Returns the class weights [K], or None if all are 1."""
        weights = self.loss.class_weights
        return jnp.asarray(weights, jnp.float32) if weights else None

    def cross_entropy(self, logits: Array, extra: Array | None = None) -> Array:
        """The cross-entropy of one map of logits, with all options of the experiment."""
        valid = self.labels != IGNORE
        smoothing = self.loss.label_smoothing
        each = cross_entropy(
            logits,
            self.labels,
            valid,
            class_weights=self.class_weights(),
            label_smoothing=smoothing,
        )
        if extra is not None:
            each += extra * cross_entropy(logits, self.labels, valid, label_smoothing=smoothing)
        if self.loss.hardest < 1:
            return self.share(hardest_mean(each, self.loss.hardest))
        return self.of_pixels(each)

    def coarse(self, outputs: Outputs) -> Array:
        """The sum of the cross-entropies of all coarse maps, each at its own size."""
        maps = (outputs[name] for name in coarse_names(outputs))
        losses = [self.on(logits).cross_entropy(logits) for logits in maps]
        return jnp.sum(jnp.stack(losses))


def _terms(part: _Part, outputs: Outputs, extra_weights: Array | None) -> dict[str, Array]:
    """Returns each term that has a weight and an output, without the weight applied."""
    loss, labels, valid = part.loss, part.labels, part.labels != IGNORE
    logits = outputs["logits"]
    terms: dict[str, Array] = {}
    if loss.cross_entropy:
        terms["cross_entropy"] = part.cross_entropy(logits, extra_weights)
    if loss.focal:
        weights = part.class_weights()
        each = focal(logits, labels, valid, gamma=loss.focal_gamma, class_weights=weights)
        terms["focal"] = part.of_pixels(each)
    if loss.dice:
        dice = soft_dice(
            logits,
            labels,
            valid,
            squared=loss.dice_squared,
            per_class=loss.dice_per_class,
            per_image=loss.per_image,
        )
        terms["dice"] = part.share(dice)
    if loss.lovasz:
        lovasz = lovasz_softmax(logits, labels, valid, per_image=loss.per_image)
        terms["lovasz"] = part.share(lovasz)
    if loss.coarse and coarse_names(outputs):
        terms["coarse"] = part.coarse(outputs)
    if loss.aux_weight and "aux_logits" in outputs:
        terms["aux"] = part.cross_entropy(outputs["aux_logits"])
    if loss.presence and "presence_logits" in outputs:
        terms["presence"] = part.share(presence_loss(outputs["presence_logits"], labels, valid))
    return terms


def segmentation(
    outputs: Outputs,
    labels: Integer[ArrayLike, "b h w"],
    loss: config.Loss,
    extra_weights: Float[ArrayLike, "b h w"] | None = None,
    whole: Integer[ArrayLike, "n h w"] | None = None,
) -> dict[str, Float[Array, ""]]:
    """The loss of a model's outputs and its unweighted terms, without those of weight 0.

    The term of the auxiliary head is its cross-entropy (PSPNet, section 3.3). Coarse logits have
    the sizes of their own maps; their term is the sum of the cross-entropies of all of them, each
    with the labels subsampled to its map (in DeepLab v1 and v2 one map of stride 8; with v2's
    inputs at three scales, four maps). Weight decay belongs to the optimiser.

    For a part of a batch, `whole` makes each term the part's contribution, so that those of all
    parts sum to the term of the whole batch. This is exact for sums over pixels. The other terms
    (Dice, Lovasz, the hardest pixels, presence) are computed on the part and weighted by its share
    of the valid pixels.

    Args:
      outputs: "logits" and optionally "aux_logits" [B, H, W, K], "presence_logits" [B, K], and
        outputs whose names begin with "coarse_logits", [B, h, w, K].
      labels: train ids, IGNORE where void.
      loss: the weights and options of the terms.
      extra_weights: added to the class weight of each pixel in the main cross-entropy (U-Net,
        equation 2).
      whole: the labels of the whole batch if this is a part of it; by default `labels`.

    Returns:
      "loss", and those of "cross_entropy", "focal", "dice", "lovasz", "coarse", "aux" and
      "presence" that have a weight and an output.

    Examples:
      >>> outputs = {"logits": jnp.zeros((1, 1, 2, 2))}
      >>> terms = segmentation(outputs, np.array([[[0, 1]]]), config.Loss(dice=2.0))
      >>> {name: round(float(term), 3) for name, term in terms.items()}
      {'loss': 1.693, 'cross_entropy': 0.693, 'dice': 0.5}
    """
    labels = jnp.asarray(labels)
    extra = None if extra_weights is None else jnp.asarray(extra_weights)
    part = _Part(labels, labels if whole is None else jnp.asarray(whole), loss)
    terms = _terms(part, outputs, extra)
    weights = {name: getattr(loss, name) for name in terms if name != "aux"}
    weights["aux"] = loss.aux_weight
    total = jnp.zeros((), jnp.promote_types(outputs["logits"].dtype, jnp.float32))
    for name, term in terms.items():
        total += weights[name] * term
    return {"loss": total} | terms
