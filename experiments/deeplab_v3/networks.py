"""The networks of DeepLab v3 in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.models.compat import torchvision_deeplab_v3
from jaxseg.models.deeplab_v3 import DeepLabV3


def _resnet(depth: int) -> ResNet:
    return ResNet(depth=depth, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4))


ROWS = (
    Row(
        "DeepLab v3, ResNet-50",
        "1706.05587",
        "Figure 5",
        DeepLabV3(21, _resnet(50)),
        39_172_309,
        "TensorFlow",
        runs=runs_of("deeplab_v3"),
        recipe="deeplab_v3/voc",
    ),
    Row(
        "DeepLab v3, ResNet-101",
        "1706.05587",
        "Figure 5",
        DeepLabV3(21, _resnet(101)),
        58_164_437,
        "TensorFlow",
        recipe="deeplab_v3/voc",
    ),
    Row(
        "DeepLab v3, ResNet-101, cascade to block 7",
        "1706.05587",
        "Figure 3",
        DeepLabV3(21, _resnet(101).clone(multi_grid=(1, 2, 1), extra_blocks=3), aspp=False),
        82_830_293,
    ),
    Row(
        "DeepLab v3, ResNet-50, torchvision's",
        "1706.05587",
        "",
        torchvision_deeplab_v3(50, 21),
        42_004_074,
        "torchvision",
    ),
    Row(
        "DeepLab v3, MobileNetV2",
        "1706.05587",
        "",
        DeepLabV3(21, MobileNetV2(), atrous_rates=()),
        2_113_557,
        "TensorFlow, TensorFlow Lite",
    ),
    Row(
        "DeepLab v3, MobileNetV2 of half width",
        "1706.05587",
        "",
        DeepLabV3(21, MobileNetV2(width=0.5, divisible_by=1), atrous_rates=()),
        697_013,
        "TensorFlow, TensorFlow Lite",
        runs=("google_deeplab_v3_voc",),
        recipe="deeplab_v3/google_voc",
    ),
)
