"""Mask R-CNN (arXiv 1703.06870), Table 2a: the backbone.

    python -m launch.sweep --ablation=mask_rcnn/table2a --size=shapes

The paper's size starts from ImageNet ResNets: --change=train.init_from=FILE. The row of ResNeXt-101
(36.7) is left out: its grouped convolutions are not here.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small_instances
from experiments.mask_rcnn import variants
from jaxseg.backbones.resnet import UNITS
from jaxseg.models.mask_rcnn import mask_rcnn_fpn

FPN50, FPN101 = mask_rcnn_fpn(80), mask_rcnn_fpn(80, depth=101)


def get_ablation() -> Ablation:
    """C4 and FPN, each with two depths."""
    pyramid = small_instances.pyramid(steps=1).model
    return Ablation(
        title="Mask R-CNN, Table 2a: backbones",
        source="arXiv 1703.06870, Table 2a: COCO minival, mask AP.",
        metric="mask AP",
        rows=(
            Row("ResNet-50, C4", paper=30.3),
            Row(
                "ResNet-101, C4",
                {"model.backbone.depth": 101, "model.backbone.stage_units": UNITS[101][:3]},
                paper=32.7,
            ),
            Row("ResNet-50, FPN", {"model": FPN50}, paper=33.6),
            Row("ResNet-101, FPN", {"model": FPN101}, paper=35.4),
        ),
        paper=Size(variants.c4),
        camvid=Size(
            variants.half_c4,
            rows={
                "ResNet-50, FPN": {"model": small_instances.half_anchors(FPN50)},
                "ResNet-101, FPN": {"model": small_instances.half_anchors(FPN101)},
            },
        ),
        shapes=Size(
            lambda: small_instances.single_map(steps=600),
            rows={
                "ResNet-101, C4": {"model.backbone.stage_units": (2, 4)},
                "ResNet-50, FPN": {"model": pyramid},
                "ResNet-101, FPN": {
                    "model": pyramid.clone(backbone=small_instances.resnet((2, 2, 2, 2)))
                },
            },
        ),
        cause="Objects are 7 to 84 pixels wide. A map of stride 8 gives the smallest less than a "
        "cell; the pyramid has a level of stride 4 for them, and one of stride 32 whose field "
        "covers the largest. Twice the units see farther, which objects of one colour need less "
        "than photographs do: that the deeper network is better is not certain here.",
        measured="The pyramids are worse than C4 here, the reverse of the paper, although their "
        "finer level was expected to help. The reason was not measured. Twice the units help "
        "C4, as in the paper; the two pyramids cannot be told apart.",
    )
