"""DeepLab v3+ (arXiv 1802.02611), Table 1: channels of the decoder's low-level features.

    python -m launch.sweep --ablation=deeplab_v3_plus/table1 --size=shapes

The paper's size starts from an ImageNet ResNet-101: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.deeplab_v3_plus import voc

PAPER = {48: 78.21, 8: 77.61, 16: 77.92, 32: 78.16, 64: 77.94}
ONE_CONV = {"model.decoder.convs": 1}  # [3x3, 256]


def get_ablation() -> Ablation:
    """The 1x1 convolution on Conv2 before one 3x3 convolution of 256 channels."""
    return Ablation(
        title="DeepLab v3+, Table 1: channels of the low-level features",
        source="arXiv 1802.02611, Table 1: PASCAL VOC 2012 val, mIoU, ResNet-101, one scale, "
        "output stride 16 in training and evaluation.",
        rows=tuple(
            Row(f"{channels} channels", {"model.decoder.low_level_features": channels}, miou)
            for channels, miou in PAPER.items()
        ),
        paper=Size(voc.get_config, ONE_CONV),
        camvid=Size(small.camvid_v3_plus, ONE_CONV),
        shapes=Size(lambda: small.shapes_v3_plus("shapes/thin"), ONE_CONV),
        cause="Strokes of 1.5 to 2.5 pixels are in the low-level map of stride 4 alone, which has "
        "16 channels here; the encoder's map is 5 x 5. So 8 channels may lose something and more "
        "than 16 can add nothing but weights. The paper's spread is 0.6 of 78: do not expect to "
        "see it in three seeds.",
    )
