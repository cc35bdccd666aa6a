"""Predictions together with their loss, in one pass of the network.

The training loss is computed on augmented crops, this one on whole images of the evaluation split;
comparing the two shows when a network begins to overfit.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Integer, UInt8

from jaxseg import config
from jaxseg.inference import row_bands
from jaxseg.inference.classes import check_classes, classes_of_scores
from jaxseg.inference.infer import make_predictions, make_probabilities
from jaxseg.inference.views import Views, has_one_view, sizes_of
from jaxseg.losses import cross_entropy
from jaxseg.pixels import Normalisation
from jaxseg.types import IGNORE, Array, Variables

Judge = Callable[[Variables, Array, Array, Array], tuple[Array, Array, Array]]
# Class ids int32 [B, H, W]; bool [B], whether all scores of an image are finite; if requested, the
# sums of the loss, float32 [B], and the probabilities, float32 [B, H, W, K].
Found = tuple[Array, Array, Array | None, Array | None]


@dataclasses.dataclass(frozen=True)
class PixelLoss:
    """The cross-entropy of a pixel, with the options of an experiment's training; hashable."""

    class_weights: tuple[float, ...]
    label_smoothing: float

    @classmethod
    def of(cls, loss: config.Loss) -> "PixelLoss":
        """Extracts the per-pixel options from the loss of an experiment."""
        return cls(tuple(loss.class_weights), loss.label_smoothing)

    def each(self, logits: Array, labels: Array) -> Array:
        """Returns the loss of each pixel, float32 [B, h, W]; 0 where void."""
        return cross_entropy(
            logits,
            labels,
            labels != IGNORE,
            class_weights=jnp.asarray(self.class_weights) if self.class_weights else None,
            label_smoothing=self.label_smoothing,
        )


def make_finder(
    model: nn.Module,
    protocol: config.Eval,
    normalisation: Normalisation,
    num_classes: int,
    loss: PixelLoss | None,
) -> Callable[[Variables, Array, Array, Array], Found]:
    """Makes the function (variables, images, sizes, labels) -> results that computes the least.

    Args:
      model: returns "logits" [B, H, W, K].
      protocol: with `calibration`, probabilities are returned too.
      normalisation: of the pixels.
      num_classes: of the data set.
      loss: of a pixel, or None to compute no loss; see `make_judge`.
    """
    if protocol.calibration:
        probabilities = make_probabilities(model, protocol, normalisation)

        def find(variables: Variables, images: Array, sizes: Array, labels: Array) -> Found:
            scores = probabilities(variables, images, sizes)
            if loss is None:
                return (*classes_of_scores(scores, num_classes), None, scores)
            return (*judge_scores(scores, labels, num_classes=num_classes, loss=loss), scores)

        return find
    if loss is not None:
        judge = make_judge(model, protocol, normalisation, num_classes, loss)
        return lambda *batch: (*judge(*batch), None)
    predict = make_predictions(model, protocol, normalisation, num_classes)
    return lambda variables, images, sizes, _: (*predict(variables, images, sizes), None, None)


def make_judge(
    model: nn.Module,
    protocol: config.Eval,
    normalisation: Normalisation,
    num_classes: int,
    loss: PixelLoss,
) -> Judge:
    """Like `make_predictions`, with the sum of the loss over the valid pixels of each image.

    Args:
      model: returns "logits" [B, H, W, K].
      protocol: with several views, the loss is that of their combined probabilities.
      normalisation: of the pixels.
      num_classes: of the data set.
      loss: of a pixel.

    Returns:
      A function of variables, images uint8 [B, H, W, 3], sizes int32 [B, 2] and labels [B, H, W],
      IGNORE outside the image, that returns class ids int32 [B, H, W], bool [B], whether all scores
      of the image are finite, and the sums float32 [B].
    """
    views = Views.of(model, protocol, normalisation)
    if has_one_view(protocol, views):
        return functools.partial(_judge_view, views=views, num_classes=num_classes, loss=loss)
    probabilities = make_probabilities(model, protocol, normalisation)

    def judge(
        variables: Variables,
        images: UInt8[Array, "b h w 3"],
        sizes: Integer[Array, "b 2"],
        labels: Integer[Array, "b h w"],
    ) -> tuple[Int[Array, "b h w"], Bool[Array, " b"], Float[Array, " b"]]:
        scores = probabilities(variables, images, sizes)
        return judge_scores(scores, labels, num_classes=num_classes, loss=loss)

    return judge


@functools.partial(jax.jit, static_argnames=("num_classes", "loss"))
def judge_scores(
    scores: Array, labels: Array, *, num_classes: int, loss: PixelLoss
) -> tuple[Array, Array, Array]:
    """Returns the three results of `make_judge` for probabilities [B, H, W, K]."""
    check_classes(scores.shape[-1], num_classes)

    def each(band: Array, index: Array) -> Array:
        logits = jnp.log(jnp.maximum(band, jnp.finfo(band.dtype).tiny))
        return loss.each(logits, jnp.take(labels, index, axis=1))

    best, sums = row_bands.best_and_sums(row_bands.of_map(scores), scores.shape, each)
    return best, jnp.all(jnp.isfinite(scores), axis=(1, 2, 3)), sums


@functools.partial(jax.jit, static_argnames=("views", "num_classes", "loss"))
def _judge_view(
    variables: Variables,
    images: Array,
    sizes: Array,
    labels: Array,
    *,
    views: Views,
    num_classes: int,
    loss: PixelLoss,
) -> tuple[Array, Array, Array]:
    """Returns the three results of `make_judge` from the logits of whole images."""
    x, convention = views.scores(variables, views.prepared(images, sizes_of(images, sizes)))
    check_classes(x.shape[-1], num_classes)
    height, width = images.shape[1:3]
    best, sums = row_bands.best_and_sums(
        row_bands.resized(x, (height, width), convention),
        (len(images), height, width, num_classes),
        lambda band, index: loss.each(band, jnp.take(labels, index, axis=1)),
    )
    return best, jnp.all(jnp.isfinite(x), axis=(1, 2, 3)), sums
