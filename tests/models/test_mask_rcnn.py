"""Mask R-CNN: published counts, the heads of Table 2, training and inference at static shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config, models
from jaxseg.backbones.resnet import ResNet
from jaxseg.inspection.layer_trace import trace
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Pooling, Sampling, Selection
from jaxseg.layers.rpn import RPN
from jaxseg.losses.detection import detection
from jaxseg.models import compat_detection as compat
from jaxseg.models.faster_rcnn import FROZEN
from jaxseg.models.mask_rcnn import (
    MaskHead,
    MaskRCNN,
    mask_rcnn_c4,
    mask_rcnn_fpn,
    masks_of_classes,
)
from tests.helpers.variables import count, shapes_of
from tests.losses.test_detection import some_objects
from tests.models.networks import QUICK, images

SIZE = (64, 64)
TINY = {
    "num_classes": 3,
    "rpn": RPN(sizes=(8, 16, 32, 64, 128), before_nms=(20, 10), after_nms=(16, 8)),
    "sampling": Sampling(count=8, positive_fraction=0.25),
    "selection": Selection(count=5, score=0.0),
}


def frozen_free(model):
    """Parameters as torchvision and detectron2 count them: a frozen norm has none."""
    shapes = shapes_of(model, SIZE)
    number = count(shapes)
    norms = [
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes["params"]["backbone"])
        if path[-2].key == "norm"
    ]
    if "unit1" in shapes["params"]["box_head"]:
        norms += [
            leaf.size
            for path, leaf in jax.tree_util.tree_leaves_with_path(shapes["params"]["box_head"])
            if path[-2].key == "norm"
        ]
    return number, number - sum(norms)


FROZEN_STEM = 222_400  # stem and first stage of a ResNet-50, which Detectron does not train


@pytest.mark.parametrize(
    ("model", "trainable", "frozen"),
    [
        (compat.torchvision_mask_rcnn(90), 44_454_513, 44_401_393),
        pytest.param(compat.torchvision_mask_rcnn(1), 43_975_515, None, marks=pytest.mark.slow),
        (compat.torchvision_mask_rcnn_v2(90), 46_359_409, None),
        pytest.param(
            compat.torchvision_mask_rcnn(90, 18), None, 31_376_113, marks=pytest.mark.slow
        ),
        pytest.param(
            compat.torchvision_mask_rcnn(90, 101), None, 63_341_297, marks=pytest.mark.slow
        ),
        (mask_rcnn_fpn(80), None, 44_125_173 + FROZEN_STEM),
        pytest.param(compat.detectron2_mask_rcnn_fpn(80), None, 44_343_216, marks=pytest.mark.slow),
        pytest.param(
            compat.detectron2_mask_rcnn_fpn(80, 101),
            None,
            63_060_720 + FROZEN_STEM,
            marks=pytest.mark.slow,
        ),
        pytest.param(mask_rcnn_c4(80), None, 35_695_665 + FROZEN_STEM, marks=pytest.mark.slow),
        pytest.param(mask_rcnn_c4(80, 101), None, 54_635_569 + FROZEN_STEM, marks=pytest.mark.slow),
        (compat.detectron2_mask_rcnn_c4(80), None, 35_687_212 + FROZEN_STEM),
        pytest.param(
            compat.detectron2_mask_rcnn_c4(80, 101),
            None,
            54_627_116 + FROZEN_STEM,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_published_counts(model, trainable, frozen):
    number, without = frozen_free(model)
    assert trainable in (None, number)
    assert frozen in (None, without)


@pytest.mark.parametrize(
    ("head", "classes", "parameters"),
    [
        (MaskHead(), 91, 2_646_107),  # 2,360,320 and the predictor's 285,787
        (MaskHead(), 81, 2_643_537),
        (MaskHead(), 80, 2_643_280),
        (MaskHead(norm=Norm()), 91, 2_361_344 + 285_787),
        (MaskHead(), 1, 2_622_977),  # class-agnostic
        # Table 2e: 1024 - 1024 - 80 x 28^2.
        (
            MaskHead("mlp", 2, 1024),
            80,
            (196 * 256 + 1) * 1024 + 1025 * 1024 + 1025 * 80 * 784,
        ),
    ],
)
def test_counts_of_heads(head, classes, parameters):
    x = jnp.zeros((2, 14, 14, 256))
    masks, variables = jax.eval_shape(
        lambda: head.init_with_output(jax.random.key(0), [x], classes, train=False)
    )
    assert count(variables) == parameters
    assert masks.shape == (2, 28, 28, classes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"kind": "conv"}, "mask_head.kind is 'conv'"), ({"agnostic": True, "competing": True}, "no")],
)
def test_heads_that_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            lambda: MaskHead(**fields).init(
                jax.random.key(0), [jnp.zeros((1, 4, 4, 3))], 2, train=False
            )
        )


def test_the_mask_of_a_class():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(1, 2, 3, 3, 4)))
    classes = jnp.array([[2, 3]])
    own = masks_of_classes(logits, classes, competing=False)
    np.testing.assert_array_equal(own[0, 0], logits[0, 0, :, :, 2])
    np.testing.assert_array_equal(own[0, 1], logits[0, 1, :, :, 3])
    one = masks_of_classes(logits[..., :1], classes, competing=False)
    np.testing.assert_array_equal(one, logits[..., 0])
    shared = jax.nn.sigmoid(masks_of_classes(logits, classes, competing=True))
    probabilities = jax.nn.softmax(logits)
    np.testing.assert_allclose(shared[0, 1], probabilities[0, 1, :, :, 3], rtol=1e-5)


def tiny(**fields):
    """The network on a ResNet-18 of 4 channels; anchors and RoIs of a small image."""
    backbone = ResNet(18, width=4, output_stride=32, norm=FROZEN)
    given = TINY | {
        "backbone": backbone,
        "neck": FPN(8),
        "box_head": ConvFCHead(fc_features=8),
        "mask_head": MaskHead(layers=1, features=8),
    }
    return MaskRCNN(**given | fields)


def tiny_c4(output_stride=16):
    model = mask_rcnn_c4(3).clone(**TINY)
    backbone = ResNet(50, (1, 1, 1), width=4, output_stride=output_stride, norm=FROZEN)
    return model.clone(
        backbone=backbone,
        box_head=model.box_head.clone(units=1, features=32),
        mask_head=model.mask_head.clone(features=8),
    )


VARIANTS = {
    "fpn": tiny(),
    "competing": tiny(mask_head=MaskHead(layers=1, features=8, competing=True)),
    "agnostic": tiny(mask_head=MaskHead(layers=1, features=8, agnostic=True)),
    "mlp": tiny(mask_head=MaskHead("mlp", 2, 8)),
    "things alone": tiny(background_outputs=False),
    "warp": tiny(pooling=Pooling("warp")),
    "pool": tiny(pooling=Pooling("pool")),
    "aligned": tiny(pooling=Pooling(sampling=0, aligned=True)),
    "from every level": tiny(pooling=Pooling(adaptive=True)),
    "c4": tiny_c4(),
    "c4 at stride 8": tiny_c4(8),
    "one map": tiny(levels=("stage4",), neck=None),
    "finest map": tiny(neck=FPN(8, finest_only=True)),
}


FIRST = ("fpn", "competing", "c4 at stride 8")  # the others in .ci/run


@pytest.mark.parametrize(
    "name",
    [n if n in FIRST else pytest.param(n, marks=pytest.mark.slow) for n in VARIANTS],
)
def test_shapes_of_both_modes(name):
    model = VARIANTS[name]
    objects = some_objects(np.random.default_rng(0), size=(65, 90))

    def both(x):
        found, variables = model.init_with_output(jax.random.key(0), x, train=False)
        training, _ = model.apply(
            variables,
            x,
            train=True,
            objects=objects,
            rngs={"sampling": jax.random.key(1)},
            mutable=["batch_stats"],
        )
        return found, training

    found, training = jax.eval_shape(both, jnp.zeros((2, 65, 90, 3)))
    assert {k: (v.shape, v.dtype.name) for k, v in found.items() if k != "mask_logits"} == {
        "boxes": ((2, 5, 4), "float32"),
        "scores": ((2, 5), "float32"),
        "classes": ((2, 5), "int32"),
        "valid": ((2, 5), "bool"),
        "finite": ((2,), "bool"),
    }
    side = 14 if name.startswith("c4") else 28
    assert found["mask_logits"].shape == (2, 5, side, side)
    anchors = training["anchors"].shape[0]
    channels = 1 if name == "agnostic" else 4
    masks = training.pop("mask_softmax_logits" if name == "competing" else "mask_logits")
    assert masks.shape == (2, 2, side, side, channels)
    assert {k: v.shape for k, v in training.items()} == {
        "sizes": (2, 2),
        "anchors": (anchors, 4),
        "rpn_logits": (2, anchors),
        "rpn_deltas": (2, anchors, 4),
        "rpn_draws": (2, anchors),
        "rois": (2, 8, 4),
        "roi_classes": (2, 8),
        "roi_matched": (2, 8),
        "roi_valid": (2, 8),
        "class_logits": (2, 8, 4),
        "box_deltas": (2, 8, 4, 4),
    }
    widths = {"c4": 6 * 4, "c4 at stride 8": 12 * 9}
    if name in widths:
        height, width = {"c4": (5, 6), "c4 at stride 8": (9, 12)}[name]
        assert anchors == 15 * height * width, "anchors follow the actual stride"


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_is_trained(name):
    """The loss is finite, and its gradient reaches each parameter but those of the background."""
    model = VARIANTS[name]
    rng = np.random.default_rng(0)
    objects = some_objects(rng, size=SIZE)
    x = images(SIZE, batch=2)
    variables = jax.jit(lambda: model.init(jax.random.key(0), x, train=False))()

    def loss(params):
        outputs, _ = model.apply(
            {**variables, "params": params},
            x,
            train=True,
            objects=objects,
            rngs={"sampling": jax.random.key(1)},
            mutable=["batch_stats"],
        )
        return detection(outputs, objects, config.Detection())["loss"]

    value, gradient = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)(variables["params"])
    assert np.isfinite(value)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def test_a_tree_does_not_depend_on_how_it_is_computed():
    model = tiny()
    reference = shapes_of(model, SIZE)
    assert shapes_of(model.clone(pooling=Pooling("pool")), (33, 65)) == reference
    backbone = model.backbone.clone(output_stride=8)
    assert shapes_of(model.clone(backbone=backbone), SIZE) == reference


def test_the_public_ones():
    assert models.MaskRCNN is MaskRCNN


def test_the_summary_follows_pyramid_and_heads():
    """Fields and multiply-adds of all layers; those on RoIs may see the whole image."""
    model = config.with_fields(tiny(), {"compute": PLAIN})
    layers, parameters = trace(model, SIZE)
    assert parameters == count(shapes_of(model, SIZE))
    assert sum(layer.parameters for layer in layers) == parameters
    rpn = [layer for layer in layers if layer.path == "rpn/conv1"]
    assert [layer.stride for layer in rpn] == [4, 8, 16, 32, 64]
    assert all(layer.kind == "conv 3x3" and layer.field for layer in rpn)
    (up,) = (layer for layer in layers if layer.path == "mask_head/up")
    assert up.shape[:2] == (28, 28)
    assert up.whole


@pytest.mark.slow
def test_empty_cases_through_the_whole_network():
    """No objects, boxes without area, objects beyond the image: finite, and one compilation."""
    model = tiny(
        box_head=ConvFCHead(1, 1, 8, 8, norm=Norm()),
        mask_head=MaskHead(layers=1, features=8, norm=Norm()),
    )
    x = images(SIZE, batch=2)
    variables = jax.jit(lambda: model.init(jax.random.key(0), x, train=False))()

    def loss(params, objects):
        outputs, _ = model.apply(
            {**variables, "params": params},
            x,
            train=True,
            objects=objects,
            rngs={"sampling": jax.random.key(1)},
            mutable=["batch_stats"],
        )
        return detection(outputs, objects, config.Detection())["loss"]

    run = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)
    some = some_objects(np.random.default_rng(0), size=SIZE)
    nothing = type(some)(*(np.zeros_like(part) for part in some))
    flat = some._replace(boxes=some.boxes[..., [0, 1, 0, 1]])
    beyond = some._replace(boxes=some.boxes + 500)
    for objects in (some, nothing, flat, beyond):
        value, gradient = run(variables["params"], objects)
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert run._cache_size() == 1
