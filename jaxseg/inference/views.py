"""One view of a batch: scaled, flipped or rotated; the whole image or sliding windows.

Memory: for a batch [B, H, W], one float32 map [B, H, W, K], the sum so far, is kept between views;
a single view needs none. Everything added to it or selected from it is computed one band of rows at
a time (`row_bands`), from scores at the network's resolution. Views run one after the other, so
their number only costs time. Windows need a second such map, at the scale of the view.
"""

import dataclasses
import functools
import math
from typing import Self, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32, Int32, UInt8

from jaxseg import config
from jaxseg.inference import own_border, row_bands, windows
from jaxseg.inference.row_bands import Rows
from jaxseg.layers.resize import resize_bilinear
from jaxseg.pixels import Normalisation, normalise
from jaxseg.types import Array, ArrayLike, Outputs, Variables

# As DeepLab resizes images and logits; a side s k + 1 keeps its grid at the scales it divides.
_CONVENTION = "align_corners"

# Subtracted from logits before exp, as a common factor: float32 overflows at exp(88).
_SHIFT = 60.0


def at_output_stride(model: nn.Module, output_stride: int) -> nn.Module:
    """Returns the network at another output stride, with the same parameters.

    Args:
      model: with a field `backbone` that has a field `output_stride`, unless `output_stride` is 0.
      output_stride: a power of two; 0 leaves the model unchanged.

    Raises:
      ValueError: the model has no such field, or the value is not a power of two.
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


@dataclasses.dataclass(frozen=True)
class Views:
    """The static options of views; hashable, so that equal protocols share compiled programs."""

    model: nn.Module
    normalisation: Normalisation
    fusion: str
    flip: bool
    long_side: int
    short_side: int
    crop: tuple[int, int] | None  # of the sliding window
    share: float
    margin: int
    mirror: bool  # pad images by reflection

    @classmethod
    def of(cls, model: nn.Module, protocol: config.Eval, normalisation: Normalisation) -> Self:
        """Extracts the options of a protocol's views."""
        return cls(
            model=own_border.within(at_output_stride(model, protocol.output_stride), protocol),
            normalisation=normalisation,
            fusion=protocol.fusion,
            flip=protocol.flip,
            long_side=protocol.long_side,
            short_side=protocol.short_side,
            crop=protocol.crop_size if protocol.sliding else None,
            share=protocol.stride,
            margin=protocol.margin,
            mirror=protocol.border == "mirror",
        )

    @property
    def windowed(self) -> bool:
        """Whether the network processes windows, or the image with a margin."""
        return self.crop is not None or self.margin > 0

    @property
    def resized(self) -> bool:
        """Whether images are resized individually in a view, else the frame is scaled."""
        return bool(self.long_side or self.short_side)

    @property
    def flips_inside(self) -> bool:
        """Whether a view includes its mirror image, which is otherwise a separate view."""
        return self.flip and (self.windowed or self.fusion in ("logits", "exp"))

    def prepared(
        self, images: UInt8[Array, "b h w 3"], sizes: Int32[Array, "b 2"]
    ) -> Float32[Array, "b h w 3"]:
        """Normalises images padded with the mean colour, and pads by reflection if `mirror`."""
        images = normalise(images, self.normalisation)
        if not self.mirror:
            return images
        height, width = images.shape[1:3]
        return windows.mirrored_beyond(images, sizes, (0, height), (0, width))

    def scores(
        self, variables: Variables, images: Float32[Array, "b h w 3"]
    ) -> tuple[Float32[Array, "b y x k"], str]:
        """Returns the network's last map, and the convention by which it is upsampled to logits.

        Raises:
          ValueError: the logits do not have the size of the image, because the network crops it.
        """
        outputs = cast(Outputs, self.model.apply(variables, images, train=False))
        (given, found) = images.shape[1:3], outputs["logits"].shape[1:3]
        if found != given:
            raise ValueError(
                f"{type(self.model).__name__} gives {found[0]} x {found[1]} scores for "
                f"{given[0]} x {given[1]} pixels, having no padding: set eval.margin to the "
                "border that it loses on each side"
            )
        convention = getattr(self.model, "resize_convention", None)
        if convention and "coarse_logits" in outputs:
            return outputs["coarse_logits"].astype(jnp.float32), convention
        return outputs["logits"].astype(jnp.float32), _CONVENTION

    def whole(
        self,
        variables: Variables,
        view: Float32[Array, "b h w 3"],
        size: tuple[int, int],
        mirrored: Bool[Array, ""] | bool,
    ) -> Rows:
        """Scores of a view at `size`: logits ("max"), exponentials ("exp") or probabilities."""
        view = jnp.where(mirrored, view[:, :, ::-1], view)
        x, convention = self.scores(variables, view)
        rows = row_bands.resized(x, size, convention, mirrored=mirrored)
        if self.flips_inside:
            y, convention = self.scores(variables, view[:, :, ::-1])
            other = row_bands.resized(y, size, convention, mirrored=True)
            return lambda index: self._fused(rows(index) + other(index))
        return lambda index: self._fused(rows(index))

    def _fused(self, logits: Array) -> Array:
        """Maps logits [..., K] to what is averaged over views (or for "max" maximised)."""
        if self.fusion == "max":
            return logits
        if self.fusion == "exp":
            return jnp.exp(logits - _SHIFT)
        return jax.nn.softmax(logits)

    def of_window(
        self, variables: Variables, part: Float32[Array, "b h w 3"]
    ) -> Float32[Array, "b y x k"]:
        """Returns the probabilities of windows, or for "exp" their exponentials."""

        def logits(part: Array) -> Array:
            outputs = cast(Outputs, self.model.apply(variables, part, train=False))
            return outputs["logits"].astype(jnp.float32)

        if not self.flip:
            return self._fused(logits(part))
        both = logits(part), logits(part[:, :, ::-1])[:, :, ::-1]
        if self.fusion in ("logits", "exp"):
            return self._fused(both[0] + both[1])
        return (jax.nn.softmax(both[0]) + jax.nn.softmax(both[1])) / 2

    def seen(
        self,
        variables: Variables,
        x: Float32[Array, "b h w 3"],
        sizes: Int32[Array, "b 2"],
        mirrored: Bool[Array, ""] | bool,
        scale: float,
    ) -> Rows:
        """Returns the scores of normalised images at one scale, resized to the images."""
        size = (x.shape[1], x.shape[2])
        if self.long_side:
            side = round(self.long_side * scale)
            canvas, new = (side, side), windows.with_long_side(sizes, side)
            view = windows.resampled(x, sizes, new, canvas)
        elif self.short_side:
            canvas = windows.short_side_canvas(size, self.short_side, scale)
            new = windows.with_short_side(sizes, self.short_side, scale)
            view = windows.resampled(x, sizes, new, canvas)
        else:
            canvas = windows.scaled_size(size, scale)
            new = windows.scaled_sizes(sizes, scale)
            view = x if canvas == size else resize_bilinear(x, canvas, convention=_CONVENTION)
        if not self.windowed and not self.resized:
            return self.whole(variables, view, size, mirrored)
        if self.windowed:
            crop = self.crop or (canvas[0] + 2 * self.margin, canvas[1] + 2 * self.margin)
            y = windows.slide(
                functools.partial(self.of_window, variables),
                view,
                new,
                crop=crop,
                share=self.share,
                margin=self.margin,
                mirror=self.mirror,
            )  # [B, h, w, K]
        else:
            y = _all_rows(self.whole(variables, view, canvas, mirrored), canvas[0])
        if self.resized:
            y = windows.resampled(y, new, sizes, size)
            return row_bands.of_map(y)
        return row_bands.resized(y, size, _CONVENTION)


def has_one_view(protocol: config.Eval, views: Views) -> bool:
    """Returns whether each image is processed once, whole and unscaled, without a CRF."""
    plain = tuple(protocol.scales) == (1.0,) and not (protocol.flip or protocol.crf)
    return plain and protocol.rotations == 1 and not (views.windowed or views.resized)


def sizes_of(images: ArrayLike, sizes: ArrayLike | None) -> Array:
    """Returns sizes int32 [B, 2]: as given, or those of unpadded images."""
    if sizes is not None:
        return jnp.asarray(sizes, jnp.int32)
    return jnp.tile(jnp.array(images.shape[1:3], jnp.int32), (images.shape[0], 1))


def _all_rows(rows: Rows, height: int) -> Array:
    return rows(jnp.arange(height))


@functools.partial(jax.jit, static_argnames=("views", "scale", "rotated"), donate_argnums=0)
def with_view(
    total: Float32[Array, "b h w k"] | None,
    variables: Variables,
    images: UInt8[Array, "b h w 3"],
    sizes: Int32[Array, "b 2"],
    mirrored: Bool[Array, ""],
    degrees: Float32[Array, ""],
    *,
    views: Views,
    scale: float,
    rotated: bool,
) -> Float32[Array, "b h w k"]:
    """Adds one view to the sum of scores (or, for the fusion "max", to the maximum of logits).

    Args:
      total: the sum of the previous views; None for the first view.
      variables: of the network.
      images: padded with the mean colour.
      sizes: of the images.
      mirrored: whether the view is flipped left to right.
      degrees: the angle of rotation, if `rotated`.
      views: of the protocol.
      scale: of the view.
      rotated: whether the view is rotated.
    """
    size = (images.shape[1], images.shape[2])
    x = views.prepared(images, sizes)
    if rotated:
        side = math.ceil(math.hypot(*size))
        x = windows.rotated(x, sizes, degrees, (side, side))
        whole = jnp.full_like(sizes, side)
        y = _all_rows(views.seen(variables, x, whole, mirrored, scale), side)
        y = windows.rotated_back(y, sizes, degrees, size)  # [B, H, W, K]
        rows = row_bands.of_map(y)
    else:
        rows = views.seen(variables, x, sizes, mirrored, scale)
    highest = views.fusion == "max"
    if total is None:
        classes = jax.eval_shape(rows, jnp.arange(1)).shape[-1]
        start = -jnp.inf if highest else 0.0
        total = jnp.full((x.shape[0], *size, classes), start, jnp.float32)
    return row_bands.joined(total, rows, jnp.maximum if highest else jnp.add)
