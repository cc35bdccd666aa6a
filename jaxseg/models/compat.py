"""Constructors for the networks of other libraries where they differ from the papers.

Each equals the library's network in parameters and values, so that its trained weights can be
loaded (see `jaxseg/weights`):

    torchvision_deeplab_v3(50, 21)    # torchvision.models.segmentation.deeplabv3_resnet50
    smp_deeplab_v3_plus(34, 21)       # segmentation_models_pytorch.DeepLabV3Plus("resnet34")
"""

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.aspp import STATED_AT
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.models.backbone_unet import BackboneUNet
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import Decoder, DeepLabV3Plus, Separable
from jaxseg.models.dilated_fcn import DilatedFCN
from jaxseg.models.panoptic_fpn import SemanticFPN


def torchvision_fcn(depth: int, num_classes: int, aux: bool = True) -> DilatedFCN:
    """torchvision's `fcn_resnet50` and `fcn_resnet101` (models/segmentation).

    It has a 7x7 stem, output stride 8 with the first unit of a stage at the rate of the previous
    stage, and half-pixel upsampling. Its recipe weights the auxiliary loss by 0.5.
    """
    return DilatedFCN(
        num_classes,
        ResNet(depth=depth, output_stride=8, stride_at="first_3x3"),
        aux_features=256 if aux else 0,
        resize_convention="half_pixel",
    )


def torchvision_deeplab_v3(depth: int, num_classes: int, aux: bool = True) -> DeepLabV3:
    """torchvision's `deeplabv3_resnet50` and `deeplabv3_resnet101` (models/segmentation).

    It has output stride 8, one more 3x3 convolution, dropout 0.5, an FCN head with 1/4 of stage 3's
    channels (its loss has a weight of 0.5 in torchvision's recipe), half-pixel upsampling and no
    multi-grid.
    """
    return DeepLabV3(
        num_classes,
        ResNet(depth=depth, output_stride=8, stride_at="first_3x3"),
        extra_convs=1,
        dropout=0.5,
        aux_features=256 if aux else 0,
        resize_convention="half_pixel",
        norm=Norm(),
    )


def smp_deeplab_v3(
    depth: int, num_classes: int, output_stride: int = 8, rates: tuple[int, ...] = (12, 24, 36)
) -> DeepLabV3:
    """segmentation_models_pytorch's `DeepLabV3` on its ResNets; `rates` are used unscaled.

    It dilates every convolution of an atrous stage (`dilate_first`), keeps the rates (12, 24, 36)
    at output stride 16 as well, and has one more 3x3 convolution.
    """
    return DeepLabV3(
        num_classes,
        ResNet(depth=depth, output_stride=output_stride, dilate_first=True),
        atrous_rates=tuple(rate * output_stride // STATED_AT for rate in rates),
        extra_convs=1,
        dropout=0.5,
        norm=Norm(),
    )


def smp_deeplab_v3_plus(
    depth: int, num_classes: int, output_stride: int = 16, rates: tuple[int, ...] = (12, 24, 36)
) -> DeepLabV3Plus:
    """segmentation_models_pytorch's `DeepLabV3Plus` on its ResNets; `rates` are used unscaled.

    It dilates every convolution of an atrous stage (`dilate_first`) and keeps the rates
    (12, 24, 36) at any output stride. ASPP, one more 3x3 convolution and the single convolution of
    the decoder are separable, without a norm between depthwise and pointwise convolution.
    """
    return DeepLabV3Plus(
        num_classes,
        ResNet(depth=depth, output_stride=output_stride, dilate_first=True),
        atrous_rates=tuple(rate * output_stride // STATED_AT for rate in rates),
        separable=Separable(aspp=True, decoder=True, normalise_depthwise=False),
        extra_convs=1,
        dropout=0.5,
        decoder=Decoder(convs=1),
        norm=Norm(),
    )


def smp_fpn(depth: int, num_classes: int) -> SemanticFPN:
    """segmentation_models_pytorch's `FPN` on its ResNets: a pyramid without 3x3 convolutions."""
    return SemanticFPN(
        num_classes,
        ResNet(depth=depth, output_stride=32),
        neck=FPN(extra="none", output_convs=False),
        dropout=0.2,
        resize_convention="align_corners",
    )


def smp_unet(depth: int, num_classes: int) -> BackboneUNet:
    """segmentation_models_pytorch's `Unet` on its ResNets, with its default decoder."""
    return BackboneUNet(num_classes, ResNet(depth=depth, output_stride=32))
