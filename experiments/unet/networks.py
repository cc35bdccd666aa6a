"""The networks of U-Net in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.compat import smp_unet
from jaxseg.models.unet import UNet

ROWS = (
    Row(
        "U-Net",
        "1505.04597",
        "Figure 1",
        UNet(21),
        31_033_045,
        runs=runs_of("unet"),
        recipe="unet/isbi_em",
    ),
    Row(
        "U-Net on ResNet-50, smp's",
        "1505.04597",
        "",
        smp_unet(50, 21),
        32_524_005,
        "segmentation_models_pytorch",
    ),
)
