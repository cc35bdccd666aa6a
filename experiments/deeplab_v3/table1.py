"""DeepLab v3 (arXiv 1706.05587), Table 1: the output stride of a cascade up to block7.

    python -m launch.sweep --ablation=deeplab_v3/table1 --size=shapes

The paper's size starts from an ImageNet ResNet-50: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

PAPER = {8: 75.18, 16: 73.88, 32: 70.06, 64: 59.99, 128: 42.34, 256: 20.29}
CASCADE = {
    "model.aspp": False,
    "model.backbone.depth": 50,
    "model.backbone.extra_blocks": 3,
    "model.backbone.multi_grid": (1, 1, 1),
}


def get_ablation() -> Ablation:
    """Each row is trained and evaluated at its output stride."""
    return Ablation(
        title="DeepLab v3, Table 1: output stride of ResNet-50 with block7",
        source="arXiv 1706.05587, Table 1: PASCAL VOC 2012 val, mIoU, one scale.",
        rows=tuple(
            Row(f"output stride {stride}", {"model.backbone.output_stride": stride}, miou)
            for stride, miou in PAPER.items()
        ),
        paper=Size(voc.get_config, CASCADE),
        camvid=Size(small.camvid_v3, CASCADE),
        shapes=Size(
            lambda: small.shapes_v3("shapes/cells"),
            {"model.backbone.extra_blocks": 1},
            leave_out=("output stride 128", "output stride 256"),
        ),
        cause="Discs of one class are 8 to 17 pixels wide in a crowd, 1 to 3 pixels of background "
        "between them. A map of 65 x 65 pixels is 9 x 9 at output stride 8, about a disc in a "
        "cell, 5 x 5 at 16, 3 x 3 at 32 and 2 x 2 at 64, and there is no decoder: from 16 on discs "
        "share a cell, from 32 on only the crowd's place is left. 513 / 256 leaves 3 x 3, which is "
        "32 here, so the strides of 128 and 256 are left out, and the cascade ends with block5.",
    )
