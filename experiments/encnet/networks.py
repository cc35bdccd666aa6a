"""The networks of EncNet and the dilated FCN in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.compat import torchvision_fcn
from jaxseg.models.encnet import EncNet, encnet_backbone

ROWS = (
    Row(
        "EncNet, ResNet-50, 59 classes",
        "1803.08904",
        "Figure 3",
        EncNet(59, encnet_backbone(50), lateral=True),
        43_915_217,
    ),
    Row(
        "EncNet, ResNet-101, 59 classes",
        "1803.08904",
        "Figure 3",
        EncNet(59, encnet_backbone(101), lateral=True),
        62_907_345,
        runs=runs_of("encnet"),
        recipe="encnet/pascal_context",
    ),
    Row(
        "FCN on ResNet-50, torchvision's",
        "1803.08904",
        "section 4",
        torchvision_fcn(50, 21),
        35_322_218,
        "torchvision",
        runs=runs_of("dilated_fcn"),
        scores="head/classifier",
    ),
)
