"""The networks of Dilation in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.dilation import CONTEXT_8, CONTEXT_10, LARGE, Dilation, front_end_backbone

ROWS = (
    Row(
        "Dilation, front end",
        "1511.07122",
        "section 4",
        Dilation(21, front_end_backbone()),
        134_346_581,
        "Caffe",
        recipe="dilation/frontend_voc",
        field=380,
    ),
    Row(
        "Dilation8, 11 classes",
        "1511.07122",
        "Table 1, Basic",
        Dilation(11, front_end_backbone(), CONTEXT_8),
        134_313_443,
        "Caffe",
        runs=("dilation_shapes", *runs_of("dilation8")[1:]),
        recipe="dilation/camvid",
        scores="context/final",
    ),
    Row(
        "Dilation8, Large",
        "1511.07122",
        "Table 1, Large",
        Dilation(21, front_end_backbone(), CONTEXT_8, LARGE, pad_first=True),
        141_149_720,
        "Caffe",
        recipe="dilation/context_voc",
        scores="context/final",
    ),
    Row(
        "Dilation10, 19 classes",
        "1511.07122",
        "appendix",
        Dilation(19, front_end_backbone(), CONTEXT_10, upsampling="deconvolution"),
        134_368_179,
        "Caffe",
        recipe="dilation/cityscapes",
        scores="context/final",
    ),
)
