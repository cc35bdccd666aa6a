"""DeepLab v3+: "Encoder-decoder with atrous separable convolution" (arXiv 1802.02611).

DeepLab v3 as the encoder and a small decoder (section 3.1, Figure 2): the encoder's output is
concatenated with a map of stride 4, whose channels a 1x1 convolution has reduced, and two 3x3
convolutions refine the boundaries. The ResNet-101 of Table 3, the Xception-65 of Table 5 with
separable convolutions ("SC"), and the released MobileNetV2 model for ADE20K:

    DeepLabV3Plus(21, ResNet(depth=101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4)),
                  decoder=Decoder("stage1_residual"))
    DeepLabV3Plus(21, Xception(depth=65), decoder=Decoder("entry2_pointwise2"),
                  separable=Separable(aspp=True, decoder=True, init="truncated_normal"))
    DeepLabV3Plus(151, MobileNetV2(), atrous_rates=(), decoder=Decoder("layer_4_depthwise"),
                  separable=Separable(decoder=True, init="truncated_normal"))

The decoders that the paper compares:

    Table 1, channels of Conv2              Decoder(low_level_features=8, 16, 32, 48, 64, convs=1)
    Table 2, number and width of the 3x3    Decoder(convs=1, 2, 3), Decoder(features=256, 128)
    Table 2, 1x1                            Decoder(convs=1, kernel_size=1)
    Table 2, Conv2 + Conv3                  Decoder(middle_levels=("stage2_residual",), convs=1)
    Tables 3 and 5 without decoder          DeepLabV3 on the same backbone
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.layers.aspp import ASPP, classifier_init, rates_at, xavier_uniform
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import SeparableConv, classifier, he_normal_fan_in, he_normal_fan_out
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs

# Initializers of the depthwise and 1x1 kernels of separable convolutions outside the backbone.
SEPARABLE_INITS = {
    "he_normal": (he_normal_fan_in, he_normal_fan_out),
    "truncated_normal": (
        nn.initializers.truncated_normal(0.33),
        nn.initializers.truncated_normal(0.06),
    ),
}


@dataclasses.dataclass(unsafe_hash=True)
class Separable:
    """Which convolutions outside the backbone are separable, and how (section 3.1)."""

    aspp: bool = False  # the atrous convolutions
    decoder: bool = False  # those of the decoder and the extra ones
    normalise_depthwise: bool = True  # off in smp: neither norm nor ReLU between the two
    init: str = "he_normal"  # or the released code's "truncated_normal" of 0.33 and 0.06


@dataclasses.dataclass(unsafe_hash=True)
class Decoder:
    """The decoder, whose fields Tables 1 and 2 vary.

    The paper uses Conv2, "the last feature map of res2x before striding"; the released code uses
    the residual branch of that unit ("stage1_residual"), most others its sum after ReLU ("stage1").

    With `middle_levels` it decodes in steps, like the released code for a list of decoder strides:
    each level has its own 1x1 convolution, concatenation and 3x3 convolutions, and its output is
    upsampled to the next level. Unsure: whether the row Conv2 + Conv3 of Table 2 used such steps,
    with one 3x3 convolution of 256 channels in each; the table only names it.
    """

    low_level: str = "stage1"  # an end point of the backbone
    middle_levels: tuple[str, ...] = ()  # end points decoded before `low_level`, coarsest first
    low_level_features: int = 48  # of each level; varied in Table 1
    features: int = 256  # of each level; varied in Table 2, like the next two
    convs: int = 2  # convolutions after the concatenation
    kernel_size: int = 3  # of these convolutions


class DeepLabV3Plus(nn.Module):
    """The network of Figure 2; the encoder's output stride is the backbone's."""

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # of jaxseg.backbones
    atrous_rates: tuple[int, ...] = (6, 12, 18)  # stated at output stride 16, scaled to the actual
    image_pooling: bool = True  # ASPP's branch that averages over the whole image
    aspp_features: int = 256  # channels of each branch of ASPP, and of their projection
    separable: Separable = Separable()
    extra_convs: int = 0  # 3x3, between ASPP and decoder; one in smp
    dropout: float = 0.1  # after ASPP's projection
    decoder: Decoder = Decoder()
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "align_corners"
    norm: Norm = Norm(decay=0.9997)  # the backbone has its own
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "coarse_logits" [B, H/4, W/4, K], the logits before
          upsampling; "features", the backbone's last map; "aspp", the encoder's output; "decoder",
          the input of the classifier.

        Raises:
          ValueError: the backbone lacks the decoder's `low_level` or one of its `middle_levels`,
            these are not ordered from coarse to fine, `separable.init` is unknown, or a rate is not
            an integer at this output stride.
        """
        ends = self.backbone(images, train=train)
        levels = (*self.decoder.middle_levels, self.decoder.low_level)
        self._check(ends)
        outputs = {"features": ends["features"]}  # [B, H/16, W/16, 2048]
        x = self._encode(ends["features"], train=train)  # [B, H/16, W/16, 256]
        outputs["aspp"] = x
        for number, level in enumerate(levels, start=1):
            prefix = "" if number == len(levels) else f"middle{number}_"
            x = self._decode(x, ends[level], prefix, train=train)  # [B, H/4, W/4, 256]
        outputs["decoder"] = x
        scores = classifier(self.num_classes, self.compute, kernel_init=classifier_init)
        x = scores(x)  # [B, H/4, W/4, K]
        outputs["coarse_logits"] = x
        return outputs | {"logits": self._upsample(x, images)}  # [B, H, W, K]

    def _check(self, ends: dict[str, Array]) -> None:
        if self.separable.init not in SEPARABLE_INITS:
            raise ValueError(
                f"separable.init is {self.separable.init!r}: it must be one of "
                + ", ".join(SEPARABLE_INITS)
            )
        low, middle = self.decoder.low_level, self.decoder.middle_levels
        for field, value, levels in (
            ("low_level", low, (low,)),
            ("middle_levels", middle, middle),
        ):
            if not set(levels) <= set(ends):
                there = ", ".join(ends)
                raise ValueError(f"decoder.{field} is {value!r}: the backbone has {there}")
        order = ("features", *middle, low)
        for before, after in itertools.pairwise(order):
            (h, w), (height, width) = ends[before].shape[1:3], ends[after].shape[1:3]
            if height < h or width < w:
                raise ValueError(
                    f"{after!r} is a smaller map than {before!r}: the decoder goes from coarse to "
                    f"fine, {', '.join(order)}"
                )

    def _encode(self, features: Array, *, train: bool) -> Array:
        """Applies DeepLab v3 up to its classifier; returns [B, h, w, aspp_features]."""
        x = self._separable(ASPP)(
            self.aspp_features,
            rates_at(self.atrous_rates, self.backbone.output_stride),
            image_pooling=self.image_pooling,
            separable=self.separable.aspp,
            normalise_depthwise=self.separable.normalise_depthwise,
            dropout=self.dropout,
            name="aspp",
        )(features, train=train)
        for number in range(1, self.extra_convs + 1):
            layer = self._refine()(self.aspp_features, 3, name=f"extra_conv{number}")
            x = layer(x, train=train)
        return x

    def _decode(self, x: Array, low: Array, prefix: str, *, train: bool) -> Array:
        """Decodes x [B, h, w, C] and a level [B, H/s, W/s, c] to [B, H/s, W/s, features]."""
        project = self._dense()(self.decoder.low_level_features, 1, name=f"{prefix}low_level_conv")
        low = project(low, train=train)  # [B, H/4, W/4, 48]
        x = self._upsample(x, low)  # [B, H/4, W/4, 256]
        x = jnp.concatenate([x, low], axis=-1)  # [B, H/4, W/4, 304]
        for number in range(1, self.decoder.convs + 1):
            layer = self._refine()(
                self.decoder.features,
                self.decoder.kernel_size,
                name=f"{prefix}decoder_conv{number}",
            )
            x = layer(x, train=train)  # [B, H/4, W/4, 256]
        return x

    def _upsample(self, x: Array, like: Array) -> Array:
        height, width = like.shape[1:3]
        convention, form = self.resize_convention, self.compute.of("resize")
        return resize_bilinear(x, (height, width), convention=convention, form=form)

    def _refine(self) -> Callable[..., nn.Module]:
        """Returns the kind of convolution used by the decoder and the extra layers."""
        if not self.separable.decoder:
            return self._dense()
        return functools.partial(
            self._separable(SeparableConv),
            normalise_depthwise=self.separable.normalise_depthwise,
            activate_depthwise=self.separable.normalise_depthwise,
        )

    def _separable(self, module: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        depthwise_init, pointwise_init = SEPARABLE_INITS[self.separable.init]
        return functools.partial(
            module,
            depthwise_init=depthwise_init,
            pointwise_init=pointwise_init,
            norm=self.norm,
            compute=self.compute,
        )

    def _dense(self) -> Callable[..., nn.Module]:
        return functools.partial(
            ConvNorm, kernel_init=xavier_uniform, norm=self.norm, compute=self.compute
        )
