"""From a batch of uint8 images to class probabilities or class ids, by the papers' protocols.

Whole images, several scales, left-right flip, rotations, another output stride, windows and tiles,
and a final CRF are fields of `config.Eval`, which can be combined; `jaxseg.inference.protocols` has
the values that the papers use. As in DeepLab (arXiv 1706.05587, section 4; TensorFlow's
research/deeplab), softmax probabilities rather than logits are averaged over scales and flips,
unless `eval.fusion` says otherwise. See `jaxseg.inference.views` for the memory required.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8

from jaxseg import config
from jaxseg.inference import row_bands
from jaxseg.inference.classes import check_classes, classes_of_scores
from jaxseg.inference.protocols import check_protocol
from jaxseg.inference.views import Views, has_one_view, sizes_of, with_view
from jaxseg.pixels import Normalisation
from jaxseg.postprocess import crf, crf_parameters
from jaxseg.types import Array, ArrayLike, Variables


def make_probabilities(
    model: nn.Module, protocol: config.Eval, normalisation: Normalisation
) -> Callable[..., Array]:
    """Makes the function (variables, images, sizes=None) -> probabilities of a protocol.

    Args:
      model: returns "logits" [B, H, W, K].
      protocol: of which all fields except size, use_ema and examples are used.
      normalisation: of the pixels.

    Returns:
      A function of variables, images uint8 [B, H, W, 3], padded with the mean colour, and their
      sizes int32 [B, 2] (None if they are not padded), that returns float32 [B, H, W, K]. It is
      compiled once for each frame and scale. Values outside an image are undefined.

    Raises:
      ValueError: a field of the protocol has an invalid value.
    """
    check_protocol(protocol)
    views = Views.of(model, protocol, normalisation)
    highest = protocol.fusion == "max"
    mirrored = (False, True) if views.flip and not views.flips_inside else (False,)
    turns = [360 * i / protocol.rotations for i in range(protocol.rotations)]
    each: list[dict[str, Any]] = [
        {
            "mirrored": np.bool_(flip),
            "degrees": np.float32(degrees),
            "scale": scale,
            "rotated": degrees > 0,
        }
        for degrees in turns
        for scale in protocol.scales
        for flip in mirrored
    ]

    def probabilities(
        variables: Variables,
        images: UInt8[ArrayLike, "b h w 3"],
        sizes: Integer[ArrayLike, "b 2"] | None = None,
    ) -> Float[Array, "b h w k"]:
        sizes = sizes_of(images, sizes)
        total = None
        for view in each:
            total = with_view(total, variables, images, sizes, views=views, **view)
        assert total is not None
        mean = jax.nn.softmax(total) if highest else total / len(each)
        if protocol.fusion == "exp":
            mean = _normalised(mean)
        return _refined(mean, jnp.asarray(images), sizes, protocol)

    return probabilities


@jax.jit
def _normalised(scores: Array) -> Array:
    """Normalises positive scores [..., K] to probabilities; if all underflow, they stay 0."""
    total = jnp.sum(scores, axis=-1, keepdims=True)
    return scores / jnp.maximum(total, jnp.finfo(scores.dtype).tiny)


def _refined(probabilities: Array, images: Array, sizes: Array, protocol: config.Eval) -> Array:
    """Applies the CRF, if any, to probabilities [B, H, W, K]; nonfinite ones give NaN."""
    parameters = crf_parameters.read(protocol.crf)
    if parameters is None:
        return probabilities
    each: Sequence[Array] = [
        crf.mean_field(
            jnp.log(jnp.maximum(one, jnp.finfo(one.dtype).tiny)),
            image,
            parameters,
            normalization=protocol.crf_normalization,
            filter=protocol.crf_filter,
            size=jnp.maximum(size, 1),
        )
        for one, image, size in zip(probabilities, images, sizes, strict=True)
    ]
    return jnp.stack(each)


@functools.partial(jax.jit, static_argnames=("views", "num_classes"))
def _classes_of_one_view(
    variables: Variables, images: Array, sizes: Array, *, views: Views, num_classes: int
) -> tuple[Array, Array]:
    """Returns classes and finiteness from the logits of whole images."""
    x, convention = views.scores(variables, views.prepared(images, sizes))
    check_classes(x.shape[-1], num_classes)
    height, width = images.shape[1:3]
    rows = row_bands.resized(x, (height, width), convention)
    best = row_bands.best_classes(rows, (len(images), height, width, num_classes))
    return best, jnp.all(jnp.isfinite(x), axis=(1, 2, 3))


def make_predictions(
    model: nn.Module, protocol: config.Eval, normalisation: Normalisation, num_classes: int
) -> Callable[..., tuple[Array, Array]]:
    """Like `make_probabilities`, for the most probable class; a single view needs no softmax.

    Returns:
      A function of variables, images uint8 [B, H, W, 3] and sizes int32 [B, 2] or None that returns
      class ids int32 [B, H, W] and bool [B], whether all scores of the image are finite. It raises
      a ValueError if the model does not predict `num_classes` classes.

    Raises:
      ValueError: a field of the protocol has an invalid value.
    """
    check_protocol(protocol)
    views = Views.of(model, protocol, normalisation)
    plain = has_one_view(protocol, views)
    probabilities = make_probabilities(model, protocol, normalisation)

    def predictions(
        variables: Variables,
        images: UInt8[ArrayLike, "b h w 3"],
        sizes: Integer[ArrayLike, "b 2"] | None = None,
    ) -> tuple[Int[Array, "b h w"], Bool[Array, " b"]]:
        if not plain:
            return classes_of_scores(probabilities(variables, images, sizes), num_classes)
        sizes = sizes_of(images, sizes)
        return _classes_of_one_view(variables, images, sizes, views=views, num_classes=num_classes)

    return predictions
