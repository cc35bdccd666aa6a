"""The networks of the README's table, a row each; `models` writes the table.

A row's model is the network at full size, with 21 classes where its name gives no other number. Its
published count of parameters is that of the paper, of the authors' files, or of its layers counted
without this code; `models` refuses another one of ours.
"""

import dataclasses

import flax.linen as nn

from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.vgg import VGG
from jaxseg.backbones.xception import Xception
from jaxseg.models.backbone_unet import smp_unet
from jaxseg.models.deconvnet import DeconvNet
from jaxseg.models.deeplab_v1 import DeepLabV1, large_fov_backbone, small_window_backbone
from jaxseg.models.deeplab_v2 import ASPP_L, MSC, DeepLabV2, deeplab_v2_resnet
from jaxseg.models.deeplab_v3 import DeepLabV3, torchvision_deeplab_v3
from jaxseg.models.deeplab_v3_plus import DeepLabV3Plus, smp_deeplab_v3_plus
from jaxseg.models.dilated_fcn import torchvision_fcn
from jaxseg.models.dilation import CONTEXT_8, CONTEXT_10, LARGE, Dilation, front_end_backbone
from jaxseg.models.encnet import EncNet, encnet_backbone
from jaxseg.models.fcn import FCN
from jaxseg.models.full_resolution import FullResolution
from jaxseg.models.parsenet import parsenet_fcn, parsenet_large_fov
from jaxseg.models.patch_classifier import PatchClassifier
from jaxseg.models.pspnet import PSPNet, pspnet_backbone
from jaxseg.models.refinenet import RefineNet, refinenet_backbone
from jaxseg.models.segnet import SegNet
from jaxseg.models.segnet_basic import SegNetBasic
from jaxseg.models.unet import UNet


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table."""

    network: str
    paper: str  # arXiv number
    where: str  # figure, table or section
    model: nn.Module
    published: int | None = None  # parameters
    weights: str = ""  # whose files fill the whole network; those of encoders come besides
    runs: tuple[str, ...] = ()  # of experiments/results, without .json
    recipe: str = ""  # the paper's own experiment, of experiments/, without .py
    scores: str = "classifier"  # the layer whose receptive field is given
    field: int | None = None  # published, in pixels


def _runs(name: str) -> tuple[str, ...]:
    return f"{name}_shapes", f"{name}_camvid_300", f"{name}_camvid", f"{name}_camvid_full"


def _border() -> VGG:
    return VGG(image_padding=100)


def _resnet(depth: int) -> ResNet:
    return ResNet(depth=depth, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4))


def _xception(depth: int) -> DeepLabV3Plus:
    low_level = "entry3_pointwise2" if depth == 71 else "entry2_pointwise2"
    return DeepLabV3Plus(
        21,
        Xception(depth=depth),
        aspp_separable=True,
        low_level=low_level,
        decoder_separable=True,
        separable_init="truncated_normal",
    )


FCN_PAPER, V1, V2, V3, V3_PLUS = "1411.4038", "1412.7062", "1606.00915", "1706.05587", "1802.02611"

ROWS = (
    Row("FCN-32s", FCN_PAPER, "Figure 3", FCN(21, _border(), 32), 134_346_581, "Caffe",
        recipe="fcn/fcn32s_voc", scores="score_fr", field=404),
    Row("FCN-16s", FCN_PAPER, "Figure 3", FCN(21, _border(), 16), 134_357_354, "Caffe",
        recipe="fcn/fcn16s_voc", scores="score_fr", field=404),
    Row("FCN-8s", FCN_PAPER, "Figure 3", FCN(21, _border()), 134_362_751, "Caffe",
        runs=_runs("fcn8s"), recipe="fcn/fcn8s_voc", scores="score_fr", field=404),
    Row("FCN-8s at once", "1605.06211", "released", FCN(21, _border(), at_once=True),
        134_362_751, "Caffe", recipe="fcn/fcn8s_at_once_voc", scores="score_fr", field=404),
    Row("FCN-AlexNet", FCN_PAPER, "Table 1",
        FCN(21, AlexNet(image_padding=100), 32, fc6_kernel=6), 56_954_261, "Caffe",
        recipe="fcn/alexnet_voc", scores="score_fr", field=355),
    Row("DeconvNet", "1505.04366", "Figure 2", DeconvNet(21), 251_805_653, "Caffe",
        runs=_runs("deconvnet"), recipe="deconvnet/voc"),
    Row("SegNet", "1511.00561", "Figure 2", SegNet(21), 29_455_125, "Caffe", runs=_runs("segnet"),
        recipe="segnet/camvid"),
    Row("SegNet-Basic, 11 classes", "1511.00561", "Figure 3", SegNetBasic(11), 1_416_587, "Caffe",
        runs=_runs("segnet_basic"), recipe="segnet/basic_camvid"),
    Row("Dilation, front end", "1511.07122", "section 4", Dilation(21, front_end_backbone()),
        134_346_581, "Caffe", recipe="dilation/frontend_voc", field=380),
    Row("Dilation8, 11 classes", "1511.07122", "Table 1, Basic",
        Dilation(11, front_end_backbone(), CONTEXT_8), 134_313_443, "Caffe",
        runs=("dilation_shapes", *_runs("dilation8")[1:]),
        recipe="dilation/camvid", scores="context/final"),
    Row("Dilation8, Large", "1511.07122", "Table 1, Large",
        Dilation(21, front_end_backbone(), CONTEXT_8, LARGE, pad_first=True), 141_149_720,
        "Caffe", recipe="dilation/context_voc", scores="context/final"),
    Row("Dilation10, 19 classes", "1511.07122", "appendix",
        Dilation(19, front_end_backbone(), CONTEXT_10, upsampling="deconvolution"), 134_368_179,
        "Caffe", recipe="dilation/cityscapes", scores="context/final"),
    Row("U-Net", "1505.04597", "Figure 1", UNet(21), 31_033_045, runs=_runs("unet"),
        recipe="unet/isbi_em"),
    Row("U-Net on ResNet-50, smp's", "1505.04597", "", smp_unet(50, 21), 32_524_005,
        "segmentation_models_pytorch"),
    Row("ParseNet on FCN-32s, 60 classes", "1506.04579", "", parsenet_fcn(60),
        134_760_316),
    Row("ParseNet on LargeFOV", "1506.04579", "", parsenet_large_fov(21), 20_528_981,
        runs=_runs("parsenet"), recipe="parsenet/voc"),
    Row("DeepLab v1, LargeFOV", V1, "Table 2", DeepLabV1(21, large_fov_backbone()), 20_505_429,
        "Caffe", runs=_runs("deeplab_v1"), recipe="deeplab_v1/voc", field=435),
    Row("DeepLab v1, 4x4 at rate 4", V1, "Table 2",
        DeepLabV1(21, small_window_backbone(), 4, 4, 4096, average_pool=False), 65_140_565,
        "Caffe", field=308),
    Row("DeepLab v1, 7x7 at rate 4", V1, "Table 2",
        DeepLabV1(21, small_window_backbone(), 7, 4, 4096, average_pool=False), 134_346_581,
        "Caffe"),
    Row("DeepLab v1, MSc-LargeFOV", V1, "section 4.3",
        DeepLabV1(21, large_fov_backbone(), msc_features=128), 21_711_550, "Caffe"),
    Row("DeepLab v2, VGG-16, ASPP-L", V2, "Figure 7",
        DeepLabV2(21, large_fov_backbone(), ASPP_L, 1024), 37_877_652, "Caffe",
        scores="aspp/classifier4",
        recipe="deeplab_v2/vgg_voc"),
    Row("DeepLab v2, ResNet-101, three scales", V2, "section 4.1.2",
        DeepLabV2(21, deeplab_v2_resnet(101), ASPP_L, scales=MSC), 44_048_532, "Caffe",
        scores="aspp/classifier4",
        runs=_runs("deeplab_v2"), recipe="deeplab_v2/resnet_voc"),
    Row("DeepLab v3, ResNet-50", V3, "Figure 5", DeepLabV3(21, _resnet(50)), 39_172_309,
        "TensorFlow", runs=_runs("deeplab_v3"), recipe="deeplab_v3/voc"),
    Row("DeepLab v3, ResNet-101", V3, "Figure 5", DeepLabV3(21, _resnet(101)), 58_164_437,
        "TensorFlow", recipe="deeplab_v3/voc"),
    Row("DeepLab v3, ResNet-101, cascade to block 7", V3, "Figure 3",
        DeepLabV3(21, _resnet(101).clone(multi_grid=(1, 2, 1), extra_blocks=3), aspp=False),
        82_830_293),
    Row("DeepLab v3, ResNet-50, torchvision's", V3, "", torchvision_deeplab_v3(50, 21),
        42_004_074, "torchvision"),
    Row("DeepLab v3, MobileNetV2", V3, "", DeepLabV3(21, MobileNetV2(), atrous_rates=()),
        2_113_557, "TensorFlow, TensorFlow Lite"),
    Row("DeepLab v3, MobileNetV2 of half width", V3, "",
        DeepLabV3(21, MobileNetV2(width=0.5, divisible_by=1), atrous_rates=()), 697_013,
        "TensorFlow, TensorFlow Lite", runs=("google_deeplab_v3_voc",),
        recipe="deeplab_v3/google_voc"),
    Row("DeepLab v3+, ResNet-101", V3_PLUS, "Figure 2",
        DeepLabV3Plus(21, _resnet(101), low_level="stage1_residual"), 59_468_085,
        "TensorFlow", runs=("quickstart", *_runs("deeplab_v3_plus")[1:]),
        recipe="deeplab_v3_plus/voc"),
    Row("DeepLab v3+, ResNet-50, smp's", V3_PLUS, "", smp_deeplab_v3_plus(50, 21), 26_682_725,
        "segmentation_models_pytorch"),
    Row("DeepLab v3+, Xception-41", V3_PLUS, "Figure 4", _xception(41), 28_108_661,
        "TensorFlow"),
    Row("DeepLab v3+, Xception-65", V3_PLUS, "Figure 4", _xception(65), 41_055_413,
        "TensorFlow", runs=_runs("deeplab_v3_plus_xception"),
        recipe="deeplab_v3_plus/xception_voc"),
    Row("DeepLab v3+, Xception-71", V3_PLUS, "Table 7", _xception(71), 43_477_837, "TensorFlow"),
    Row("DeepLab v3+, MobileNetV2, 151 classes", V3_PLUS, "",
        DeepLabV3Plus(151, MobileNetV2(), atrous_rates=(), low_level="layer_4_depthwise",
                      decoder_separable=True, separable_init="truncated_normal"),
        2_304_519, "TensorFlow", runs=_runs("deeplab_v3_plus_mobilenet")),
    Row("PSPNet, ResNet-50", "1612.01105", "Figure 3", PSPNet(21, pspnet_backbone(50)),
        49_081_578, "Caffe", runs=_runs("pspnet")),
    Row("PSPNet, ResNet-101", "1612.01105", "Figure 3", PSPNet(21, pspnet_backbone(101)),
        68_073_706, "Caffe", recipe="pspnet/voc"),
    Row("PSPNet, ResNet-152", "1612.01105", "Table 3", PSPNet(21, pspnet_backbone(152)),
        83_717_354),
    Row("RefineNet, ResNet-50", "1611.06612", "Figure 2", RefineNet(21, refinenet_backbone(50)),
        99_060_309),
    Row("RefineNet, ResNet-101", "1611.06612", "Figure 2",
        RefineNet(21, refinenet_backbone(101)), 118_052_437, runs=_runs("refinenet"),
        recipe="refinenet/voc"),
    Row("RefineNet, ResNet-152", "1611.06612", "Figure 2",
        RefineNet(21, refinenet_backbone(152)), 133_696_085),
    Row("EncNet, ResNet-50, 59 classes", "1803.08904", "Figure 3",
        EncNet(59, encnet_backbone(50), lateral=True), 43_915_217),
    Row("EncNet, ResNet-101, 59 classes", "1803.08904", "Figure 3",
        EncNet(59, encnet_backbone(101), lateral=True), 62_907_345, runs=_runs("encnet"),
        recipe="encnet/pascal_context"),
    Row("FCN on ResNet-50, torchvision's", "1803.08904", "section 4", torchvision_fcn(50, 21),
        35_322_218, "torchvision", runs=_runs("dilated_fcn"), scores="head/classifier"),
    Row("patch classifier", "", "naive baseline", PatchClassifier(21),
        runs=("patch_classifier_shapes",), scores="network/classifier"),
    Row("full resolution, 13 layers", "", "naive baseline", FullResolution(21, depth=13),
        runs=("full_resolution_shapes",)),
)  # fmt: skip
