"""The judge of imported Caffe networks that unpool, which OpenCV's dnn module cannot: torch.

Written once more in the prototxts' order of layers, on the blobs as they are in the file: NCHW, BGR
and Caffe's pooling by the ceil rule.
"""

import jax
import numpy as np
import pytest

from jaxseg.models.deconvnet import DeconvNet
from jaxseg.models.segnet import SegNet
from jaxseg.models.segnet_basic import SegNetBasic
from jaxseg.pixels import Normalisation
from jaxseg.weights import load
from tests.helpers.variables import shapes_of
from tests.models.networks import QUICK
from tests.weights import caffe_unpooling_nets, caffemodel

pytestmark = pytest.mark.other_libraries

CLASSES = 5
VGG16 = (2, 2, 3, 3, 3)


class Layers:
    """Caffe's layers on torch, by name."""

    def __init__(self, torch, layers):
        self.functional = torch.nn.functional
        self.layers = {name: [torch.tensor(b) for b in blobs] for name, blobs in layers.items()}

    def conv(self, x, name, pad):
        return self.functional.conv2d(x, *self.layers[name], padding=pad)

    def deconv(self, x, name, pad):
        return self.functional.conv_transpose2d(x, *self.layers[name], padding=pad)

    def norm(self, x, name):
        scale, shift = (blob.reshape(1, -1, 1, 1) for blob in self.layers[name])
        return x * scale + shift

    def pool(self, x):
        y, places = self.functional.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        return y, (places, x.shape[2:])

    def unpool(self, x, places):
        indices, size = places
        return self.functional.max_unpool2d(x, indices, 2, output_size=size)


def _segnet(caffe, x):
    kept = {}
    for stage, count in enumerate(VGG16, start=1):
        for unit in range(1, count + 1):
            name = f"conv{stage}_{unit}"
            x = caffe.norm(caffe.conv(x, name, 1), f"{name}_bn").relu()
        x, kept[stage] = caffe.pool(x)
    for stage, count in reversed(list(enumerate(VGG16, start=1))):
        x = caffe.unpool(x, kept[stage])
        for unit in range(count, 0, -1):
            name = f"conv{stage}_{unit}_D"
            x = caffe.conv(x, name, 1)
            if name != "conv1_1_D":
                x = caffe.norm(x, f"{name}_bn").relu()
    return x


def _segnet_basic(caffe, x):
    x = caffe.functional.local_response_norm(x, 5, alpha=1e-4, beta=0.75)
    kept = {}
    for stage in range(1, 5):
        x = caffe.norm(caffe.conv(x, f"conv{stage}", 3), f"conv{stage}_bn").relu()
        x, kept[stage] = caffe.pool(x)
    for stage in range(4, 0, -1):
        name = f"conv_decode{stage}"
        x = caffe.norm(caffe.conv(caffe.unpool(x, kept[stage]), name, 3), f"{name}_bn")
    return caffe.conv(x, "conv_classifier", 0)


def _deconvnet(caffe, x):
    kept = {}
    for stage, count in enumerate(VGG16, start=1):
        for unit in range(1, count + 1):
            x = caffe.conv(x, f"conv{stage}_{unit}", 1)
            x = caffe.norm(x, f"bn{stage}_{unit}").relu()
        x, kept[stage] = caffe.pool(x)
    x = caffe.norm(caffe.conv(x, "fc6", 0), "bnfc6").relu()
    x = caffe.norm(caffe.conv(x, "fc7", 0), "bnfc7").relu()
    x = caffe.norm(caffe.deconv(x, "fc6-deconv", 0), "fc6-deconv-bn").relu()
    for stage, count in reversed(list(enumerate(VGG16, start=1))):
        x = caffe.unpool(x, kept[stage])
        for unit in range(1, count + 1):
            x = caffe.deconv(x, f"deconv{stage}_{unit}", 1)
            x = caffe.norm(x, f"debn{stage}_{unit}").relu()
    return caffe.conv(x, "seg-score-voc", 0)


@pytest.mark.parametrize(
    ("net", "model", "judge", "size"),
    [
        (
            caffe_unpooling_nets.segnet(width=3, classes=CLASSES),
            SegNet(CLASSES, width=3),
            _segnet,
            (36, 51),
        ),
        (
            caffe_unpooling_nets.segnet_basic(width=4, classes=CLASSES),
            SegNetBasic(CLASSES, width=4),
            _segnet_basic,
            (36, 51),
        ),
        (
            caffe_unpooling_nets.deconvnet(width=3, classes=CLASSES, features=32, fc_kernel=2),
            DeconvNet(CLASSES, width=3, fc_features=32, fc_kernel=2),
            _deconvnet,
            (64, 64),
        ),
    ],
    ids=["segnet", "segnet_basic", "deconvnet"],
)
def test_scores(tmp_path, net, model, judge, size):
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.caffemodel"
    caffemodel.write(path, net.layers)
    table = load.table_of(load.read(path))
    mean = np.array(table.normalisation.mean)
    image = np.random.default_rng(1).integers(0, 256, (1, *size, 3))
    bgr = (image - mean)[..., ::-1].transpose(0, 3, 1, 2)
    judged = judge(Layers(torch, net.layers), torch.tensor(bgr.astype(np.float32)))
    judged = judged.numpy().transpose(0, 2, 3, 1)

    std = (58.0, 57.0, 56.0) if table.pixel_kernels else (1.0, 1.0, 1.0)
    pixels = Normalisation(tuple(mean), std)
    variables = load.load_variables(path, shapes_of(model, size), pixels=pixels)
    apply = jax.jit(lambda v, x: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)
    ours = apply(variables, ((image - mean) / std).astype(np.float32))
    assert ours.shape == judged.shape
    assert judged.std() > 1e-3
    assert np.abs(ours - judged).max() / np.abs(judged).max() < 1e-4
