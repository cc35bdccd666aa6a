"""DeepLab v3 (arXiv 1706.05587), after Table 5: rates of ASPP with and without image pooling.

    python -m launch.sweep --ablation=deeplab_v3/aspp --size=shapes

The paper has three of these cells; the others isolate parts of ASPP. The paper's size starts from
an
ImageNet ResNet-101: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.deeplab_v3 import voc

PAPER = {"three rates": 76.58, "four rates": 76.46, "three rates, image pooling": 77.21}


def _changes(rates: tuple[int, ...]) -> dict[str, Change]:
    """ASPP with the first 0, 1, 3 and all 4 rates, without and with image pooling."""
    counts = {"no rate": 0, "one rate": 1, "three rates": 3, "four rates": 4}
    return {
        f"{name}{', image pooling' if pooling else ''}": {
            "model.atrous_rates": rates[:count],
            "model.image_pooling": pooling,
        }
        for pooling in (False, True)
        for name, count in counts.items()
    }


def get_ablation() -> Ablation:
    """Rates 6, 12, 18 and 24 at output stride 16 in the paper; the 1x1 branch is always there."""
    return Ablation(
        title="DeepLab v3: rates of ASPP with and without image pooling",
        source="arXiv 1706.05587, Table 5: PASCAL VOC 2012 val, mIoU, one scale, output stride 16, "
        "ResNet-101 with multi-grid (1, 2, 4). 76.58 and 76.46 are unverified; their difference "
        "and 77.21 are confirmed by the paper's text.",
        rows=tuple(
            Row(name, change, PAPER.get(name)) for name, change in _changes((6, 12, 18, 24)).items()
        ),
        paper=Size(voc.get_config),
        camvid=Size(small.camvid_v3),
        shapes=Size(
            lambda: small.shapes_aspp("shapes/scene"),
            rows=_changes((1, 2, 3, 4)),
            seeds=(0, 1, 2, 3, 4),  # with three the gain of image pooling was undecided
        ),
        cause="All discs of an image are captive where a frame stands anywhere in it, at least 16 "
        "pixels from their centres. The backbone, a stem and one bottleneck at output stride 4, "
        "sees 11 pixels to each side: without rate and pooling it must tell one disc in two. The "
        "rates read features 16, 32, 48 and 64 pixels away, in eight directions alone, so between "
        "them they miss most frames, and of 64 x 64 pixels a rate of 64 reads nothing but padding: "
        "a fourth one must add nothing. Image pooling sees every frame from everywhere: it alone "
        "must tell discs, also without any rate.",
    )
