"""The judge of imported Caffe networks: the dnn module of OpenCV 4 on the file that we read.

OpenCV 5 has no Caffe importer, so the judge stands in a folder of its own, .judges/opencv4 or what
JAXSEG_OPENCV4 names (requirements/other_libraries.txt), and runs as a program of its own. The test
writes prototxt and blobs; both sides get the same picture, the judge as BGR less the mean, we as
RGB also divided by a deviation, which the import folds into the first kernels.
"""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.vgg import VGG
from jaxseg.models.deeplab_v1 import DeepLabV1, large_fov_backbone, small_window_backbone
from jaxseg.models.deeplab_v2 import ASPP_L, MSC, DeepLabV2, deeplab_v2_resnet
from jaxseg.models.dilation import CONTEXT_8, CONTEXT_10, LARGE, Dilation, front_end_backbone
from jaxseg.models.fcn import FCN
from jaxseg.models.pspnet import PSPNet, pspnet_backbone
from jaxseg.pixels import Normalisation
from jaxseg.weights import load
from tests.conftest import ROOT
from tests.helpers.variables import shapes_of
from tests.models.networks import QUICK
from tests.weights import caffe_nets, caffemodel

pytestmark = pytest.mark.other_libraries

PROGRAM = ROOT / "tests" / "helpers" / "programs" / "caffe_dnn.py"
STD = (58.0, 57.0, 56.0)
CLASSES = 5


@pytest.fixture(scope="session")
def judge():
    """The folder that holds OpenCV 4."""
    folder = pathlib.Path(os.environ.get("JAXSEG_OPENCV4", ROOT / ".judges" / "opencv4"))
    if not (folder / "cv2").is_dir():
        pytest.skip(
            f"no OpenCV 4 in {folder} (JAXSEG_OPENCV4): see requirements/other_libraries.txt"
        )
    return folder


@pytest.fixture
def compare(judge, tmp_path):
    """The judge's blobs, NHWC, and our outputs for the same weights and the same random picture.

    Arguments: the network, our model, the picture's size, the blobs to return, and the layers of
    the file that we read, where it is not the judge's.
    """

    def run(net, model, size, outputs, layers=None):
        path = tmp_path / "ours.caffemodel"
        caffemodel.write(path, layers or net.layers)
        table = load.table_of(load.read(path))
        mean = np.array(table.normalisation.mean)
        image = np.random.default_rng(1).integers(0, 256, (1, *size, 3))
        bgr = (image - mean)[..., ::-1].transpose(0, 3, 1, 2)
        np.save(tmp_path / "data.npy", np.ascontiguousarray(bgr, np.float32))
        caffemodel.write(tmp_path / "net.caffemodel", net.layers)
        (tmp_path / "net.prototxt").write_text(net.text)
        (tmp_path / "outputs.txt").write_text(" ".join(outputs))
        environment = os.environ | {"PYTHONPATH": str(judge)}
        subprocess.run([sys.executable, PROGRAM, tmp_path], check=True, env=environment)

        pixels = Normalisation(tuple(mean), STD)
        variables = load.load_variables(path, shapes_of(model, size), pixels=pixels)
        apply = jax.jit(lambda v, x: model.apply(v, x, train=False), compiler_options=QUICK)
        given = apply(variables, ((image - mean) / STD).astype(np.float32))
        return [np.load(tmp_path / f"{name}.npy").transpose(0, 2, 3, 1) for name in outputs], given

    return run


def _error(ours, judged):
    """The largest difference, in units of the largest value."""
    assert ours.shape == judged.shape
    assert judged.std() > 1e-3
    error = np.abs(ours - judged).max() / np.abs(judged).max()
    print(f"largest difference {error:.1e} of the largest value")
    return error


def test_pspnet(compare):
    """At a size whose map of 12 x 12 the bins divide: there the fixed windows are the grid's."""
    size = (89, 89)
    net, layers = caffe_nets.pspnet(size, width=4, classes=CLASSES, head=8)
    backbone = pspnet_backbone(50).clone(width=4)
    model = PSPNet(CLASSES, backbone, head_features=8, aux_features=0)
    (scores, features), ours = compare(net, model, size, ["conv6", "relu_conv5_3"], layers)
    assert _error(ours["features"], features) < 1e-4
    assert _error(ours["logits"][:, ::8, ::8], scores) < 1e-4


@pytest.mark.parametrize(("stride", "at_once"), [(32, False), (16, False), (8, False), (8, True)])
def test_fcn(compare, stride, at_once):
    """Odd sizes on both axes, so that every crop and the last windows of poolings matter."""
    size = (75, 98)
    options = {"stride": stride, "at_once": at_once}
    net = caffe_nets.fcn(size, width=4, classes=CLASSES, features=8, **options)
    model = FCN(CLASSES, VGG(width=4, image_padding=100), head_features=8, **options)
    (scores,), ours = compare(net, model, size, ["score"])
    assert _error(ours["logits"], scores) < 1e-4


def test_fcn_alexnet(compare):
    size = (75, 98)
    net = caffe_nets.fcn_alexnet(size, features=(6, 16, 24, 24, 16), classes=CLASSES, head=8)
    backbone = AlexNet(width=4, image_padding=100)
    model = FCN(CLASSES, backbone, stride=32, head_features=8, fc6_kernel=6)
    (scores,), ours = compare(net, model, size, ["score"])
    assert _error(ours["logits"], scores) < 1e-4


@pytest.mark.parametrize("msc", [0, 3])
def test_deeplab_v1_large_fov(compare, msc):
    size = (65, 97)
    net = caffe_nets.deeplab_v1(size, width=4, classes=CLASSES, features=8, msc=msc)
    backbone = large_fov_backbone().clone(width=4)
    model = DeepLabV1(CLASSES, backbone, head_features=8, msc_features=msc)
    last = "fc_fusion" if msc else "fc8_interp"
    (coarse, logits), ours = compare(net, model, size, ["fc8_voc12", last])
    assert coarse.shape == (1, 9, 13, CLASSES)
    if not msc:
        assert _error(ours["coarse_logits"], coarse) < 1e-4
    assert _error(ours["logits"], logits) < 1e-4


def test_deeplab_v1_with_small_windows(compare):
    size = (66, 98)
    net = caffe_nets.deeplab_v1(size, width=4, classes=CLASSES, features=8, fov="4x4")
    backbone = small_window_backbone().clone(width=4)
    model = DeepLabV1(CLASSES, backbone, 4, 4, 8, average_pool=False)
    (coarse,), ours = compare(net, model, size, ["fc8_voc12"])
    assert _error(ours["coarse_logits"], coarse) < 1e-4


def test_deeplab_v2_on_vgg(compare):
    size = (65, 97)
    net = caffe_nets.deeplab_v2_vgg(size, width=4, classes=CLASSES, features=8)
    model = DeepLabV2(CLASSES, large_fov_backbone().clone(width=4), ASPP_L, 8)
    (coarse, logits), ours = compare(net, model, size, ["fc8_voc12", "fc8_interp"])
    assert _error(ours["coarse_logits"], coarse) < 1e-4
    assert _error(ours["logits"], logits) < 1e-4


def test_deeplab_v2_on_resnet_at_three_scales(compare):
    size = (65, 97)
    net, _ = caffe_nets.deeplab_v2_resnet(size, width=4, classes=CLASSES, depth=14)
    backbone = deeplab_v2_resnet(50).clone(stage_units=caffe_nets.UNITS[14], width=4)
    model = DeepLabV2(CLASSES, backbone, ASPP_L, scales=MSC)
    outputs = ["fc1_voc12_res05", "fc_fusion", "fc_interp"]
    (small, fused, logits), ours = compare(net, model, size, outputs)
    assert _error(ours["coarse_logits_scale50"], small) < 1e-4
    assert _error(ours["coarse_logits"], fused) < 1e-4
    assert _error(ours["logits"], logits) < 1e-4


@pytest.mark.parametrize("context", [(), CONTEXT_8], ids=["front_end", "large_context"])
def test_dilation(compare, context):
    size = (372 + 16, 372 + 24)
    options = {"context": 8 if context else 0, "large": True}
    net = caffe_nets.dilation(size, width=4, classes=CLASSES, features=8, **options)
    model = Dilation(
        CLASSES,
        front_end_backbone().clone(width=4),
        context,
        LARGE if context else (),
        pad_first=True,
        mirror=False,
        head_features=8,
    )
    (coarse,), ours = compare(net, model, size, ["ct_final" if context else "fc-final"])
    assert _error(ours["coarse_logits"], coarse) < 1e-4


def test_dilation_of_cityscapes_enlarges_in_the_network(compare):
    size = (372 + 16, 372 + 24)
    options = {"context": 10, "upsample": True}
    net = caffe_nets.dilation(size, width=4, classes=CLASSES, features=8, **options)
    backbone = front_end_backbone().clone(width=4)
    options = {"upsampling": "deconvolution", "mirror": False, "head_features": 8}
    model = Dilation(CLASSES, backbone, CONTEXT_10, **options)
    (scores,), ours = compare(net, model, size, ["ctx_upsample"])
    assert _error(ours["logits"], scores) < 1e-4
