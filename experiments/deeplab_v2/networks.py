"""The networks of DeepLab v2 in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.backbones.resnet import ResNet
from jaxseg.models.deeplab_v1 import large_fov_backbone
from jaxseg.models.deeplab_v2 import ASPP_L, MSC, DeepLabV2, deeplab_v2_resnet


def _resnet(depth: int) -> ResNet:
    return ResNet(depth=depth, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4))


ROWS = (
    Row(
        "DeepLab v2, VGG-16, ASPP-L",
        "1606.00915",
        "Figure 7",
        DeepLabV2(21, large_fov_backbone(), ASPP_L, 1024),
        37_877_652,
        "Caffe",
        scores="aspp/classifier4",
        recipe="deeplab_v2/vgg_voc",
    ),
    Row(
        "DeepLab v2, ResNet-101, three scales",
        "1606.00915",
        "section 4.1.2",
        DeepLabV2(21, deeplab_v2_resnet(101), ASPP_L, scales=MSC),
        44_048_532,
        "Caffe",
        scores="aspp/classifier4",
        runs=runs_of("deeplab_v2"),
        recipe="deeplab_v2/resnet_voc",
    ),
)
