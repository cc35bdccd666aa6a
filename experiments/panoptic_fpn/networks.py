"""The network of Panoptic FPN in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row
from jaxseg.models.panoptic_fpn import panoptic_fpn

ROWS = (
    Row(
        "Panoptic FPN, ResNet-101",
        "1901.02446",
        "Figure 1",
        panoptic_fpn(80, 54, depth=101),
        recipe="panoptic_fpn/cityscapes",
        scores="rpn/objectness",
    ),
)
