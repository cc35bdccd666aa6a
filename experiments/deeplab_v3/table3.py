"""DeepLab v3 (arXiv 1706.05587), Table 3: multi-grid and cascade depth, ResNet-101.

    python -m launch.sweep --ablation=deeplab_v3/table3 --size=shapes

The paper's size starts from an ImageNet ResNet-101: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

PAPER = {  # block4 .. block7
    (1, 1, 1): (68.39, 73.21, 75.34, 75.76),
    (1, 2, 1): (70.23, 75.67, 76.09, 76.66),
    (1, 2, 3): (73.14, 75.78, 75.96, 76.11),
    (1, 2, 4): (73.45, 75.74, 75.85, 76.02),
    (2, 2, 2): (71.45, 74.30, 74.70, 74.62),
}
CASCADE = {"model.aspp": False}


def get_ablation() -> Ablation:
    """Output stride 16 in the paper; the small sizes omit blocks."""
    rows = tuple(
        Row(
            f"{grid}, block{4 + extra}",
            {"model.backbone.multi_grid": grid, "model.backbone.extra_blocks": extra},
            miou,
        )
        for grid, line in PAPER.items()
        for extra, miou in enumerate(line)
    )
    return Ablation(
        title="DeepLab v3, Table 3: multi-grid and cascade depth, ResNet-101",
        source="arXiv 1706.05587, Table 3: PASCAL VOC 2012 val, mIoU, one scale, output stride 16.",
        rows=rows,
        paper=Size(voc.get_config, CASCADE),
        camvid=Size(
            small.camvid_v3,
            CASCADE,
            leave_out=tuple(row.name for row in rows if row.name[-1] in "56"),
        ),
        shapes=Size(
            lambda: small.shapes_cascade((3,)),
            leave_out=tuple(row.name for row in rows if not row.name.endswith("block4")),
        ),
        cause="A disc is captive or not by a frame whose walls are 12 to 28 pixels from its "
        "centre. The network is a stem and one stage of three bottlenecks at output stride 4: it "
        "sees 7 pixels to each side, and 4 more for each unit of the factors' sum. (1, 1, 1) sees "
        "19, (1, 2, 1) 23, (1, 2, 3) and (2, 2, 2) 31, (1, 2, 4) 35 pixels. So (1, 1, 1) must be "
        "worst, (1, 2, 1) next, and the last three must tell nearly all discs: the order of the "
        "paper's block4, which is that of the sums. Gridding must not show: rate 2 reads cells 8 "
        "pixels apart, and each sees 15.",
    )
