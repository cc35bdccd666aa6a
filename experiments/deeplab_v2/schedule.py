"""DeepLab v2 (arXiv 1606.00915, section 4.1.1): the poly schedule against steps, batch and length.

    python -m launch.sweep --ablation=deeplab_v2/schedule --size=shapes

The paper's size starts from an ImageNet VGG-16, with fc6 and fc7 thinned in the conversion:
--change=train.init_from=THINNED.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.deeplab_v1 import field_of_view, voc
from jaxseg import config

PAPER = (62.25, 63.42, 64.90, 64.71, 65.88)
SGD = config.Optim(
    learning_rate=0.1, schedule="poly", power=0.9, momentum=0.9, weight_decay=5e-4, clip_norm=5.0
)
SMALL: Change = {"optim": SGD, "train.ema_decay": 0.0}


def _rows(batch30: int, batch10: int, thousand: int) -> dict[str, Change]:
    """The paper's five rows, with the equivalents of its batches and of a thousand of its steps."""

    def row(schedule: str, batch: int, thousands: int) -> Change:
        steps: Change = {"data.batch_size": batch, "train.steps": thousands * thousand}
        falls = (2 * thousand, 4 * thousand) if schedule == "step" else ()
        return {**steps, "optim.schedule": schedule, "optim.decay_steps": falls}

    return {
        "step, batch 30, 6,000": row("step", batch30, 6),
        "poly, batch 30, 6,000": row("poly", batch30, 6),
        "poly, batch 30, 10,000": row("poly", batch30, 10),
        "poly, batch 10, 10,000": row("poly", batch10, 10),
        "poly, batch 10, 20,000": row("poly", batch10, 20),
    }


def get_ablation() -> Ablation:
    """LargeFOV, the rate a tenth after 2,000 and 4,000 of 6,000 steps, or (1 - t/T)^0.9.

    Smaller sizes use SGD too, at a rate for networks with batch norm that start from scratch.
    """
    rows = _rows(30, 10, 1_000)
    return Ablation(
        title="DeepLab v2: learning rate schedule, batch size and steps, LargeFOV",
        source=(
            "arXiv 1606.00915, the table of learning rate policies: PASCAL VOC 2012 val, mIoU "
            "before the CRF. That its network is v1's LargeFOV is taken from the first row, which "
            "is v1's 62.25, though v1 states a batch of 20."
        ),
        rows=tuple(
            Row(name, change, value)
            for (name, change), value in zip(rows.items(), PAPER, strict=True)
        ),
        paper=Size(voc.get_config, {"optim.power": 0.9}),
        camvid=Size(field_of_view.camvid, SMALL, rows=_rows(12, 4, 600)),
        shapes=Size(field_of_view.shapes, SMALL, rows=_rows(12, 4, 40)),
        cause=(
            "Nothing in the images: it is a matter of the rate over time. The step schedule "
            "spends its last third at a hundredth of the rate, where it learns next to nothing; "
            "poly falls to that within its last hundredth. Both see the same images, so poly must "
            "be ahead. A batch of 10 for 20,000 steps sees as many images as one of 30 for 6,700, "
            "in three times as many steps. Networks here start from scratch, so steps count more "
            "than for the paper's, which are trained already. Nothing is averaged "
            "(train.ema_decay), for an average of parameters does what a falling rate does."
        ),
    )
