"""mmdetection's names onto our trees, every tensor and every leaf once."""

import numpy as np
import pytest

from jaxseg.models import compat_detection as compat
from jaxseg.weights import match
from jaxseg.weights.load import table_of
from jaxseg.weights.tables import mmdetection
from tests.helpers.variables import shapes_of
from tests.weights.tables.test_detectron2 import conv, dense

K = 80


def normed(conv_name, norm_name, outputs, inputs, size):
    kinds = ("weight", "bias", "running_mean", "running_var")
    made = conv(conv_name, outputs, inputs, size, bias=False)
    return made | {f"{norm_name}.{kind}": (outputs,) for kind in kinds}


def resnet50():
    made = normed("backbone.conv1", "backbone.bn1", 64, 3, 7)
    inputs = 64
    for stage, units in enumerate((3, 4, 6, 3), 1):
        width = 64 * 2 ** (stage - 1)
        for n in range(units):
            at, given = f"backbone.layer{stage}.{n}", inputs if n == 0 else 4 * width
            if n == 0:
                made |= normed(f"{at}.downsample.0", f"{at}.downsample.1", 4 * width, inputs, 1)
            made |= normed(f"{at}.conv1", f"{at}.bn1", width, given, 1)
            made |= normed(f"{at}.conv2", f"{at}.bn2", width, width, 3)
            made |= normed(f"{at}.conv3", f"{at}.bn3", 4 * width, width, 1)
        inputs = 4 * width
    return made


def faster_rcnn():
    made = resnet50()
    for n, inputs in enumerate((256, 512, 1024, 2048)):
        made |= conv(f"neck.lateral_convs.{n}.conv", 256, inputs, 1)
        made |= conv(f"neck.fpn_convs.{n}.conv", 256, 256, 3)
    made |= conv("rpn_head.rpn_conv", 256, 256, 3)
    made |= conv("rpn_head.rpn_cls", 3, 256, 1) | conv("rpn_head.rpn_reg", 12, 256, 1)
    at = "roi_head.bbox_head"
    made |= dense(f"{at}.shared_fcs.0", 1024, 256 * 49) | dense(f"{at}.shared_fcs.1", 1024, 1024)
    return made | dense(f"{at}.fc_cls", K + 1, 1024) | dense(f"{at}.fc_reg", 4 * K, 1024)


def masks():
    made, at = {}, "roi_head.mask_head"
    for n in range(4):
        made |= conv(f"{at}.convs.{n}.conv", 256, 256, 3)
    made |= {f"{at}.upsample.weight": (256, 256, 2, 2), f"{at}.upsample.bias": (256,)}
    return made | conv(f"{at}.conv_logits", K, 256, 1)


FILES = {
    "faster_rcnn": (faster_rcnn(), compat.mmdetection_faster_rcnn),
    "mask_rcnn": (faster_rcnn() | masks(), compat.mmdetection_mask_rcnn),
}


@pytest.mark.parametrize("name", FILES)
def test_every_tensor_has_its_leaf(name):
    tensors, build = FILES[name]
    arrays = {key: np.broadcast_to(np.float32(1), shape) for key, shape in tensors.items()}
    counters = {"backbone.bn1.num_batches_tracked": np.int64(1)}
    table = table_of(arrays | counters)
    leaves = dict(match.leaves_of(shapes_of(build(K), (64, 64))))
    carried = {e.target: e.transform(arrays[e.source]).shape for e in table.entries}
    assert carried == {path: leaf.shape for path, leaf in leaves.items()}
    assert {e.source for e in table.entries} == set(tensors)


def test_the_background_comes_first():
    tensors, _ = FILES["faster_rcnn"]
    (of_classes,) = (
        e for e in mmdetection.detector(tensors).entries if e.source.endswith("fc_cls.bias")
    )
    np.testing.assert_array_equal(of_classes.transform(np.arange(4.0)), [3, 0, 1, 2])


def test_a_resnet_of_caffe_style_is_refused():
    """Its names and shapes are the same, but its pixels are B, G, R without a deviation."""
    tensors, _ = FILES["faster_rcnn"]
    (means,) = (
        e for e in mmdetection.detector(tensors).entries if e.source == "backbone.bn1.running_mean"
    )
    assert means.transform(np.array([0.0, 0.1])).tolist() == [0.0, 0.1]
    with pytest.raises(ValueError, match="choose a file without caffe in its name"):
        means.transform(np.zeros(64))


def test_files_of_version_1_are_not_taken_for_these():
    names = {name.removeprefix("roi_head.") for name in FILES["mask_rcnn"][0]}
    assert not mmdetection.is_one(names)
