"""The networks of DeepLab v3+ in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.xception import Xception
from jaxseg.models.compat import smp_deeplab_v3_plus
from jaxseg.models.deeplab_v3_plus import Decoder, DeepLabV3Plus, Separable


def _resnet(depth: int) -> ResNet:
    return ResNet(depth=depth, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4))


def _xception(depth: int) -> DeepLabV3Plus:
    low_level = "entry3_pointwise2" if depth == 71 else "entry2_pointwise2"
    return DeepLabV3Plus(
        21,
        Xception(depth=depth),
        separable=Separable(aspp=True, decoder=True, init="truncated_normal"),
        decoder=Decoder(low_level),
    )


ROWS = (
    Row(
        "DeepLab v3+, ResNet-101",
        "1802.02611",
        "Figure 2",
        DeepLabV3Plus(21, _resnet(101), decoder=Decoder("stage1_residual")),
        59_468_085,
        "TensorFlow",
        runs=("quickstart", *runs_of("deeplab_v3_plus")[1:]),
        recipe="deeplab_v3_plus/voc",
    ),
    Row(
        "DeepLab v3+, ResNet-50, smp's",
        "1802.02611",
        "",
        smp_deeplab_v3_plus(50, 21),
        26_682_725,
        "segmentation_models_pytorch",
    ),
    Row(
        "DeepLab v3+, Xception-41",
        "1802.02611",
        "Figure 4",
        _xception(41),
        28_108_661,
        "TensorFlow",
    ),
    Row(
        "DeepLab v3+, Xception-65",
        "1802.02611",
        "Figure 4",
        _xception(65),
        41_055_413,
        "TensorFlow",
        runs=runs_of("deeplab_v3_plus_xception"),
        recipe="deeplab_v3_plus/xception_voc",
    ),
    Row(
        "DeepLab v3+, Xception-71", "1802.02611", "Table 7", _xception(71), 43_477_837, "TensorFlow"
    ),
    Row(
        "DeepLab v3+, MobileNetV2, 151 classes",
        "1802.02611",
        "",
        DeepLabV3Plus(
            151,
            MobileNetV2(),
            atrous_rates=(),
            decoder=Decoder("layer_4_depthwise"),
            separable=Separable(decoder=True, init="truncated_normal"),
        ),
        2_304_519,
        "TensorFlow",
        runs=runs_of("deeplab_v3_plus_mobilenet"),
    ),
)
