"""DeepLab v3+: published counts, a reimplementation of its decoder, skips from any end point."""

import dataclasses
import functools

import flax.linen as nn
import jax
import numpy as np
import pytest
from jax import lax

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.xception import MIDDLE, Xception
from jaxseg.inference.views import at_output_stride
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.conv import Conv, SeparableConv
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import (
    SEPARABLE_INITS,
    Decoder,
    DeepLabV3Plus,
    Separable,
)
from tests.helpers.variables import random_variables, shapes_of
from tests.models.networks import QUICK, end_points, images, parameters, resnet

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "DeepLabV3Plus": [
        DeepLabV3Plus(5, ResNet(depth=18)),
        DeepLabV3Plus(
            5,
            MobileNetV2(),
            separable=Separable(decoder=True),
            decoder=Decoder("layer_4_depthwise"),
        ),
        DeepLabV3Plus(
            5,
            Xception(depth=41, middle_modules=1),
            separable=Separable(aspp=True, decoder=True),
            decoder=Decoder("entry2_pointwise2"),
        ),
        DeepLabV3Plus(5, ResNet(depth=18), decoder=Decoder(middle_levels=("stage3",))),
    ],
}


SEPARABLE = Separable(aspp=True, decoder=True)
RELEASED = Decoder("stage1_residual")


@pytest.mark.parametrize(
    ("model", "published"),
    [
        (DeepLabV3Plus(21, resnet(50)), 40_475_957),
        (DeepLabV3Plus(21, resnet(101)), 59_468_085),
        (DeepLabV3Plus(21, resnet(101, "7x7")), 59_344_309),
        (DeepLabV3Plus(21, resnet(101), separable=SEPARABLE), 45_812_037),
        (DeepLabV3Plus(19, resnet(101)), 59_468_085 - 514),
        (DeepLabV3Plus(151, resnet(101)), 59_468_085 + 33_410),
        # With and without the decoder, on the same encoder.
        (DeepLabV3Plus(21, resnet(50), decoder=RELEASED), 39_172_309 + 1_303_648),
        (DeepLabV3Plus(21, resnet(50), separable=Separable(decoder=True)), 39_172_309 + 162_928),
        # For ADE20K in the released model zoo.
        (
            DeepLabV3Plus(
                151,
                MobileNetV2(),
                atrous_rates=(),
                decoder=Decoder("layer_4_depthwise"),
                separable=Separable(decoder=True),
            ),
            2_304_519,
        ),
    ],
)
def test_published_counts(model, published):
    assert parameters(model) == published


def xception(depth, classes=21, output_stride=16, decoder=True, separable=True):
    """Returns the networks of Table 5, and the same heads on other depths."""
    backbone = Xception(depth=depth, output_stride=output_stride)
    if not decoder:
        return DeepLabV3(classes, backbone)
    low = "entry3_pointwise2" if depth == 71 else "entry2_pointwise2"
    kind = Separable(separable, separable, init="truncated_normal" if separable else "he_normal")
    return DeepLabV3Plus(classes, backbone, decoder=Decoder(low), separable=kind)


class Maps(nn.Module):
    """The end points of Xception that a head uses, computed by one 1x1 convolution each."""

    output_stride: int

    @nn.compact
    def __call__(self, x, *, train):
        features = Conv(2048, 1, self.output_stride, compute=PLAIN)(x)
        return {"low": Conv(256, 1, 4, compute=PLAIN)(x), "features": features}


@functools.cache
def _with_middle(depth, output_stride, modules):
    """Returns multiply-adds at 513 x 513 and parameters for a number of middle modules."""
    model = Xception(depth=depth, output_stride=output_stride, middle_modules=modules)
    found = summary.summarize(model, (513, 513))
    return np.array([found.multiply_adds, found.parameters])


def _cost(model):
    """Returns multiply-adds at 513 x 513 and parameters; modules of the middle flow are equal."""
    depth, output_stride = model.backbone.depth, model.backbone.output_stride
    one, two = (_with_middle(depth if depth == 71 else 41, output_stride, n) for n in (1, 2))
    backbone = one + (MIDDLE[depth] - 1) * (two - one)
    head = model.clone(backbone=Maps(output_stride))
    if isinstance(model, DeepLabV3Plus):
        head = head.clone(decoder=Decoder("low"))
    layers = summary.summarize(head, (513, 513)).layers
    own = [layer for layer in layers if not layer.path.startswith("backbone")]
    return backbone + np.sum([(layer.multiply_adds, layer.parameters) for layer in own], axis=0)


@pytest.mark.parametrize(
    ("depth", "fields", "published", "at_16", "at_8"),
    [
        (41, {}, 28_108_661, 40.01, 122.45),
        (65, {}, 41_055_413, 54.04, 176.85),
        (65, {"separable": False}, 54_711_461, 86.68, 248.78),
        (65, {"separable": False, "decoder": False}, 53_407_813, 64.92, 227.04),
        (71, {}, 43_477_837, 66.07, 189.96),
    ],
)
def test_published_counts_and_costs_on_xception(depth, fields, published, at_16, at_8):
    for output_stride, billions in ((16, at_16), (8, at_8)):
        multiply_adds, count = _cost(xception(depth, output_stride=output_stride, **fields))
        assert count == published
        assert round(multiply_adds / 1e9, 2) == billions


def test_published_counts_on_xception_for_other_data_sets():
    assert _cost(xception(65, classes=19))[1] == 41_055_413 - 514
    assert _cost(xception(65, classes=151))[1] == 41_055_413 + 33_410


def test_costs_at_the_size_of_cityscapes():
    """For the released models, tfprof gives 418.64 and 21.27 billion, including other layers."""
    size = (1025, 2049)
    whole = summary.summarize(xception(65, classes=19), size)
    assert whole.parameters == 41_055_413 - 514
    assert round(whole.multiply_adds / 1e9, 2) == 418.38
    mobile = DeepLabV3(19, MobileNetV2(), atrous_rates=())
    assert round(summary.summarize(mobile, size).multiply_adds / 1e9, 2) == 21.23


@pytest.mark.parametrize(
    ("fields", "convs", "width", "kernel", "reduced", "levels"),
    [
        # Table 1
        *(({"low_level_features": n, "convs": 1}, 1, 256, 3, n, 1) for n in (8, 64)),
        # Table 2
        ({"convs": 1}, 1, 256, 3, 48, 1),
        ({}, 2, 256, 3, 48, 1),
        ({"convs": 3}, 3, 256, 3, 48, 1),
        ({"convs": 1, "features": 128}, 1, 128, 3, 48, 1),
        ({"convs": 1, "kernel_size": 1}, 1, 256, 1, 48, 1),
        ({"convs": 1, "middle_levels": ("stage2_residual",)}, 1, 256, 3, 48, 2),
    ],
)
def test_decoders_that_the_paper_compares(fields, convs, width, kernel, reduced, levels):
    """Counts the parameters of each level: a projection, a first and further convolutions."""
    model = DeepLabV3Plus(21, resnet(50), decoder=Decoder("stage1_residual", **fields))
    expected, comes_up = 0, 256  # ASPP's
    for channels in (512, 256)[-levels:]:
        expected += reduced * (channels + 2)
        expected += width * (kernel**2 * (comes_up + reduced) + 2)
        expected += (convs - 1) * width * (kernel**2 * width + 2)
        comes_up = width
    encoder = 39_172_309 - 21 * 257
    assert parameters(model) == encoder + expected + 21 * (width + 1)


SMALL = DeepLabV3Plus(
    5,
    ResNet(depth=18, width=4, compute=PLAIN),
    atrous_rates=(2,),
    aspp_features=6,
    decoder=Decoder(low_level_features=3, features=4),
    compute=PLAIN,
)


def small(**fields):
    """Returns the small network with changed fields of its decoder."""
    return SMALL.clone(decoder=dataclasses.replace(SMALL.decoder, **fields))


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        (SMALL.backbone, "stem"),
        (SMALL.backbone, "stage1"),
        (SMALL.backbone, "stage1_residual"),
        (SMALL.backbone, "stage2"),
        (SMALL.backbone, "stage3_residual"),
        (SMALL.backbone, "features"),
        (MobileNetV2(width=0.1), "layer_1"),
        (MobileNetV2(width=0.1), "layer_7_depthwise"),
    ],
)
def test_the_skip_comes_from_any_end_point(backbone, name):
    ends = end_points(backbone)
    model = small(low_level=name).clone(backbone=ends)
    outputs, variables = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), images((33, 33)), train=False)
    )
    *size, channels = ends.shapes[name]
    assert outputs["decoder"].shape == (*size, 4)
    assert outputs["logits"].shape == (1, 33, 33, 5)
    kernel = variables["params"]["low_level_conv"]["conv"]["kernel"]
    assert kernel.shape == (1, 1, channels, 3)


def test_an_unknown_end_point_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"low_level is 'stage9': the backbone has stem, stage1"):
        shapes_of(small(low_level="stage9"))


def _apply_and_keep(model, variables, x):
    """Returns the outputs and the end points of the backbone."""
    ends = {}

    def keep(call, arguments, keywords, context):
        found = call(*arguments, **keywords)
        if isinstance(context.module, ResNet) and context.method_name == "__call__":
            ends.update(found)
        return found

    with nn.intercept_methods(keep):
        return model.apply(variables, x, train=False), dict(ends)


def _convolve(x, kernel, groups=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def _norm_relu(y, params, stats):
    y = (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    return np.maximum(y * params["scale"] + params["bias"], 0)


def _conv_norm(x, params, stats):
    """Applies a convolution, or a separable one, with a norm and ReLU after each (half)."""
    if "conv" in params:
        return _norm_relu(_convolve(x, params["conv"]["kernel"]), params["norm"], stats["norm"])
    for name, groups in (("depthwise", x.shape[-1]), ("pointwise", 1)):
        norm = f"{name}_norm"
        x = _norm_relu(_convolve(x, params[name]["kernel"], groups), params[norm], stats[norm])
    return x


def _upsampled(x, size):
    """Upsamples with np.interp along both axes and aligned corners."""
    for axis, outputs in zip((1, 2), size, strict=True):
        positions = np.linspace(0, x.shape[axis] - 1, outputs)
        x = np.apply_along_axis(
            lambda v, p=positions: np.interp(p, np.arange(len(v)), v), axis, np.asarray(x)
        )
    return x.astype(np.float32)


@pytest.mark.parametrize(
    ("separable", "middle"), [(False, ()), (True, ()), (False, ("stage2_residual",))]
)
def test_matches_a_reimplementation_of_figure_2(separable, middle):
    """Concatenates encoder and low level, applies two convolutions and a classifier, upsamples.

    A middle level is decoded first, and its output is then combined with the low level.
    """
    model = small(low_level="stage1_residual", middle_levels=middle)
    model = model.clone(separable=Separable(decoder=separable))
    variables = random_variables(model)
    params, stats = variables["params"], variables["batch_stats"]
    x = images((33, 42))
    run = jax.jit(lambda v, x: _apply_and_keep(model, v, x), compiler_options=QUICK)
    outputs, ends = run(variables, x)
    assert ("depthwise" in params["decoder_conv1"]) == separable
    y = outputs["aspp"]
    steps = [(level, f"middle{n}_") for n, level in enumerate(middle, start=1)]
    for level, prefix in [*steps, ("stage1_residual", "")]:
        name = f"{prefix}low_level_conv"
        low = _conv_norm(ends[level], params[name], stats[name])
        y = np.concatenate([_upsampled(y, low.shape[1:3]), low], axis=-1)
        for name in (f"{prefix}decoder_conv1", f"{prefix}decoder_conv2"):
            y = _conv_norm(y, params[name], stats[name])
    assert np.asarray(y).std() > 0.1
    np.testing.assert_allclose(outputs["decoder"], y, rtol=1e-3, atol=1e-3)
    y = np.asarray(y) @ params["classifier"]["kernel"][0, 0] + params["classifier"]["bias"]
    expected = _upsampled(y, x.shape[1:3])
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-3, atol=1e-3)


class Given(nn.Module):
    """End points that do not depend on the image."""

    output_stride: int
    ends: dict

    def __call__(self, x, *, train):
        return self.ends


def test_every_level_is_used():
    """Zeroing the weights for a level, or for the upsampled map, changes the logits."""
    ends = end_points(SMALL.backbone)
    rng = np.random.default_rng(0)
    drawn = {name: rng.normal(size=shape).astype(np.float32) for name, shape in ends.shapes.items()}
    model = small(middle_levels=("stage3", "stage2"), convs=1).clone(backbone=Given(16, drawn))
    variables = random_variables(model)
    x = images((33, 33))
    logits = jax.jit(lambda v: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)

    def run(variables):
        return np.asarray(logits(variables))  # done before the kernels, which it may share, change

    before = run(variables)
    reduced = SMALL.decoder.low_level_features
    for prefix in ("middle1_", "middle2_", ""):
        kernel = variables["params"][f"{prefix}decoder_conv1"]["conv"]["kernel"]
        for part in (slice(0, -reduced), slice(-reduced, None)):
            kept = kernel[:, :, part].copy()
            kernel[:, :, part] = 0
            assert np.abs(run(variables) - before).max() > 1e-3
            kernel[:, :, part] = kept


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"middle_levels": ("stage9",)}, r"middle_levels is \('stage9',\): the backbone has "),
        ({"middle_levels": ("stem",)}, "'stage1' is a smaller map than 'stem': .* coarse to fine"),
        ({"middle_levels": ("stage2", "stage3")}, "'stage3' is a smaller map than 'stage2'"),
    ],
)
def test_an_invalid_decoder_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(small(**fields).clone(backbone=end_points(SMALL.backbone)))


def test_an_unknown_init_of_separable_convolutions_is_refused():
    model = SMALL.clone(backbone=end_points(SMALL.backbone), separable=Separable(init="normal"))
    with pytest.raises(ValueError, match=r"separable.init is 'normal': .* he_normal, truncated_"):
        shapes_of(model)


def test_separable_convolutions_can_be_initialised_as_in_the_released_code():
    """This affects ASPP, extra layers and decoder; the backbone has its own initializers."""
    seen = {}

    def record(call, arguments, keywords, context):
        if isinstance(context.module, SeparableConv):
            module = context.module
            seen[module.path] = (module.depthwise_init, module.pointwise_init)
        return call(*arguments, **keywords)

    model = SMALL.clone(
        backbone=end_points(SMALL.backbone),
        separable=dataclasses.replace(SEPARABLE, init="truncated_normal"),
        extra_convs=1,
    )
    with nn.intercept_methods(record):
        shapes_of(model)
    assert len(seen) == 4
    inits = SEPARABLE_INITS["truncated_normal"]
    assert set(seen.values()) == {inits}
    for init, deviation in zip(inits, (0.33, 0.06), strict=True):
        drawn = init(jax.random.key(0), (40_000,))
        # Of a normal distribution truncated at two standard deviations.
        np.testing.assert_allclose(drawn.std(), 0.8796 * deviation, rtol=0.02)
        assert np.abs(drawn).max() <= 2 * deviation


def test_the_output_stride_of_the_encoder_can_be_changed_after_training():
    """At 8 the decoder gets a denser map; the encoder's outputs agree where the grids coincide."""
    model = SMALL.clone(image_pooling=False)
    variables = random_variables(model)
    x = images((49, 64))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, x):
        return [at_output_stride(model, s).apply(variables, x, train=False) for s in (8, 16)]

    dense, strided = run(variables, x)
    assert dense["decoder"].shape == strided["decoder"].shape == (1, 13, 16, 4)
    assert np.asarray(strided["aspp"]).std() > 0.1
    np.testing.assert_allclose(dense["aspp"][:, ::2, ::2], strided["aspp"], rtol=1e-3, atol=1e-3)
    assert not np.allclose(dense["logits"], strided["logits"], rtol=1e-3, atol=1e-3)
