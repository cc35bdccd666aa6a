"""The networks of DeepLab v1 in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.models.deeplab_v1 import DeepLabV1, large_fov_backbone, small_window_backbone

ROWS = (
    Row(
        "DeepLab v1, LargeFOV",
        "1412.7062",
        "Table 2",
        DeepLabV1(21, large_fov_backbone()),
        20_505_429,
        "Caffe",
        runs=runs_of("deeplab_v1"),
        recipe="deeplab_v1/voc",
        field=435,
    ),
    Row(
        "DeepLab v1, 4x4 at rate 4",
        "1412.7062",
        "Table 2",
        DeepLabV1(21, small_window_backbone(), 4, 4, 4096, average_pool=False),
        65_140_565,
        "Caffe",
        field=308,
    ),
    Row(
        "DeepLab v1, 7x7 at rate 4",
        "1412.7062",
        "Table 2",
        DeepLabV1(21, small_window_backbone(), 7, 4, 4096, average_pool=False),
        134_346_581,
        "Caffe",
    ),
    Row(
        "DeepLab v1, MSc-LargeFOV",
        "1412.7062",
        "section 4.3",
        DeepLabV1(21, large_fov_backbone(), msc_features=128),
        21_711_550,
        "Caffe",
    ),
)
