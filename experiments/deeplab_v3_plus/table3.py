"""DeepLab v3+ (arXiv 1802.02611), Table 3: output strides of training and evaluation, decoder.

    python -m launch.sweep --ablation=deeplab_v3_plus/table3 --size=shapes

Four trainings; the other rows are evaluations of them. The paper's size starts from an ImageNet
ResNet-101: --change=train.init_from=FILE.

Multiply-adds of the paper, in billions, in the order of the rows: 81.02, 276.18, 2435.37, 4870.59;
101.28, 898.69, 1797.23; 297.92, 2623.61, 5247.07; 52.43; 74.20, 101.28, 297.92. TensorFlow counted
them with the padding that its space-to-batch adds to atrous convolutions: 2 to 9 % more than the
convolutions need and than the table of a sweep shows, which counts one view at scale 1. The decoder
costs 21.76 in all pairs except that of 81.02, where the printed 101.28 should be 102.78.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.deeplab_v3.table4 import FLIP, SCALES, STRIDE8
from experiments.deeplab_v3_plus import voc
from jaxseg import config

AT_16 = {"eval.scales": small.SCALES}
COARSE = {"model.backbone.output_stride": 32}
PAPER = (
    *(77.21, 78.51, 79.45, 79.77),
    *(78.85, 80.09, 80.22, 79.35, 80.43, 80.57),
    *(75.43, 77.37, 77.80, 77.92),
)


def _changes(base: config.Experiment) -> dict[str, Change]:
    """All rows, as changes of an experiment with the decoder."""
    alone: Change = {"model": small.encoder_alone(base)}
    return {
        "train 16, eval 16": alone,
        "train 16, eval 8": {**alone, **STRIDE8},
        "train 16, eval 8, six scales": {**alone, **SCALES},
        "train 16, eval 8, six scales, flip": {**alone, **FLIP},
        "train 16, eval 16, decoder": {},
        "train 16, eval 16, decoder, six scales": AT_16,
        "train 16, eval 16, decoder, six scales, flip": {**AT_16, "eval.flip": True},
        "train 16, eval 8, decoder": STRIDE8,
        "train 16, eval 8, decoder, six scales": SCALES,
        "train 16, eval 8, decoder, six scales, flip": FLIP,
        "train 32, eval 32": {**alone, **COARSE},
        "train 32, eval 32, decoder": COARSE,
        "train 32, eval 16, decoder": {**COARSE, "eval.output_stride": 16},
        "train 32, eval 8, decoder": {**COARSE, **STRIDE8},
    }


def _cells() -> config.Experiment:
    return small.shapes_v3_plus("shapes/cells")


def get_ablation() -> Ablation:
    """Rates follow the output stride: (12, 24, 36) at 8, (3, 6, 9) at 32."""
    paper = _changes(voc.get_config())
    return Ablation(
        title="DeepLab v3+, Table 3: output stride of training and evaluation, decoder",
        source="arXiv 1802.02611, Table 3: PASCAL VOC 2012 val, mIoU, ResNet-101.",
        rows=tuple(
            Row(name, change, miou)
            for (name, change), miou in zip(paper.items(), PAPER, strict=True)
        ),
        paper=Size(voc.get_config),
        camvid=Size(small.camvid_v3_plus, rows=_changes(small.camvid_v3_plus())),
        shapes=Size(_cells, rows=_changes(_cells())),
        cause="Discs are 8 to 17 pixels wide, 1 to 3 pixels apart. The encoder's map is 3 x 3 "
        "cells at output stride 32, 5 x 5 at 16 and 9 x 9 at 8, the decoder's 17 x 17 at all of "
        "them. So the decoder must gain much at 16 and more at 32. A smaller stride in evaluation "
        "computes scores between the cells of training that were never trained, where a cell is as "
        "large as a disc: a gain is not certain.",
    )
