"""The networks of DeconvNet in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.deconvnet import DeconvNet

ROWS = (
    Row(
        "DeconvNet",
        "1505.04366",
        "Figure 2",
        DeconvNet(21),
        251_805_653,
        "Caffe",
        runs=runs_of("deconvnet"),
        recipe="deconvnet/voc",
    ),
)
