"""Mask R-CNN (arXiv 1703.06870), Table 2c: RoIPool, RoIWarp and RoIAlign.

    python -m launch.sweep --ablation=mask_rcnn/table2c --size=shapes

The paper's size starts from an ImageNet ResNet-50: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small_instances
from experiments.mask_rcnn import variants

WARP, ALIGN = {"model.pooling.kind": "warp"}, {"model.pooling.kind": "align"}
MAX = {"model.pooling.reduce": "max"}


def get_ablation() -> Ablation:
    """ResNet-50 on C4, at stride 16."""
    return Ablation(
        title="Mask R-CNN, Table 2c: RoIPool, RoIWarp and RoIAlign on C4",
        source="arXiv 1703.06870, Table 2c: COCO minival, mask AP.",
        metric="mask AP",
        rows=(
            Row("RoIPool", {"model.pooling.kind": "pool"}, paper=26.9),
            Row("RoIWarp, max", {**WARP, **MAX}, paper=27.2),
            Row("RoIWarp, mean", WARP, paper=27.1),
            Row("RoIAlign, max", {**ALIGN, **MAX}, paper=30.2),
            Row("RoIAlign, mean", ALIGN, paper=30.3),
        ),
        paper=Size(variants.c4),
        camvid=Size(variants.half_c4),
        shapes=Size(
            lambda: small_instances.single_map(steps=350),
            leave_out=("RoIWarp, max", "RoIAlign, max"),
        ),
        cause="At stride 8 an object of 24 pixels is three cells wide. RoIPool rounds each side of "
        "a RoI to whole cells, so the features are up to half a cell, four pixels, away from "
        "where the mask is drawn: an error of four pixels at one side of 24 leaves an IoU of "
        "0.83. No head can undo it, as none is told what was rounded. RoIWarp rounds likewise, "
        "though it samples as RoIAlign does. The rows of maxima are left out for time: the paper "
        "finds them equal to means.",
        measured="RoIAlign is better than RoIPool, and RoIWarp cannot be told apart from it, as "
        "in the paper.",
    )
