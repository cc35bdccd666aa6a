"""From a batch of uint8 images to class probabilities or class ids: the protocols of the papers.

Whole image, several scales, left-right flip, another output stride, sliding window: each is one
field of `config.Eval`, and all combine. As in DeepLab (arXiv 1706.05587, section 4; TensorFlow's
research/deeplab), what is averaged over scales and flips are softmax probabilities, not logits.

Memory: of one batch [B, H, W] at most two float32 maps [B, H, W, K] stand between the views (the
sum so far and the newest view); views run one after the other, so their number costs time only.
Inside a view the network's own activations and its logits come on top, at the view's scale; the
sliding window needs those of one crop, and one map [B, h, w, K] at the view's scale.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg import config
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, ArrayLike, Outputs, Variables

Color = tuple[float, float, float]  # one number for each of R, G, B

# DeepLab resizes images and logits so; a side s k + 1 keeps its grid at the scales it divides.
_CONVENTION = "align_corners"
_ROUNDING = 1e-6  # keeps 0.7 * 10 from being taken as 6.999...


def normalise(images: ArrayLike, mean: Color, std: Color) -> Array:
    """uint8 [B, H, W, 3] -> float32 (images - mean) / std."""
    return (jnp.asarray(images, jnp.float32) - jnp.asarray(mean)) / jnp.asarray(std)


def at_output_stride(model: nn.Module, output_stride: int) -> nn.Module:
    """The same network with denser or coarser features; its parameters stay as they are.

    Args:
      model: has a field `backbone` with a field `output_stride`, unless 0 is asked for.
      output_stride: a power of two; 0 leaves the model as it is.

    Raises:
      ValueError: the model has no such field, or the value is no stride.
    """
    if output_stride == 0:
        return model
    if output_stride < 0 or output_stride & (output_stride - 1):
        raise ValueError(f"eval.output_stride={output_stride} must be a power of two, or 0")
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module) or not hasattr(backbone, "output_stride"):
        raise ValueError(
            f"eval.output_stride={output_stride}: {type(model).__name__} has no backbone with an "
            "output_stride; leave it 0"
        )
    return model.clone(backbone=backbone.clone(output_stride=output_stride))


def check_protocol(protocol: config.Eval) -> None:
    """Refuses values that have no meaning.

    Raises:
      ValueError: names the field and what it must be.
    """
    if not protocol.scales or min(protocol.scales) <= 0:
        raise ValueError(f"eval.scales={protocol.scales} must be positive numbers, at least one")
    if protocol.sliding and not 0 < protocol.stride <= 1:
        raise ValueError(
            f"eval.stride={protocol.stride} must be a share of the crop, above 0 and at most 1"
        )
    if protocol.sliding and min(protocol.crop_size) < 1:
        raise ValueError(f"eval.crop_size={protocol.crop_size} must be two positive numbers")
    if protocol.batch_size < 1:
        raise ValueError(f"eval.batch_size={protocol.batch_size} must be at least 1")


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) of an image at `scale`: floor((n - 1) scale + 1), as DeepLab has it."""
    height, width = (math.floor((n - 1) * scale + 1 + _ROUNDING) for n in size)
    return height, width


def window_starts(length: int, crop: int, share: float) -> tuple[int, ...]:
    """Where the crops along one axis begin; the last one ends where the image does.

    PSPNet's evaluation: steps of ceil(share * crop). One crop where the image is not longer.
    """
    if length <= crop:
        return (0,)
    step = math.ceil(share * crop - _ROUNDING)
    count = math.ceil((length - crop) / step) + 1
    return tuple(min(i * step, length - crop) for i in range(count))


def _logits(model: nn.Module, variables: Variables, images: Array) -> Array:
    """Normalised images float32 [B, H, W, 3] -> logits float32 [B, H, W, K]."""
    outputs = cast(Outputs, model.apply(variables, images, train=False))
    return outputs["logits"].astype(jnp.float32)


def _slide(
    model: nn.Module, variables: Variables, images: Array, crop: tuple[int, int], share: float
) -> Array:
    """Averages the probabilities of all crops that cover a pixel: [B, H, W, 3] -> [B, H, W, K].

    An image smaller than the crop is first extended below and to the right by zeros, which is the
    mean colour.
    """
    b, h, w, _ = images.shape
    (ch, cw) = crop
    ph, pw = max(h, ch), max(w, cw)
    images = jnp.pad(images, ((0, 0), (0, ph - h), (0, pw - w), (0, 0)))  # [B, ph, pw, 3]
    corners = np.array(
        [(y, x) for y in window_starts(ph, ch, share) for x in window_starts(pw, cw, share)]
    )
    covers = np.zeros((ph, pw, 1), np.float32)
    for y, x in corners:
        covers[y : y + ch, x : x + cw] += 1

    def of_crop(part: Array) -> Array:
        return jax.nn.softmax(_logits(model, variables, part), axis=-1)

    classes = jax.eval_shape(of_crop, images[:, :ch, :cw]).shape[-1]

    def add_crop(i: Array, total: Array) -> Array:
        y, x = jnp.asarray(corners)[i]
        probabilities = of_crop(lax.dynamic_slice(images, (0, y, x, 0), (b, ch, cw, 3)))
        before = lax.dynamic_slice(total, (0, y, x, 0), probabilities.shape)
        return lax.dynamic_update_slice(total, before + probabilities, (0, y, x, 0))

    total = jnp.zeros((b, ph, pw, classes), jnp.float32)
    total = lax.fori_loop(0, len(corners), add_crop, total)
    return (total / covers)[:, :h, :w]  # [B, H, W, K]


@dataclasses.dataclass(frozen=True)
class _Views:
    """What is fixed when a view is compiled; hashable, so equal protocols share the program."""

    model: nn.Module
    mean: Color
    std: Color
    crop: tuple[int, int] | None  # of the sliding window
    share: float


@functools.partial(jax.jit, static_argnames=("views", "scale"))
def _one_view(
    variables: Variables, images: Array, flip: Array, *, views: _Views, scale: float
) -> Array:
    """Probabilities [B, H, W, K] of uint8 images seen at one scale, mirrored where `flip` says.

    Departure: DeepLab's code resizes the logits from their own coarse grid to the image's; here the
    model has brought them to the view's size before, which a model of any kind can.
    """
    size = (images.shape[1], images.shape[2])
    view = normalise(images, views.mean, views.std)
    view = jnp.where(flip, view[:, :, ::-1], view)
    seen = scaled_size(size, scale)
    if seen != size:
        view = resize_bilinear(view, seen, convention=_CONVENTION)  # [B, h, w, 3]
    if views.crop:
        probabilities = _slide(views.model, variables, view, views.crop, views.share)
        if seen != size:
            probabilities = resize_bilinear(probabilities, size, convention=_CONVENTION)
    else:
        logits = _logits(views.model, variables, view)  # [B, h, w, K]
        if seen != size:
            logits = resize_bilinear(logits, size, convention=_CONVENTION)  # [B, H, W, K]
        probabilities = jax.nn.softmax(logits, axis=-1)
    return jnp.where(flip, probabilities[:, :, ::-1], probabilities)


@functools.partial(jax.jit, donate_argnums=0)
def _add(total: Array, view: Array) -> Array:
    return total + view


def make_probabilities(
    model: nn.Module, protocol: config.Eval, mean: Color, std: Color
) -> Callable[[Variables, ArrayLike], Array]:
    """The function (variables, images) -> probabilities of this protocol.

    Args:
      model: gives "logits" [B, H, W, K].
      protocol: output_stride, scales, flip, sliding, crop_size and stride are read. The frame
        [H, W] that the function is given is what is scaled and cut into crops, its padding too.
      mean: of uint8 RGB.
      std: of uint8 RGB.

    Returns:
      A function of variables and images uint8 [B, H, W, 3], filled up with the mean colour, that
      gives float32 [B, H, W, K], compiled once for each shape and scale.

    Raises:
      ValueError: a field of the protocol has a value without meaning.
    """
    check_protocol(protocol)
    views = _Views(
        at_output_stride(model, protocol.output_stride),
        mean,
        std,
        protocol.crop_size if protocol.sliding else None,
        protocol.stride,
    )
    mirrored = (False, True) if protocol.flip else (False,)

    def probabilities(variables: Variables, images: ArrayLike) -> Array:
        seen = [(scale, np.bool_(flip)) for scale in protocol.scales for flip in mirrored]
        total = _one_view(variables, images, seen[0][1], views=views, scale=seen[0][0])
        for scale, flip in seen[1:]:
            total = _add(total, _one_view(variables, images, flip, views=views, scale=scale))
        return total / len(seen)

    return probabilities


def _classes_of(scores: Array, num_classes: int) -> tuple[Array, Array]:
    """[B, H, W, K] -> the best class int32 [B, H, W], and whether all of an image is finite [B]."""
    if scores.shape[-1] != num_classes:
        raise ValueError(
            f"the model predicts {scores.shape[-1]} classes, the data set has {num_classes}: "
            "set model.num_classes, or take the weights that belong to the data set"
        )
    finite = jnp.all(jnp.isfinite(scores), axis=(1, 2, 3))
    return jnp.argmax(scores, axis=-1).astype(jnp.int32), finite


_classes_of_scores = jax.jit(_classes_of, static_argnums=1)


@functools.partial(jax.jit, static_argnames=("views", "num_classes"))
def _classes_of_logits(
    variables: Variables, images: Array, *, views: _Views, num_classes: int
) -> tuple[Array, Array]:
    view = normalise(images, views.mean, views.std)
    return _classes_of(_logits(views.model, variables, view), num_classes)


def make_predictions(
    model: nn.Module, protocol: config.Eval, mean: Color, std: Color, num_classes: int
) -> Callable[[Variables, ArrayLike], tuple[Array, Array]]:
    """As `make_probabilities`, but to the most probable class; one view needs no softmax for that.

    Returns:
      A function of variables and images uint8 [B, H, W, 3] that gives class ids int32 [B, H, W]
      and bool [B]: whether the image's scores were all finite.

    Raises:
      ValueError: a field of the protocol has a value without meaning; by the function: the model
        predicts another number of classes.
    """
    check_protocol(protocol)
    if tuple(protocol.scales) == (1.0,) and not protocol.flip and not protocol.sliding:
        model = at_output_stride(model, protocol.output_stride)
        views = _Views(model, mean, std, None, 1.0)
        return functools.partial(_classes_of_logits, views=views, num_classes=num_classes)
    probabilities = make_probabilities(model, protocol, mean, std)

    def predictions(variables: Variables, images: ArrayLike) -> tuple[Array, Array]:
        return _classes_of_scores(probabilities(variables, images), num_classes)

    return predictions
