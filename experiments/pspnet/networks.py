"""The networks of PSPNet in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.pspnet import PSPNet, pspnet_backbone

ROWS = (
    Row(
        "PSPNet, ResNet-50",
        "1612.01105",
        "Figure 3",
        PSPNet(21, pspnet_backbone(50)),
        49_081_578,
        "Caffe",
        runs=runs_of("pspnet"),
    ),
    Row(
        "PSPNet, ResNet-101",
        "1612.01105",
        "Figure 3",
        PSPNet(21, pspnet_backbone(101)),
        68_073_706,
        "Caffe",
        recipe="pspnet/voc",
    ),
    Row(
        "PSPNet, ResNet-152", "1612.01105", "Table 3", PSPNet(21, pspnet_backbone(152)), 83_717_354
    ),
)
