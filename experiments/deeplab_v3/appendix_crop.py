"""DeepLab v3 (arXiv 1706.05587), appendix: crop size in training.

    python -m launch.sweep --ablation=deeplab_v3/appendix_crop --size=shapes

The paper's size starts from an ImageNet ResNet-101: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

WHOLE, SMALL = "large crop", "small crop"


def get_ablation() -> Ablation:
    """513 against 321 in the paper; whole images in evaluation."""
    return Ablation(
        title="DeepLab v3, appendix: crop size",
        source="arXiv 1706.05587, appendix: PASCAL VOC 2012 val, mIoU, one scale, output stride "
        "16, ResNet-101 with ASPP, crops of 513 and 321. 67.22 is unverified.",
        rows=(Row(WHOLE, {}, 77.21), Row(SMALL, {"data.crop_size": (321, 321)}, 67.22)),
        paper=Size(voc.get_config),
        camvid=Size(small.camvid_v3, rows={SMALL: {"data.crop_size": (225, 301)}}),
        shapes=Size(
            lambda: small.shapes_aspp("shapes/far", (3,)),
            rows={SMALL: {"data.crop_size": (41, 41)}},
        ),
        cause="Crops of 41 of 64 pixels, the paper's 321 of 513. The map is 11 x 11 instead of 16 "
        "x 16: a rate of 12 reads padding alone in training, so its outer taps are never trained "
        "and read the image in evaluation; one of 8 reads it at 3 rows of 11. And a disc may be "
        "cropped from the wall, 12 to 28 pixels away, that says what it is.",
    )
