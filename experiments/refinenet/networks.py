"""The networks of RefineNet in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.refinenet import RefineNet, refinenet_backbone

ROWS = (
    Row(
        "RefineNet, ResNet-50",
        "1611.06612",
        "Figure 2",
        RefineNet(21, refinenet_backbone(50)),
        99_060_309,
    ),
    Row(
        "RefineNet, ResNet-101",
        "1611.06612",
        "Figure 2",
        RefineNet(21, refinenet_backbone(101)),
        118_052_437,
        runs=runs_of("refinenet"),
        recipe="refinenet/voc",
    ),
    Row(
        "RefineNet, ResNet-152",
        "1611.06612",
        "Figure 2",
        RefineNet(21, refinenet_backbone(152)),
        133_696_085,
    ),
)
