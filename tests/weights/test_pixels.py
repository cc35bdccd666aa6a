"""Every table of a network of pixels says what they are and which kernels they enter."""

import jax
import pytest

from experiments.deeplab_v3 import google_voc
from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.models.compat import torchvision_deeplab_v3
from jaxseg.pixels import Normalisation
from jaxseg.weights import match
from jaxseg.weights.tables import keras, tflite, torchvision
from tests.helpers.variables import shapes_of

GOOGLE = google_voc.get_config()
HALF = Normalisation((127.5,) * 3, (127.5,) * 3)
# torchvision's documented (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225), times 255.
IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@pytest.mark.parametrize(
    ("table", "model", "pixels"),
    [
        (tflite.deeplab_v3_mobilenet_v2(), GOOGLE.model, HALF),
        (keras.mobilenet_v2((), into=""), MobileNetV2(width=0.35), HALF),
        (torchvision.resnet(()), ResNet(depth=18), IMAGENET),
        (torchvision.torchvision_deeplab_v3(()), torchvision_deeplab_v3(50, 3), IMAGENET),
    ],
    ids=["tflite", "keras", "torch", "torchvision"],
)
def test_pixels_of(table, model, pixels):
    assert table.normalisation == pixels
    leaves = dict(match.leaves_of(shapes_of(model)))
    entered = [leaf for path, leaf in leaves.items() if match.matches(path, table.pixel_kernels)]
    takes_pixels = [a for a in jax.tree.leaves(shapes_of(model)) if a.ndim == 4 and a.shape[2] == 3]
    assert [leaf.shape for leaf in entered] == [leaf.shape for leaf in takes_pixels]


def test_the_experiment_of_the_tflite_file_gives_its_pixels():
    assert GOOGLE.data.normalisation == HALF
