"""The networks of Mask R-CNN in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row
from jaxseg.models.compat_detection import torchvision_mask_rcnn, torchvision_mask_rcnn_v2
from jaxseg.models.mask_rcnn import mask_rcnn_c4, mask_rcnn_fpn

ROWS = (
    Row(
        "Mask R-CNN, ResNet-50, FPN",
        "1703.06870",
        "Figure 4, right",
        mask_rcnn_fpn(80),
        recipe="mask_rcnn/coco",
        scores="rpn/objectness",
    ),
    Row(
        "Mask R-CNN, ResNet-101, FPN",
        "1703.06870",
        "Figure 4, right",
        mask_rcnn_fpn(80, depth=101),
        recipe="mask_rcnn/coco",
        scores="rpn/objectness",
    ),
    Row(
        "Mask R-CNN, ResNet-50, C4",
        "1703.06870",
        "Figure 4, left",
        mask_rcnn_c4(80),
        scores="rpn/objectness",
    ),
    Row(
        "Mask R-CNN, ResNet-50, FPN, torchvision's",
        "1703.06870",
        "",
        torchvision_mask_rcnn(90),
        44_454_513,
        "torchvision",
        scores="rpn/objectness",
    ),
    Row(
        "Mask R-CNN, ResNet-50, FPN, torchvision's v2",
        "1703.06870",
        "",
        torchvision_mask_rcnn_v2(90),
        46_359_409,
        "torchvision",
        scores="rpn/objectness",
    ),
)
