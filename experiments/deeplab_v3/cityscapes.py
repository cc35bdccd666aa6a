"""DeepLab v3 (arXiv 1706.05587), appendix: inference on Cityscapes.

    python -m launch.sweep --ablation=deeplab_v3/cityscapes --size=paper

All rows are evaluations of one training. The paper's size starts from an ImageNet ResNet-101:
--change=train.init_from=FILE. The smaller sizes are those of Table 6.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import table6 as deeplab_v3_table6
from experiments.deeplab_v3.table4 import FLIP, SCALES, STRIDE8


def get_ablation() -> Ablation:
    """Trained on the 2,975 images with fine labels, at output stride 16."""
    table6 = deeplab_v3_table6.get_ablation()
    rows = table6.rows
    return Ablation(
        title="DeepLab v3, appendix: inference on Cityscapes, ResNet-101",
        source="arXiv 1706.05587, appendix: Cityscapes val, mIoU; unverified.",
        rows=(
            Row(rows[0].name, {}, 77.23),
            Row(rows[1].name, STRIDE8, 77.82),
            Row(rows[2].name, SCALES, 79.06),
            Row(rows[3].name, FLIP, 79.30),
        ),
        paper=Size(small.cityscapes_v3),
        camvid=Size(table6.camvid.base),
        shapes=Size(table6.shapes.base, table6.shapes.change),
        cause=table6.cause,
    )
