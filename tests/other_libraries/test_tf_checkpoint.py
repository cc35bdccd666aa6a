"""The judge of imported DeepLabs: TensorFlow writes the checkpoint that we read, and its logits.

TensorFlow stays out of this interpreter. The judge stands in a folder of its own, which is
.judges/tensorflow or what JAXSEG_TENSORFLOW names (requirements/other_libraries.txt), and runs as a
program.
"""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.xception import Xception
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import Decoder, DeepLabV3Plus, Separable
from jaxseg.weights import load
from tests.conftest import ROOT
from tests.helpers.variables import shapes_of
from tests.models.networks import QUICK

pytestmark = pytest.mark.other_libraries

PROGRAM = ROOT / "tests" / "helpers" / "programs" / "tf_deeplab.py"
CLASSES = 5
NETWORKS = {
    "resnet": DeepLabV3Plus(
        CLASSES,
        ResNet(stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4)),
        decoder=Decoder("stage1_residual"),
    ),
    "xception": DeepLabV3Plus(
        CLASSES,
        Xception(depth=41, middle_modules=2, output_stride=8),
        decoder=Decoder("entry2_pointwise2"),
        separable=Separable(aspp=True, decoder=True),
    ),
    "mobilenet": DeepLabV3(CLASSES, MobileNetV2(output_stride=16), atrous_rates=()),
}


@pytest.fixture(scope="session")
def judge():
    """The environment of a process that has TensorFlow."""
    folder = pathlib.Path(os.environ.get("JAXSEG_TENSORFLOW", ROOT / ".judges" / "tensorflow"))
    if not (folder / "tensorflow").is_dir():
        pytest.skip(
            f"no TensorFlow in {folder} (JAXSEG_TENSORFLOW): requirements/other_libraries.txt"
        )
    return os.environ | {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_tensorflow_s(judge, tmp_path, name):
    images = np.random.default_rng(0).normal(size=(1, 65, 97, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, str(PROGRAM), str(tmp_path), name]
    done = subprocess.run(command, env=judge, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.load(tmp_path / "logits.npy")
    model = NETWORKS[name]
    variables = load.load_variables(tmp_path / "model.ckpt-7", shapes_of(model))
    apply = jax.jit(lambda v, x: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)
    ours = np.asarray(apply(variables, images))
    assert ours.shape == theirs.shape == (1, 65, 97, CLASSES)
    scale = np.abs(theirs).max()
    assert theirs.std() > 0.05 * scale
    assert np.abs(ours - theirs).max() < 1e-4 * scale
