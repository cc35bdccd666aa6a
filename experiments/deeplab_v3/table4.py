"""DeepLab v3 (arXiv 1706.05587), Table 4: inference of the best cascade.

    python -m launch.sweep --ablation=deeplab_v3/table4 --size=shapes

All rows are evaluations of one training. The paper's size starts from an ImageNet ResNet-101:
--change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

CASCADE = {
    "model.aspp": False,
    "model.backbone.multi_grid": (1, 2, 1),
    "model.backbone.extra_blocks": 3,
}
STRIDE8 = {"eval.output_stride": 8}
SCALES = {**STRIDE8, "eval.scales": small.SCALES}
FLIP = {**SCALES, "eval.flip": True}


def get_ablation() -> Ablation:
    """Trained at output stride 16, with multi-grid (1, 2, 1) and blocks up to block7."""
    return Ablation(
        title="DeepLab v3, Table 4: inference of the cascade, ResNet-101",
        source="arXiv 1706.05587, Table 4: PASCAL VOC 2012 val, mIoU.",
        rows=(
            Row("output stride 16", {}, 76.66),
            Row("output stride 8", STRIDE8, 78.05),
            Row("output stride 8, six scales", SCALES, 78.93),
            Row("output stride 8, six scales, flip", FLIP, 79.35),
        ),
        paper=Size(voc.get_config, CASCADE),
        camvid=Size(small.camvid_v3, CASCADE),
        shapes=Size(lambda: small.shapes_v3("shapes/cells"), {"model.backbone.extra_blocks": 1}),
        cause="Discs are 8 to 17 pixels wide, 1 to 3 pixels apart. The map has 5 x 5 cells at "
        "output stride 16 and 9 x 9 at 8, by the same weights; six scales add maps of up to 15 x "
        "15. The a trous law gives the same scores where the grids meet, so what changes is what "
        "lies between: scores there were never trained, so a gain is not certain.",
    )
