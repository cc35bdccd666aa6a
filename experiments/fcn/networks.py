"""The networks of FCN in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row, runs_of
from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.vgg import VGG
from jaxseg.models.fcn import FCN


def _border() -> VGG:
    return VGG(image_padding=100)


ROWS = (
    Row(
        "FCN-32s",
        "1411.4038",
        "Figure 3",
        FCN(21, _border(), 32),
        134_346_581,
        "Caffe",
        recipe="fcn/fcn32s_voc",
        scores="score_fr",
        field=404,
    ),
    Row(
        "FCN-16s",
        "1411.4038",
        "Figure 3",
        FCN(21, _border(), 16),
        134_357_354,
        "Caffe",
        recipe="fcn/fcn16s_voc",
        scores="score_fr",
        field=404,
    ),
    Row(
        "FCN-8s",
        "1411.4038",
        "Figure 3",
        FCN(21, _border()),
        134_362_751,
        "Caffe",
        runs=runs_of("fcn8s"),
        recipe="fcn/fcn8s_voc",
        scores="score_fr",
        field=404,
    ),
    Row(
        "FCN-8s at once",
        "1605.06211",
        "released",
        FCN(21, _border(), at_once=True),
        134_362_751,
        "Caffe",
        recipe="fcn/fcn8s_at_once_voc",
        scores="score_fr",
        field=404,
    ),
    Row(
        "FCN-AlexNet",
        "1411.4038",
        "Table 1",
        FCN(21, AlexNet(image_padding=100), 32, fc6_kernel=6),
        56_954_261,
        "Caffe",
        recipe="fcn/alexnet_voc",
        scores="score_fr",
        field=355,
    ),
)
