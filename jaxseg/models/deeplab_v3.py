"""DeepLab v3: "Rethinking atrous convolution for semantic image segmentation" (arXiv 1706.05587).

A backbone computed at some output stride by atrous convolution, then one of the paper's two heads:
ASPP with image-level features (section 3.3, Figure 5), or the cascade (section 3.2, Figure 3): a
backbone with extra blocks whose features are classified as they are. Table 5's best row, and the
best of Table 3:

    DeepLabV3(21, ResNet(101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4)))
    DeepLabV3(21, ResNet(101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 1),
                         extra_blocks=3), aspp=False)
"""

import functools
from collections.abc import Callable

import flax.linen as nn

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.aspp import ASPP, STATED_AT, classifier_init, rates_at, xavier_uniform
from jaxseg.layers.conv import Conv
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs


class DeepLabV3(nn.Module):
    """Figures 3 and 5; the backbone's output stride is the model's.

    Departure: image-level features are the mean over the whole map. The released code averages over
    a map of the training crop's size, which is the same for images of that size.
    """

    num_classes: int
    backbone: nn.Module  # of jaxseg.backbones; holds output stride, multi-grid, extra blocks
    aspp: bool = True  # False: the cascade, without dropout
    atrous_rates: tuple[int, ...] = (6, 12, 18)  # stated at output stride 16, scaled to the actual
    image_pooling: bool = True
    aspp_features: int = 256
    aspp_separable: bool = False
    extra_convs: int = 0  # 3x3 between ASPP and classifier: one in torchvision and smp
    dropout: float = 0.1  # after ASPP's projection
    aux_features: int = 0  # of an FCN head on stage 3 (torchvision's); 0: no head, as in the paper
    aux_dropout: float = 0.1
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
          "logits" float32 [B, H, W, K], and "coarse_logits", which they enlarge; with an auxiliary
          head "aux_logits" like the former; "features", the backbone's, and "aspp", what is
          classified.

        Raises:
          ValueError: at this output stride a rate is not a whole number; an auxiliary head is asked
            for on a backbone without a stage 3.
        """
        height, width = images.shape[1:3]
        block = functools.partial(self._layer(ConvNorm), kernel_init=xavier_uniform)
        classifier = functools.partial(
            Conv, self.num_classes, 1, use_bias=True, kernel_init=classifier_init, form=self.form
        )
        upsample = functools.partial(
            resize_bilinear,
            size=(height, width),
            convention=self.resize_convention,
            form=self.form,
        )

        ends = self.backbone(images, train=train)
        x = ends["features"]  # [B, H/16, W/16, 2048]
        outputs = {"features": x}
        if self.aspp:
            x = self._layer(ASPP)(
                self.aspp_features,
                rates_at(self.atrous_rates, self.backbone.output_stride),
                image_pooling=self.image_pooling,
                separable=self.aspp_separable,
                dropout=self.dropout,
                name="aspp",
            )(x, train=train)  # [B, H/16, W/16, 256]
            for number in range(1, self.extra_convs + 1):
                x = block(self.aspp_features, 3, name=f"extra_conv{number}")(x, train=train)
            outputs["aspp"] = x
        x = classifier(name="classifier")(x)  # [B, H/16, W/16, K]
        outputs |= {"coarse_logits": x, "logits": upsample(x)}  # [B, H, W, K]

        if self.aux_features:
            if "stage3" not in ends:
                raise ValueError(
                    f"aux_features is {self.aux_features}: the auxiliary head stands on stage 3 of "
                    f"a ResNet, and {type(self.backbone).__name__} has none; set it to 0"
                )
            x = ends["stage3"]  # [B, H/16, W/16, 1024]
            x = block(self.aux_features, 3, name="aux_conv")(x, train=train)
            x = nn.Dropout(self.aux_dropout, deterministic=not train)(x)
            x = classifier(name="aux_classifier")(x)  # [B, H/16, W/16, K]
            outputs["aux_logits"] = upsample(x)  # [B, H, W, K]
        return outputs

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


def torchvision_deeplab_v3(depth: int, num_classes: int, aux: bool = True) -> DeepLabV3:
    """torchvision's `deeplabv3_resnet50` and `deeplabv3_resnet101` (models/segmentation).

    Output stride 8; one more 3x3 convolution; dropout 0.5; an FCN head of 1/4 of stage 3's channels
    (its loss weighs 0.5 in torchvision's recipe); half-pixel upsampling; no multi-grid.
    """
    return DeepLabV3(
        num_classes,
        ResNet(depth=depth, output_stride=8, stride_at="first_3x3", norm_decay=0.9),
        extra_convs=1,
        dropout=0.5,
        aux_features=256 if aux else 0,
        resize_convention="half_pixel",
        norm_decay=0.9,
    )


def smp_deeplab_v3(
    depth: int, num_classes: int, output_stride: int = 8, rates: tuple[int, ...] = (12, 24, 36)
) -> DeepLabV3:
    """segmentation_models_pytorch's `DeepLabV3` on its ResNets; `rates` are those it computes with.

    It rewrites every convolution of an atrous stage (`dilate_first`), keeps rates (12, 24, 36) at
    output stride 16 as well, and has one more 3x3 convolution.
    """
    return DeepLabV3(
        num_classes,
        ResNet(depth=depth, output_stride=output_stride, dilate_first=True, norm_decay=0.9),
        atrous_rates=tuple(rate * output_stride // STATED_AT for rate in rates),
        extra_convs=1,
        dropout=0.5,
        norm_decay=0.9,
    )
