"""Mask R-CNN (arXiv 1703.06870), Table 2b: sigmoids or a softmax; also masks of any class.

    python -m launch.sweep --ablation=mask_rcnn/table2b --size=shapes

The paper's size starts from an ImageNet ResNet-50: --change=train.init_from=FILE.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small_instances
from experiments.mask_rcnn import variants


def get_ablation() -> Ablation:
    """ResNet-50 on C4."""
    return Ablation(
        title="Mask R-CNN, Table 2b: independent masks, by sigmoids, or masks that compete",
        source="arXiv 1703.06870, Table 2b and section 4.2 (class-agnostic masks): COCO minival, "
        "mask AP.",
        metric="mask AP",
        rows=(
            Row("sigmoid", paper=30.3),
            Row("softmax", {"model.mask_head.competing": True}, paper=24.8),
            Row("sigmoid, any class", {"model.mask_head.agnostic": True}, paper=29.7),
        ),
        paper=Size(variants.c4),
        camvid=Size(variants.half_c4),
        shapes=Size(lambda: small_instances.single_map(steps=350)),
        cause="With a sigmoid the box branch alone decides the class, and the mask of that class "
        "is judged by itself. In a softmax a pixel that the mask branch takes for another class "
        "is lost to the mask, so confusions of a square with a disc cost twice. There are five "
        "classes here, not 80, of shapes that differ at their borders: the loss should be smaller "
        "than the paper's.",
        measured="The softmax costs more than in the paper, although five classes that differ at "
        "their borders were expected to be confused less. The reason was not measured. Masks "
        "of any class cannot be told apart from masks of each class with three seeds.",
    )
