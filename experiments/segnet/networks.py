"""The networks of SegNet and SegNet-Basic in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.segnet import SegNet
from jaxseg.models.segnet_basic import SegNetBasic

ROWS = (
    Row(
        "SegNet",
        "1511.00561",
        "Figure 2",
        SegNet(21),
        29_455_125,
        "Caffe",
        runs=runs_of("segnet"),
        recipe="segnet/camvid",
    ),
    Row(
        "SegNet-Basic, 11 classes",
        "1511.00561",
        "Figure 3",
        SegNetBasic(11),
        1_416_587,
        "Caffe",
        runs=runs_of("segnet_basic"),
        recipe="segnet/basic_camvid",
    ),
)
