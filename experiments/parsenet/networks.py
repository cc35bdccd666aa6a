"""The networks of ParseNet in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.parsenet import parsenet_fcn, parsenet_large_fov

ROWS = (
    Row("ParseNet on FCN-32s, 60 classes", "1506.04579", "", parsenet_fcn(60), 134_760_316),
    Row(
        "ParseNet on LargeFOV",
        "1506.04579",
        "",
        parsenet_large_fov(21),
        20_528_981,
        runs=runs_of("parsenet"),
        recipe="parsenet/voc",
    ),
)
