"""The networks of FPN in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row
from jaxseg.models.fpn import BoxProposals, SegmentProposals, fpn_backbone

ROWS = (
    Row(
        "FPN, ResNet-50, proposals of boxes",
        "1612.03144",
        "Table 1 c",
        BoxProposals(fpn_backbone()),
        recipe="fpn/coco",
        scores="rpn/objectness",
    ),
    Row(
        "FPN, ResNet-50, proposals of segments",
        "1612.03144",
        "Table 6",
        SegmentProposals(fpn_backbone(), mask_size=28),
        recipe="fpn/segments",
        scores="score7",
    ),
)
