"""DeepLab v3+ (arXiv 1802.02611), Table 7: decoder, image-level features, Xception-71, Cityscapes.

    python -m launch.sweep --ablation=deeplab_v3_plus/table7 --size=shapes

The paper's size starts from an ImageNet Xception-65: --change=train.init_from=FILE; the last row
needs a file of Xception-71.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from jaxseg import config

PAPER = (77.33, 78.79, 79.14, 79.55)


def _changes(base: config.Experiment) -> dict[str, Change]:
    plain: Change = {"model.image_pooling": False}
    return {
        "no decoder": {"model": small.encoder_alone(base)},
        "decoder": {},
        "decoder, no image pooling": plain,
        "decoder, no image pooling, Xception-71": {
            **plain,
            "model.backbone.depth": 71,
            "model.decoder.low_level": "entry3_pointwise2",
        },
    }


def get_ablation() -> Ablation:
    """Trained on the 2,975 images with fine labels."""
    paper = _changes(small.cityscapes_v3_plus())
    return Ablation(
        title="DeepLab v3+, Table 7: decoder, image-level features, Xception-71",
        source="arXiv 1802.02611, Table 7: Cityscapes val, mIoU, one scale, output stride 16.",
        rows=tuple(Row(*cells) for cells in zip(paper, paper.values(), PAPER, strict=True)),
        paper=Size(small.cityscapes_v3_plus),
        camvid=Size(small.camvid_xception, rows=_changes(small.camvid_xception())),
        shapes=Size(small.shapes_xception, rows=_changes(small.shapes_xception())),
        cause="Discs are 8 to 17 pixels wide, 1 to 3 pixels apart, the encoder's map is 5 x 5 "
        "cells: the decoder must gain much. What a pixel is does not depend on the rest of the "
        "image, so image pooling must gain nothing, as in the paper.",
    )
