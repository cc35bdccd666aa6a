"""DeepLab v3 (arXiv 1706.05587), appendix: batch size.

    python -m launch.sweep --ablation=deeplab_v3/appendix_batch --size=shapes

The paper's size starts from an ImageNet ResNet-101: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

PAPER = {16: 77.21, 12: 76.49, 8: 75.76, 4: 64.43}


def get_ablation() -> Ablation:
    """The same number of steps for all, and one learning rate.

    Unsure: whether the paper's smaller batches had more steps; its appendix does not say.
    """
    return Ablation(
        title="DeepLab v3, appendix: batch size",
        source="arXiv 1706.05587, appendix: PASCAL VOC 2012 val, mIoU, one scale, output stride "
        "16, ResNet-101 with ASPP. All but 77.21 are unverified.",
        rows=tuple(
            Row(f"batch {size}", {"data.batch_size": size}, miou) for size, miou in PAPER.items()
        ),
        paper=Size(voc.get_config),
        camvid=Size(small.camvid_v3),
        shapes=Size(lambda: small.shapes_v3_plus("shapes/thin")),
        cause="Batch norm takes its statistics from the batch, on a map of 5 x 5 cells from 400 "
        "values a channel at batch 16 and from 100 at batch 4, and after image pooling from 16 or "
        "4. Each step also sees fewer images. Both make a small batch worse, as in the paper, and "
        "cannot be told apart here.",
    )
