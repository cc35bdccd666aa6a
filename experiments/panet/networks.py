"""The network of PANet in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row
from jaxseg.models.panet import panet

ROWS = (
    Row(
        "PANet, ResNet-50",
        "1803.01534",
        "Figure 1",
        panet(80),
        recipe="panet/coco",
        scores="rpn/objectness",
    ),
)
