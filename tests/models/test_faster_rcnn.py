"""Faster R-CNN: published counts, the law of strides, the RPN on one map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.fpn import Level
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import BoxPredictor, ConvFCHead
from jaxseg.layers.rpn import RPN, RegionProposalNetwork, anchors_of
from jaxseg.models import compat_detection as compat
from jaxseg.models.faster_rcnn import faster_rcnn_c4, faster_rcnn_c5, faster_rcnn_fpn
from tests.helpers.variables import count, random_variables
from tests.models.networks import QUICK, images
from tests.models.test_mask_rcnn import frozen_free, tiny


@pytest.mark.parametrize(
    ("model", "trainable", "frozen"),
    [
        (compat.torchvision_faster_rcnn(90), 41_808_406, 41_755_286),
        pytest.param(
            compat.torchvision_faster_rcnn_v2(90), 43_712_278, None, marks=pytest.mark.slow
        ),
        (faster_rcnn_fpn(90), 41_808_406, None),
    ],
)
def test_published_counts(model, trainable, frozen):
    number, without = frozen_free(model)
    assert number == trainable
    assert frozen in (None, without)


def test_counts_of_parts():
    def of(module, *given):
        return count(jax.eval_shape(lambda: module.init(jax.random.key(0), *given)))

    def of_rpn(channels, **fields):
        level = Level(jnp.zeros((1, 2, 2, channels)), 16, 16)
        levels = [level] if channels > 256 else [level] * 5
        size = jnp.array([[32, 32]])
        module = RegionProposalNetwork(RPN(**fields))
        return count(
            jax.eval_shape(lambda: module.init(jax.random.key(0), levels, size, train=False))
        )

    assert of_rpn(256) == 593_935
    assert of_rpn(256, convs=2) == 1_184_015
    assert of_rpn(1024) == 9_515_083
    pooled = [jnp.zeros((1, 7, 7, 256))]

    def of_head(head):
        return count(jax.eval_shape(lambda: head.init(jax.random.key(0), pooled, train=False)))

    assert of_head(ConvFCHead()) == 13_895_680
    assert of_head(ConvFCHead(convs=4, fcs=1, norm=Norm())) == 15_207_424
    vectors = jnp.zeros((1, 1024))
    assert of(BoxPredictor(90), vectors) == 466_375
    assert of(BoxPredictor(80), vectors) + 13_895_680 == 14_310_805  # Detectron
    assert of(BoxPredictor(80, background_box=False), vectors) + 13_895_680 == 14_306_705


def test_anchors_of_800_pixels():
    """P2 .. P6 have 120000, 30000, 7500, 1875, 507 anchors."""
    levels = [
        Level(np.broadcast_to(0.0, (1, -(-800 // s), -(-800 // s), 1)), s, s)
        for s in (4, 8, 16, 32, 64)
    ]
    assert [len(a) for a in anchors_of(levels, RPN())] == [120_000, 30_000, 7_500, 1_875, 507]
    assert len(anchors_of(levels[2:3], RPN())[0]) == 5 * 7_500
    with pytest.raises(ValueError, match="of 4 levels each takes one"):
        anchors_of(levels[:4], RPN())


@pytest.mark.parametrize("make", [faster_rcnn_c4, faster_rcnn_c5])
@pytest.mark.parametrize("size", [(64, 96), (65, 81)])
@pytest.mark.slow
def test_scores_of_a_denser_map_hold_those_of_a_coarser_one(make, size):
    """The RPN at half the output stride, sub-sampled, is that at the nominal one: C4 and C5."""
    x = images(size)
    nominal = make(3, 50)
    stages = (1,) * len(nominal.backbone.stage_units or (1,) * 4)
    raw = {}
    for output_stride in (2 ** (len(stages) + 1), 8):
        backbone = ResNet(
            50, stages, width=4, output_stride=output_stride, norm=Norm("frozen"), compute=PLAIN
        )
        model = nominal.clone(backbone=backbone, compute=PLAIN)
        variables = _narrow(model, len(stages))
        module = _RPNAlone(model)
        raw[output_stride] = jax.jit(module, compiler_options=QUICK)(variables, x)
    (coarse, dense) = raw.values()
    step = 2 ** (len(stages) + 1) // 8
    tolerance = 1e-5 * np.abs(coarse).max()
    np.testing.assert_allclose(dense[:, ::step, ::step], coarse, atol=tolerance)


def _narrow(model, stages):
    """Random variables of backbone and RPN alone."""
    backbone = model.backbone.clone(output_stride=2 ** (stages + 1))
    channels = 4 * 4 * 2 ** (stages - 1)
    network = RegionProposalNetwork(model.rpn)
    level = Level(jnp.zeros((1, 2, 2, channels)), 16, 16)
    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), [level], jnp.array([[32, 32]]), train=False)
    )
    rng = np.random.default_rng(0)
    rpn = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    return random_variables(backbone), rpn


def _RPNAlone(model):
    """The map of scores [B, h, w, 15] by the model's own law."""

    def run(variables, x):
        from jaxseg.layers.fpn import levels_of_backbone

        ends = model.backbone.apply(variables[0], x, train=False)
        (level,) = levels_of_backbone(ends, model.levels, model.backbone.output_stride, "ResNet")
        sizes = jnp.array([x.shape[1:3]])
        network = RegionProposalNetwork(model.rpn, model.compute)
        found = network.apply(variables[1], [level], sizes, train=False)
        return found.logits.reshape(1, *level.values.shape[1:3], -1)

    return run


def test_padding_of_the_canvas_is_no_place_for_boxes():
    """Detections lie within the true image, whose size is an argument: nothing compiles again."""
    model = tiny()
    x = images((64, 64), batch=2)
    variables = jax.jit(lambda: model.init(jax.random.key(0), x, train=False))()
    run = jax.jit(lambda s: model.apply(variables, x, train=False, sizes=s), compiler_options=QUICK)
    for sizes in ([(64, 64), (64, 64)], [(30, 64), (64, 17)]):
        found = run(jnp.array(sizes))
        boxes = np.asarray(found["boxes"])
        assert found["valid"].any(axis=1).all()
        for (height, width), own in zip(sizes, boxes, strict=True):
            assert own.min() >= 0
            assert own[:, 2].max() <= width
            assert own[:, 3].max() <= height
    assert run._cache_size() == 1
