"""DeepLab v3 (arXiv 1706.05587), section 4.1: the decay of batch norm's averages.

    python -m launch.sweep --ablation=deeplab_v3/norm_decay --size=shapes

The paper's size starts from an ImageNet ResNet-101: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

DECAYS = (0.95, 0.9, 0.99, 0.997, 0.9997)


def _change(backbone: float, head: float) -> Change:
    return {"model.backbone.norm.decay": backbone, "model.norm.decay": head}


def get_ablation() -> Ablation:
    """One decay throughout, and the released code's two."""
    return Ablation(
        title="DeepLab v3: decay of batch norm's averages",
        source="arXiv 1706.05587 gives 0.9997 and no table; the released code has 0.95 in ResNets "
        "and 0.9997 in ASPP: 77.21 on PASCAL VOC 2012 val (Table 5). tensorflow/models#4367: "
        "0.9997 in short trainings leaves averages that are of no use, mIoU about 0.",
        rows=(
            *(Row(f"decay {decay:g}", _change(decay, decay)) for decay in DECAYS),
            Row("decay 0.95, in the head 0.9997", _change(0.95, 0.9997), 77.21),
        ),
        paper=Size(voc.get_config),
        camvid=Size(small.camvid_v3),
        shapes=Size(lambda: small.shapes_v3_plus("shapes/cells")),
        cause="After 300 steps an average of decay d still has a share d ** 300 of what it started "
        "from: 0.0000002 at 0.95, 0.05 at 0.99, 0.41 at 0.997 and 0.91 at 0.9997. Training does "
        "not use the averages, evaluation does: the last two must fail there.",
    )
