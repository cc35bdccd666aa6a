"""DeepLab v3+: "Encoder-decoder with atrous separable convolution" (arXiv 1802.02611).

DeepLab v3 as the encoder and a small decoder (section 3.1, Figure 2): the encoder's output meets a
map of stride 4 whose channels a 1x1 convolution has reduced, and two 3x3 convolutions sharpen the
borders. The ResNet-101 of Table 3, the Xception-65 of Table 5 with separable convolutions ("SC"),
and ADE20K's MobileNetV2 of the released models:

    DeepLabV3Plus(21, ResNet(depth=101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4)),
                  low_level="stage1_residual")
    DeepLabV3Plus(21, Xception(depth=65), aspp_separable=True, low_level="entry2_pointwise2",
                  decoder_separable=True, separable_init="truncated_normal")
    DeepLabV3Plus(151, MobileNetV2(), atrous_rates=(), low_level="layer_4_depthwise",
                  decoder_separable=True, separable_init="truncated_normal")

The decoders that the paper compares:

    Table 1, channels of Conv2              low_level_features 8, 16, 32, 48, 64, decoder_convs 1
    Table 2, how many 3x3, of what width    decoder_convs 1, 2, 3; decoder_features 256, 128
    Table 2, 1x1                            decoder_convs 1, decoder_kernel_size 1
    Table 2, Conv2 + Conv3                  middle_levels=("stage2_residual",), decoder_convs 1
    Tables 3 and 5 without decoder          DeepLabV3 on the same backbone
"""

import functools
import itertools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.aspp import ASPP, STATED_AT, classifier_init, rates_at, xavier_uniform
from jaxseg.layers.conv import Conv, SeparableConv, he_normal_fan_in, he_normal_fan_out
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs

# Of separable convolutions outside of the backbone: depthwise and 1x1 kernels.
SEPARABLE_INITS = {
    "he_normal": (he_normal_fan_in, he_normal_fan_out),
    "truncated_normal": (
        nn.initializers.truncated_normal(0.33),
        nn.initializers.truncated_normal(0.06),
    ),
}


class DeepLabV3Plus(nn.Module):
    """Figure 2; the backbone's output stride is the encoder's.

    The paper takes Conv2, "the last feature map of res2x before striding"; the released code takes
    the residual branch of that unit ("stage1_residual"), most others its sum after ReLU ("stage1").

    With `middle_levels` the decoder works in steps, as the released code does for a list of decoder
    strides: each level has a 1x1 convolution, a concatenation and 3x3 convolutions of its own, and
    what comes out is upsampled to the next one. That the row Conv2 + Conv3 of Table 2 was such
    steps, with one 3x3 convolution of 256 in each, is not certain: the table has only its name.
    """

    num_classes: int
    backbone: nn.Module  # of jaxseg.backbones
    atrous_rates: tuple[int, ...] = (6, 12, 18)  # stated at output stride 16, scaled to the actual
    image_pooling: bool = True
    aspp_features: int = 256
    aspp_separable: bool = False
    extra_convs: int = 0  # 3x3 between ASPP and decoder: one in smp
    dropout: float = 0.1  # after ASPP's projection
    low_level: str = "stage1"  # an end point of the backbone
    middle_levels: tuple[str, ...] = ()  # end points decoded before `low_level`, coarsest first
    low_level_features: int = 48  # Table 1; of each level
    decoder_features: int = 256  # Table 2, as the next two; of each level
    decoder_convs: int = 2
    decoder_kernel_size: int = 3
    decoder_separable: bool = False  # also of the extra convolutions
    normalise_depthwise: bool = True  # smp: neither norm nor ReLU inside separable convolutions
    separable_init: str = "he_normal"  # or the released code's "truncated_normal" of 0.33 and 0.06
    resize_convention: str = "align_corners"
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_decay: float = 0.9997  # the backbone has its own
    norm_groups: int = 32
    dtype: str = "float32"  # of features; logits are float32
    form: str = "auto"

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits" float32 [B, H, W, K], and "coarse_logits" [B, H/4, W/4, K], which they enlarge;
          "features" of the backbone, "aspp" of the encoder and "decoder", what is classified.

        Raises:
          ValueError: the backbone has no such end point as `low_level` or one of `middle_levels`,
            these are not in the order of their sizes, `separable_init` is unknown, or at this
            output stride a rate is not a whole number.
        """
        ends = self.backbone(images, train=train)
        levels = (*self.middle_levels, self.low_level)
        self._check(ends)
        outputs = {"features": ends["features"]}  # [B, H/16, W/16, 2048]
        x = self._encode(ends["features"], train=train)  # [B, H/16, W/16, 256]
        outputs["aspp"] = x
        for number, level in enumerate(levels, start=1):
            prefix = "" if number == len(levels) else f"middle{number}_"
            x = self._decode(x, ends[level], prefix, train=train)  # [B, H/4, W/4, 256]
        outputs["decoder"] = x
        classifier = Conv(
            self.num_classes,
            1,
            use_bias=True,
            kernel_init=classifier_init,
            form=self.form,
            name="classifier",
        )
        x = classifier(x)  # [B, H/4, W/4, K]
        outputs["coarse_logits"] = x
        return outputs | {"logits": self._upsample(x, images)}  # [B, H, W, K]

    def _check(self, ends: dict[str, Array]) -> None:
        if self.separable_init not in SEPARABLE_INITS:
            raise ValueError(
                f"separable_init is {self.separable_init!r}: it must be one of "
                + ", ".join(SEPARABLE_INITS)
            )
        for field, levels in (
            ("low_level", (self.low_level,)),
            ("middle_levels", self.middle_levels),
        ):
            if not set(levels) <= set(ends):
                value = getattr(self, field)
                raise ValueError(f"{field} is {value!r}: there are {', '.join(ends)}")
        order = ("features", *self.middle_levels, self.low_level)
        for before, after in itertools.pairwise(order):
            (h, w), (height, width) = ends[before].shape[1:3], ends[after].shape[1:3]
            if height < h or width < w:
                raise ValueError(
                    f"{after!r} is a smaller map than {before!r}: the decoder goes from coarse to "
                    f"fine, {', '.join(order)}"
                )

    def _encode(self, features: Array, *, train: bool) -> Array:
        """DeepLab v3 up to its classifier: [B, h, w, C] -> [B, h, w, aspp_features]."""
        x = self._separable(ASPP)(
            self.aspp_features,
            rates_at(self.atrous_rates, self.backbone.output_stride),
            image_pooling=self.image_pooling,
            separable=self.aspp_separable,
            normalise_depthwise=self.normalise_depthwise,
            dropout=self.dropout,
            name="aspp",
        )(features, train=train)
        for number in range(1, self.extra_convs + 1):
            layer = self._refine()(self.aspp_features, 3, name=f"extra_conv{number}")
            x = layer(x, train=train)
        return x

    def _decode(self, x: Array, low: Array, prefix: str, *, train: bool) -> Array:
        """x [B, h, w, C] and a level [B, H/s, W/s, c] -> [B, H/s, W/s, decoder_features]."""
        project = self._layer(ConvNorm)(
            self.low_level_features,
            1,
            kernel_init=xavier_uniform,
            name=f"{prefix}low_level_conv",
        )
        low = project(low, train=train)  # [B, H/4, W/4, 48]
        x = self._upsample(x, low)  # [B, H/4, W/4, 256]
        x = jnp.concatenate([x, low], axis=-1)  # [B, H/4, W/4, 304]
        for number in range(1, self.decoder_convs + 1):
            layer = self._refine()(
                self.decoder_features,
                self.decoder_kernel_size,
                name=f"{prefix}decoder_conv{number}",
            )
            x = layer(x, train=train)  # [B, H/4, W/4, 256]
        return x

    def _upsample(self, x: Array, like: Array) -> Array:
        height, width = like.shape[1:3]
        convention = self.resize_convention
        return resize_bilinear(x, (height, width), convention=convention, form=self.form)

    def _refine(self) -> Callable[..., nn.Module]:
        """The convolutions of decoder and extra layers."""
        if not self.decoder_separable:
            return functools.partial(self._layer(ConvNorm), kernel_init=xavier_uniform)
        return functools.partial(
            self._separable(SeparableConv),
            normalise_depthwise=self.normalise_depthwise,
            activate_depthwise=self.normalise_depthwise,
        )

    def _separable(self, module: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        depthwise_init, pointwise_init = SEPARABLE_INITS[self.separable_init]
        return functools.partial(
            self._layer(module), depthwise_init=depthwise_init, pointwise_init=pointwise_init
        )

    def _layer(self, module: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        return functools.partial(
            module,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            norm_decay=self.norm_decay,
            norm_groups=self.norm_groups,
            dtype=self.dtype,
            form=self.form,
        )


def smp_deeplab_v3_plus(
    depth: int, num_classes: int, output_stride: int = 16, rates: tuple[int, ...] = (12, 24, 36)
) -> DeepLabV3Plus:
    """segmentation_models_pytorch's `DeepLabV3Plus` on its ResNets; `rates` are those it uses.

    It rewrites every convolution of an atrous stage (`dilate_first`), keeps rates (12, 24, 36) at
    any output stride, and builds ASPP, one more 3x3 convolution and a decoder of a single one from
    separable convolutions without a norm inside.
    """
    return DeepLabV3Plus(
        num_classes,
        ResNet(depth=depth, output_stride=output_stride, dilate_first=True, norm_decay=0.9),
        atrous_rates=tuple(rate * output_stride // STATED_AT for rate in rates),
        aspp_separable=True,
        extra_convs=1,
        dropout=0.5,
        decoder_convs=1,
        decoder_separable=True,
        normalise_depthwise=False,
        norm_decay=0.9,
    )
