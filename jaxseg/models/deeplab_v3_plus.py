"""DeepLab v3+: "Encoder-decoder with atrous separable convolution" (arXiv 1802.02611).

DeepLab v3 as the encoder and a small decoder (section 3.1, Figure 2): the encoder's output meets a
map of stride 4 whose channels a 1x1 convolution has reduced, and two 3x3 convolutions sharpen the
borders. The ResNet-101 of Table 3:

    DeepLabV3Plus(
        num_classes=21,
        backbone=ResNet(depth=101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4)),
        low_level="stage1_residual",
    )
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.aspp import ASPP, STATED_AT, classifier_init, rates_at, xavier_uniform
from jaxseg.layers.conv import Conv, SeparableConv
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs


class DeepLabV3Plus(nn.Module):
    """Figure 2; the backbone's output stride is the encoder's.

    The paper takes Conv2, "the last feature map of res2x before striding"; the released code takes
    the residual branch of that unit ("stage1_residual"), most others its sum after ReLU ("stage1").
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
    low_level_features: int = 48  # Table 1
    decoder_features: int = 256  # Table 2, as the next two
    decoder_convs: int = 2
    decoder_kernel_size: int = 3
    decoder_separable: bool = False  # also of the extra convolutions
    normalise_depthwise: bool = True  # smp: neither norm nor ReLU inside separable convolutions
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
          "logits" float32 [B, H, W, K]; "features" of the backbone, "aspp" of the encoder and
          "decoder", what is classified.

        Raises:
          ValueError: the backbone has no end point `low_level`, or at this output stride a rate is
            no whole number.
        """
        project = functools.partial(self._layer(ConvNorm), kernel_init=xavier_uniform)
        refine = project
        if self.decoder_separable:
            refine = functools.partial(
                self._layer(SeparableConv),
                normalise_depthwise=self.normalise_depthwise,
                activate_depthwise=self.normalise_depthwise,
            )

        def upsample(x: Array, like: Array) -> Array:
            height, width = like.shape[1:3]
            convention = self.resize_convention
            return resize_bilinear(x, (height, width), convention=convention, form=self.form)

        ends = self.backbone(images, train=train)
        if self.low_level not in ends:
            raise ValueError(f"low_level is {self.low_level!r}: there are {', '.join(ends)}")
        outputs = {"features": ends["features"]}  # [B, H/16, W/16, 2048]
        x = self._layer(ASPP)(
            self.aspp_features,
            rates_at(self.atrous_rates, self.backbone.output_stride),
            image_pooling=self.image_pooling,
            separable=self.aspp_separable,
            normalise_depthwise=self.normalise_depthwise,
            dropout=self.dropout,
            name="aspp",
        )(ends["features"], train=train)  # [B, H/16, W/16, 256]
        for number in range(1, self.extra_convs + 1):
            x = refine(self.aspp_features, 3, name=f"extra_conv{number}")(x, train=train)
        outputs["aspp"] = x

        low = ends[self.low_level]  # [B, H/4, W/4, 256]
        low = project(self.low_level_features, 1, name="low_level_conv")(low, train=train)
        x = upsample(x, low)  # [B, H/4, W/4, 256]
        x = jnp.concatenate([x, low], axis=-1)  # [B, H/4, W/4, 304]
        for number in range(1, self.decoder_convs + 1):
            layer = refine(
                self.decoder_features, self.decoder_kernel_size, name=f"decoder_conv{number}"
            )
            x = layer(x, train=train)  # [B, H/4, W/4, 256]
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
        return outputs | {"logits": upsample(x, images)}  # [B, H, W, K]

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
