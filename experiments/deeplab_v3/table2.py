"""DeepLab v3 (arXiv 1706.05587), Table 2: cascade depth, ResNet-50.

    python -m launch.sweep --ablation=deeplab_v3/table2 --size=shapes

The paper's size starts from an ImageNet ResNet-50: --change=train.init_from=FILE. The other line of
the table, ResNet-101, is the line (1, 1, 1) of Table 3.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

PAPER = {"block4": 64.81, "block5": 72.14, "block6": 74.29, "block7": 73.88}
CASCADE = {
    "model.aspp": False,
    "model.backbone.depth": 50,
    "model.backbone.multi_grid": (1, 1, 1),
}


def get_ablation() -> Ablation:
    """Output stride 16 in the paper; block5 to block7 are copies of block4."""
    return Ablation(
        title="DeepLab v3, Table 2: cascade depth, ResNet-50",
        source="arXiv 1706.05587, Table 2: PASCAL VOC 2012 val, mIoU, one scale, output stride 16.",
        rows=tuple(
            Row(name, {"model.backbone.extra_blocks": extra}, miou)
            for extra, (name, miou) in enumerate(PAPER.items())
        ),
        paper=Size(voc.get_config, CASCADE),
        camvid=Size(small.camvid_v3, CASCADE),
        shapes=Size(small.shapes_cascade),
        cause="A disc is captive or not by a frame whose walls are 12 to 28 pixels from its "
        "centre. Block4 stands for a single bottleneck after the stem at output stride 4, which "
        "sees 11 pixels to each side; its copies have the rates 2, 4 and 8 of a map of 16 x 16, so "
        "block5 sees 19, block6 35 and block7 67 pixels. Block4 must tell one disc in two; block6 "
        "sees both walls; what block7 adds is beyond the image, as in the paper, where it loses.",
    )
