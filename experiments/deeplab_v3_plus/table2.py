"""DeepLab v3+ (arXiv 1802.02611), Table 2: the decoder's convolutions and levels.

    python -m launch.sweep --ablation=deeplab_v3_plus/table2 --size=shapes

The paper's size starts from an ImageNet ResNet-101: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.deeplab_v3_plus import voc

PAPER = (78.21, 78.85, 78.02, 77.25, 78.07, 78.61)


def _changes(narrow: int, middle: str) -> dict[str, Change]:
    one: Change = {"model.decoder.convs": 1}
    return {
        "one 3x3": one,
        "two 3x3": {"model.decoder.convs": 2},
        "three 3x3": {"model.decoder.convs": 3},
        "one 3x3 of half the width": {**one, "model.decoder.features": narrow},
        "one 1x1": {**one, "model.decoder.kernel_size": 1},
        "Conv2 and Conv3, one 3x3 each": {**one, "model.decoder.middle_levels": (middle,)},
    }


def get_ablation() -> Ablation:
    """3x3 convolutions of 256 channels after Conv2 of 48; half the width is 128.

    Unsure: whether the last row is a decoder in two steps; the table gives only its name.
    """
    changes = _changes(128, "stage2_residual")
    return Ablation(
        title="DeepLab v3+, Table 2: structure of the decoder",
        source="arXiv 1802.02611, Table 2: PASCAL VOC 2012 val, mIoU, ResNet-101, one scale, "
        "output stride 16 in training and evaluation.",
        rows=tuple(
            Row(name, change, miou)
            for (name, change), miou in zip(changes.items(), PAPER, strict=True)
        ),
        paper=Size(voc.get_config),
        camvid=Size(small.camvid_v3_plus),
        shapes=Size(lambda: small.shapes_v3_plus("shapes/thin"), rows=_changes(32, "stage2")),
        cause="Strokes of 1.5 to 2.5 pixels are in the low-level map of stride 4 alone, 17 x 17 "
        "cells: what is there must be told from its neighbours, which a 1x1 convolution does not "
        "see and each 3x3 sees 4 pixels further. The paper's spread is 1.6 of 78.",
    )
