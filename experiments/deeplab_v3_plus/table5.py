"""DeepLab v3+ (arXiv 1802.02611), Table 5: Xception-65, decoder, separable convolutions, COCO.

    python -m launch.sweep --ablation=deeplab_v3_plus/table5 --size=shapes

Five trainings; the other rows are evaluations of them. The paper's size starts from an ImageNet
Xception-65: --change=train.init_from=FILE. The rows with JFT are omitted, because its images are
not public: 83.03 and 84.22 at output stride 16, 83.39 and 84.56 at 8, without and with scales and
flip.

Multiply-adds of the paper, in billions, in the order of the rows: 68.00, 601.74, 1203.34, 240.85,
2149.91, 4299.68; with decoder 89.76, 790.12, 1580.10, 262.59, 2338.15, 4676.16; with separable
convolutions 54.17, 928.81, 177.10, 3055.35. TensorFlow's counts include the padding of its
space-to-batch, which separable convolutions do not have: there the table of a sweep is close to
them.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.deeplab_v3.table4 import FLIP, SCALES, STRIDE8
from experiments.deeplab_v3.table6 import ON_COCO
from experiments.deeplab_v3_plus import xception_voc
from experiments.deeplab_v3_plus.table3 import AT_16
from jaxseg import config

ALL_16 = {**AT_16, "eval.flip": True}
FIRST = "trained on COCO"
AFTER: dict[str, Change] = {
    "COCO, decoder, separable, eval 16": {},
    "COCO, decoder, separable, eval 16, six scales, flip": ALL_16,
    "COCO, decoder, separable, eval 8": STRIDE8,
    "COCO, decoder, separable, eval 8, six scales, flip": FLIP,
}
COCO_PAPER = (82.20, 83.34, 82.45, 83.58)
PAPER = (
    *(79.17, 80.57, 80.79, 79.64, 81.15, 81.34),
    *(79.93, 81.38, 81.44, 80.22, 81.60, 81.63),
    *(79.79, 81.21, 80.02, 81.39),
)


def _changes(base: config.Experiment) -> dict[str, Change]:
    """The rows without COCO, as changes of an experiment with separable ASPP and decoder."""
    decoder: Change = {"model.separable.aspp": False, "model.separable.decoder": False}
    alone: Change = {
        "model": small.encoder_alone(base),
        "model.aspp_separable": False,
    }
    views: dict[str, Change] = {
        "eval 16": {},
        "eval 16, six scales": AT_16,
        "eval 16, six scales, flip": ALL_16,
        "eval 8": STRIDE8,
        "eval 8, six scales": SCALES,
        "eval 8, six scales, flip": FLIP,
    }
    return {
        **{name: {**alone, **view} for name, view in views.items()},
        **{f"decoder, {name}": {**decoder, **view} for name, view in views.items()},
        **{
            f"decoder, separable, {name}": view
            for name, view in views.items()
            if not name.endswith("scales")
        },
    }


def get_ablation() -> Ablation:
    """Trained at output stride 16 throughout.

    Unsure: how long the paper trains on COCO; here it is as long as on VOC. The second training is
    at 0.0001, DeepLab v3's.
    """
    paper = _changes(xception_voc.get_config())
    coco = (FIRST, *AFTER)
    return Ablation(
        title="DeepLab v3+, Table 5: Xception-65",
        source="arXiv 1802.02611, Table 5: PASCAL VOC 2012 val, mIoU.",
        rows=(
            *(Row(*cells) for cells in zip(paper, paper.values(), PAPER, strict=True)),
            Row(FIRST, ON_COCO),
            *(
                Row(name, {**view, "optim.learning_rate": 1e-4}, miou, start=FIRST)
                for (name, view), miou in zip(AFTER.items(), COCO_PAPER, strict=True)
            ),
        ),
        paper=Size(xception_voc.get_config),
        camvid=Size(
            small.camvid_xception,
            rows=_changes(small.camvid_xception()),
            leave_out=coco,
        ),
        shapes=Size(
            small.shapes_xception,
            rows=_changes(small.shapes_xception()),
            leave_out=coco,
        ),
        cause="Discs are 8 to 17 pixels wide, 1 to 3 pixels apart. The encoder's map is 5 x 5 "
        "cells at output stride 16 and 9 x 9 at 8, the decoder's 17 x 17: the decoder must gain "
        "much. Separable convolutions have an eighth of the weights, which on images as simple "
        "must cost little.",
    )
