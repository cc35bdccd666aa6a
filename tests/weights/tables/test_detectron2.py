"""detectron2's names onto our trees, every tensor and every leaf once."""

import numpy as np
import pytest

from jaxseg.layers import boxes
from jaxseg.models import compat_detection as compat
from jaxseg.weights import match
from jaxseg.weights.load import table_of
from jaxseg.weights.tables import detectron2
from tests.helpers.variables import shapes_of

K = 80


def conv(name, outputs, inputs, size, bias=True):
    made = {f"{name}.weight": (outputs, inputs, size, size)}
    return made | ({f"{name}.bias": (outputs,)} if bias else {})


def dense(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def normed(name, outputs, inputs, size):
    made = conv(name, outputs, inputs, size, bias=False)
    kinds = ("weight", "bias", "running_mean", "running_var")
    return made | {f"{name}.norm.{kind}": (outputs,) for kind in kinds}


def stage(name, units, inputs, width):
    made = {}
    for n in range(units):
        at = f"{name}.{n}"
        if n == 0:
            made |= normed(f"{at}.shortcut", 4 * width, inputs, 1)
        made |= normed(f"{at}.conv1", width, inputs if n == 0 else 4 * width, 1)
        made |= normed(f"{at}.conv2", width, width, 3)
        made |= normed(f"{at}.conv3", 4 * width, width, 1)
    return made


def backbone(prefix, stages):
    made = normed(f"{prefix}.stem.conv1", 64, 3, 7)
    inputs = 64
    for number, units in zip(range(2, 2 + stages), (3, 4, 6, 3), strict=False):
        width = 64 * 2 ** (number - 2)
        made |= stage(f"{prefix}.res{number}", units, inputs, width)
        inputs = 4 * width
    return made


def rpn(channels, anchors):
    at = "proposal_generator.rpn_head"
    made = conv(f"{at}.conv", channels, channels, 3)
    made |= conv(f"{at}.objectness_logits", anchors, channels, 1)
    return made | conv(f"{at}.anchor_deltas", 4 * anchors, channels, 1)


def predictor(inputs):
    at = "roi_heads.box_predictor"
    return dense(f"{at}.cls_score", K + 1, inputs) | dense(f"{at}.bbox_pred", 4 * K, inputs)


def masks(inputs, convs):
    made, at = {}, "roi_heads.mask_head"
    for n in range(1, convs + 1):
        made |= conv(f"{at}.mask_fcn{n}", 256, 256, 3)
    made |= {f"{at}.deconv.weight": (inputs, 256, 2, 2), f"{at}.deconv.bias": (256,)}
    return made | conv(f"{at}.predictor", K, 256, 1)


def fpn():
    made = backbone("backbone.bottom_up", 4)
    for level, inputs in zip((2, 3, 4, 5), (256, 512, 1024, 2048), strict=True):
        made |= conv(f"backbone.fpn_lateral{level}", 256, inputs, 1)
        made |= conv(f"backbone.fpn_output{level}", 256, 256, 3)
    made |= dense("roi_heads.box_head.fc1", 1024, 256 * 49)
    return made | dense("roi_heads.box_head.fc2", 1024, 1024) | rpn(256, 3) | predictor(1024)


def c4():
    head = stage("roi_heads.res5", 3, 1024, 512)
    return backbone("backbone", 3) | head | rpn(1024, 15) | predictor(2048)


def dc5():
    made = dense("roi_heads.box_head.fc1", 1024, 2048 * 49)
    made |= dense("roi_heads.box_head.fc2", 1024, 1024)
    return backbone("backbone", 4) | made | rpn(2048, 15) | predictor(1024)


FILES = {
    "faster_rcnn_fpn": (fpn(), compat.detectron2_faster_rcnn_fpn),
    "mask_rcnn_fpn": (fpn() | masks(256, 4), compat.detectron2_mask_rcnn_fpn),
    "faster_rcnn_c4": (c4(), compat.detectron2_faster_rcnn_c4),
    "mask_rcnn_c4": (c4() | masks(2048, 0), compat.detectron2_mask_rcnn_c4),
    "faster_rcnn_dc5": (dc5(), compat.detectron2_faster_rcnn_dc5),
}


@pytest.mark.parametrize("name", FILES)
def test_every_tensor_has_its_leaf(name):
    tensors, build = FILES[name]
    extras = {"pixel_mean": (3, 1, 1), "proposal_generator.anchor_generator.cell_anchors.0": (3, 4)}
    arrays = {
        key: np.broadcast_to(np.float32(0), shape) for key, shape in (tensors | extras).items()
    }
    table = table_of(arrays)
    leaves = dict(match.leaves_of(shapes_of(build(K), (64, 64))))
    carried = {e.target: e.transform(arrays[e.source]).shape for e in table.entries}
    assert carried == {path: leaf.shape for path, leaf in leaves.items()}
    assert {e.source for e in table.entries} == set(tensors)


def test_the_background_comes_first():
    """And the pixels are red first."""
    rng = np.random.default_rng(0)
    weights, biases = rng.normal(size=(4, 5)), rng.normal(size=4)
    np.testing.assert_array_equal(detectron2.dense_background_first(weights)[:, 0], weights[3])
    np.testing.assert_array_equal(detectron2.dense_background_first(weights)[:, 1], weights[0])
    np.testing.assert_array_equal(detectron2.background_first(biases), biases[[3, 0, 1, 2]])
    kernel = rng.normal(size=(2, 3, 1, 1))
    np.testing.assert_array_equal(detectron2.pixel_kernel(kernel)[0, 0, 0], kernel[:, 2, 0, 0])


def test_anchors_of_a_single_map_come_in_our_order():
    """Each size and ratio finds its own outputs: detectron2 has a loop over sizes outside."""
    sizes, ratios = (32, 64, 128, 256, 512), (0.5, 1.0, 2.0)
    theirs = np.array([(size / r**0.5, size * r**0.5) for size in sizes for r in ratios])
    found = boxes.anchors((1, 1), 16, sizes, ratios, rounded=False)
    ours = found[:, 2:] - found[:, :2]
    tensors = FILES["mask_rcnn_c4"][0]
    entry_of = {entry.source: entry for entry in detectron2.detector(tensors).entries}
    at = "proposal_generator.rpn_head"
    scores = entry_of[f"{at}.objectness_logits.bias"].transform(theirs[:, 0])
    np.testing.assert_allclose(scores, ours[:, 0], rtol=1e-6)
    deltas = entry_of[f"{at}.anchor_deltas.weight"].transform(
        np.repeat(theirs, 2, axis=1).reshape(60, 1, 1, 1)
    )
    np.testing.assert_allclose(deltas.reshape(15, 4)[:, ::2], ours, rtol=1e-6)
    one_size = np.arange(12.0)
    np.testing.assert_array_equal(detectron2.ratios_first(one_size, 4), one_size)
    with pytest.raises(ValueError, match="not those of 3 ratios"):
        detectron2.ratios_first(one_size[:10], 4)
