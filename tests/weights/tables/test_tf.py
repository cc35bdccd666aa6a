"""Each variable of an official DeepLab has one leaf of its shape, each leaf one variable."""

import numpy as np
import pytest

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.xception import Xception
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import Decoder, DeepLabV3Plus, Separable
from jaxseg.pixels import Normalisation
from jaxseg.weights import adapt, match, place
from jaxseg.weights.load import table_of
from jaxseg.weights.tables import tf
from tests.helpers.variables import shapes_of
from tests.weights import slim_names as slim

SEPARABLE = Separable(aspp=True, decoder=True)
NETWORKS = {
    "v3_resnet_101_beta": (
        DeepLabV3(21, ResNet(depth=101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4))),
        slim.resnet(101) | slim.aspp(2048) | slim.logits(),
    ),
    "v3_plus_resnet_50_beta": (
        DeepLabV3Plus(
            19, ResNet(stem="3x3x3", stride_at="last_3x3"), decoder=Decoder("stage1_residual")
        ),
        slim.resnet(50) | slim.aspp(2048) | slim.decoder(256) | slim.logits(19),
    ),
    "v3_resnet_50": (
        DeepLabV3(21, ResNet(stride_at="last_3x3"), atrous_rates=(6,), image_pooling=False),
        slim.resnet(50, beta=False) | slim.aspp(2048, 1, image_pooling=False) | slim.logits(),
    ),
    "v3_plus_xception_65": (
        DeepLabV3Plus(
            21, Xception(depth=65), decoder=Decoder("entry2_pointwise2"), separable=SEPARABLE
        ),
        slim.xception(65)
        | slim.aspp(2048, separable=True)
        | slim.decoder(256, separable=True)
        | slim.logits(),
    ),
    "v3_plus_xception_71": (
        DeepLabV3Plus(
            19,
            Xception(depth=71),
            decoder=Decoder("entry3_pointwise2"),
            image_pooling=False,
            separable=SEPARABLE,
        ),
        slim.xception(71)
        | slim.aspp(2048, separable=True, image_pooling=False)
        | slim.decoder(256, separable=True)
        | slim.logits(19),
    ),
    "v3_mobilenet_v2": (
        DeepLabV3(21, MobileNetV2(), atrous_rates=()),
        slim.mobilenet_v2() | slim.aspp(320, 0) | slim.logits(),
    ),
    "v3_plus_mobilenet_v2": (
        DeepLabV3Plus(
            151,
            MobileNetV2(),
            atrous_rates=(),
            decoder=Decoder("layer_4_depthwise"),
            separable=Separable(decoder=True),
        ),
        slim.mobilenet_v2()
        | slim.aspp(320, 0)
        | slim.decoder(144, separable=True)
        | slim.logits(151),
    ),
}


def _tensors(names):
    """Zeros of these shapes, which take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in names.items()}


def _assert_settled(table, source, leaves):
    """As `match.fill`, but without copies of 50 million numbers."""
    targets = {entry.target: entry for entry in table.entries}
    assert len(targets) == len(table.entries)
    assert set(targets) == set(leaves)
    for path, entry in targets.items():
        assert entry.transform(source[entry.source]).shape == leaves[path].shape, entry.source
    used = {entry.source for entry in table.entries}
    left = [name for name in source if name not in used]
    assert all(match.matches(name, table.ignored) for name in left)
    assert not any(match.matches(name, table.ignored) for name in used)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_variable_has_its_leaf(name):
    model, names = NETWORKS[name]
    source = _tensors(names | slim.training(names))
    _assert_settled(table_of(source), source, dict(match.leaves_of(shapes_of(model))))


@pytest.mark.parametrize(
    ("backbone", "names", "classifier"),
    [
        (
            Xception(depth=41),
            slim.xception(41),
            {"xception_41/logits/weights": (1, 1, 2048, 1001)},
        ),
        (
            MobileNetV2(),
            slim.mobilenet_v2(),
            {
                "MobilenetV2/Conv_1/weights": (1, 1, 320, 1280),
                "MobilenetV2/Conv_1/BatchNorm/gamma": (1280,),
                "MobilenetV2/Logits/Conv2d_1c_1x1/weights": (1, 1, 1280, 1001),
                "MobilenetV2/Conv/weights/ExponentialMovingAverage": (3, 3, 3, 32),
            },
        ),
    ],
    ids=["xception_41", "mobilenet_v2"],
)
def test_a_backbone_trained_on_imagenet(backbone, names, classifier):
    """For a model it stands under "backbone/"; by itself the strict engine wants no model."""
    source = _tensors(names | classifier)
    leaves = {
        path.replace("/", "/backbone/", 1): leaf
        for path, leaf in match.leaves_of(shapes_of(backbone))
    }
    table, fresh = place.chosen(
        table_of(source), {**leaves, "params/classifier/kernel": 0}, place.Wishes()
    )
    _assert_settled(table, source, leaves)
    assert list(fresh) == ["params/classifier/kernel"]


def test_the_pooled_channels_of_the_projection_come_last():
    names = slim.resnet(50) | slim.aspp(2048) | slim.logits()
    (entry,) = (e for e in table_of(names).entries if e.source == "concat_projection/weights")
    order = np.repeat(["pooled", "1x1", "6", "12", "18"], 256)
    turned = entry.transform(order.reshape(1, 1, -1, 1)).ravel()
    assert list(turned[::256]) == ["1x1", "6", "12", "18", "pooled"]
    names = slim.resnet(50) | slim.aspp(2048, image_pooling=False) | slim.logits()
    (entry,) = (e for e in table_of(names).entries if e.source == "concat_projection/weights")
    np.testing.assert_array_equal(entry.transform(order[256:]), order[256:])


def test_depthwise_kernels_turn_their_last_axes():
    names = slim.mobilenet_v2() | slim.logits()
    kernel = np.random.default_rng(0).normal(size=(3, 3, 5, 1))
    (entry,) = (
        e
        for e in tf.deeplab(names).entries
        if e.source == "MobilenetV2/expanded_conv_3/depthwise/depthwise_weights"
    )
    assert entry.target == "params/backbone/layer_5/depthwise/kernel"
    np.testing.assert_array_equal(entry.transform(kernel)[:, :, 0], kernel[..., 0])


def test_pixels():
    beta, plain = (table_of(slim.resnet(50, beta)).normalisation for beta in (True, False))
    assert beta.mean == beta.std == (127.5, 127.5, 127.5)
    assert plain == Normalisation((123.15, 115.90, 103.06), (1.0, 1.0, 1.0))


def test_a_model_of_another_decoder_is_refused():
    model, names = NETWORKS["v3_mobilenet_v2"]
    source = _tensors(names | slim.decoder(144))
    start = match.nested(
        {
            path: np.broadcast_to(np.float32(0), leaf.shape)
            for path, leaf in match.leaves_of(shapes_of(model))
        }
    )
    with pytest.raises(ValueError, match="low_level_conv/conv/kernel"):
        adapt.take_from_file(
            source,
            table_of(source),
            adapt.Model(start, lambda *_: start, 21),
            place.Wishes(),
            file="FILE",
        )
