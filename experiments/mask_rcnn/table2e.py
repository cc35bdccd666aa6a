"""Mask R-CNN (arXiv 1703.06870), Table 2e: the mask branch as an FCN or as an MLP.

    python -m launch.sweep --ablation=mask_rcnn/table2e --size=shapes

The paper's size starts from an ImageNet ResNet-50: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small_instances
from experiments.mask_rcnn import variants

MLP = {"model.mask_head.kind": "mlp", "model.mask_head.features": 1024}
SMALL = {"model.mask_head.kind": "mlp", "model.mask_head.features": 128}


def get_ablation() -> Ablation:
    """ResNet-50 with FPN; the layer that gives the masks is not among `layers`."""
    return Ablation(
        title="Mask R-CNN, Table 2e: the mask branch",
        source="arXiv 1703.06870, Table 2e: COCO minival, mask AP. The first MLP is "
        "1024 - 1024 - 80 x 28 x 28, the second has a layer of 1024 more.",
        metric="mask AP",
        rows=(
            Row("FCN", paper=33.6),
            Row("MLP of two layers", {**MLP, "model.mask_head.layers": 2}, paper=31.5),
            Row("MLP of three layers", {**MLP, "model.mask_head.layers": 3}, paper=31.5),
        ),
        paper=Size(variants.fpn),
        camvid=Size(variants.half_fpn),
        shapes=Size(
            lambda: small_instances.pyramid(steps=400),
            rows={
                "MLP of two layers": {**SMALL, "model.mask_head.layers": 2},
                "MLP of three layers": {**SMALL, "model.mask_head.layers": 3},
            },
        ),
        cause="A convolution writes what it sees at a place into the same place of the mask. A "
        "fully connected layer has to learn the correspondence of 49 cells and 196 pixels for "
        "each class from the objects of 800 images.",
        measured="The means have the paper's order, but the difference is within the spread of "
        "three seeds: this size does not show that the FCN is better.",
    )
