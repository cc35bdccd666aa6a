"""The networks of Faster R-CNN in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row
from jaxseg.models.compat_detection import torchvision_faster_rcnn, torchvision_faster_rcnn_v2
from jaxseg.models.faster_rcnn import faster_rcnn_c4, faster_rcnn_c5, faster_rcnn_fpn

ROWS = (
    Row(
        "Faster R-CNN, ResNet-50, FPN",
        "1506.01497",
        "FPN, Table 3 c",
        faster_rcnn_fpn(80),
        recipe="faster_rcnn/coco",
        scores="rpn/objectness",
    ),
    Row(
        "Faster R-CNN, ResNet-50, C4",
        "1506.01497",
        "FPN, Table 3 a",
        faster_rcnn_c4(80),
        scores="rpn/objectness",
    ),
    Row(
        "Faster R-CNN, ResNet-50, C5",
        "1506.01497",
        "FPN, Table 3 b",
        faster_rcnn_c5(80),
        scores="rpn/objectness",
    ),
    Row(
        "Faster R-CNN, ResNet-50, FPN, torchvision's",
        "1506.01497",
        "",
        torchvision_faster_rcnn(90),
        41_808_406,
        "torchvision",
        scores="rpn/objectness",
    ),
    Row(
        "Faster R-CNN, ResNet-50, FPN, torchvision's v2",
        "1506.01497",
        "",
        torchvision_faster_rcnn_v2(90),
        43_712_278,
        "torchvision",
        scores="rpn/objectness",
    ),
)
