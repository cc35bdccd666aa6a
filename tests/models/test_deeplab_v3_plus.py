"""DeepLab v3+: published counts, its decoder written out again, a skip from any end point."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest
from jax import lax

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.inference import at_output_stride
from jaxseg.models.deeplab_v3_plus import DeepLabV3Plus
from tests.models.networks import QUICK, end_points, images, parameters, resnet
from tests.variables import random_variables, shapes_of

SEPARABLE = {"aspp_separable": True, "decoder_separable": True}


@pytest.mark.parametrize(
    ("model", "published"),
    [
        (DeepLabV3Plus(21, resnet(50)), 40_475_957),
        (DeepLabV3Plus(21, resnet(101)), 59_468_085),
        (DeepLabV3Plus(21, resnet(101, "7x7")), 59_344_309),
        (DeepLabV3Plus(21, resnet(101), **SEPARABLE), 45_812_037),
        (DeepLabV3Plus(19, resnet(101)), 59_468_085 - 514),
        (DeepLabV3Plus(151, resnet(101)), 59_468_085 + 33_410),
        # The decoder alone: with and without it, on the same encoder (facts 1.2).
        (DeepLabV3Plus(21, resnet(50), low_level="stage1_residual"), 39_172_309 + 1_303_648),
        (DeepLabV3Plus(21, resnet(50), decoder_separable=True), 39_172_309 + 162_928),
        # ADE20K's in the released model zoo.
        (
            DeepLabV3Plus(
                151,
                MobileNetV2(),
                atrous_rates=(),
                low_level="layer_4_depthwise",
                decoder_separable=True,
            ),
            2_304_519,
        ),
    ],
)
def test_published_counts(model, published):
    assert parameters(model) == published


SMALL = DeepLabV3Plus(
    5,
    ResNet(depth=18, width=4, form="plain"),
    atrous_rates=(2,),
    aspp_features=6,
    low_level_features=3,
    decoder_features=4,
    form="plain",
)


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
    model = SMALL.clone(backbone=ends, low_level=name)
    outputs, variables = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), images((33, 33)), train=False)
    )
    *size, channels = ends.shapes[name]
    assert outputs["decoder"].shape == (*size, 4)
    assert outputs["logits"].shape == (1, 33, 33, 5)
    kernel = variables["params"]["low_level_conv"]["conv"]["kernel"]
    assert kernel.shape == (1, 1, channels, 3)


def test_an_unknown_end_point_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"low_level is 'stage9': there are stem, stage1, stage1_"):
        shapes_of(SMALL.clone(low_level="stage9"))


def _apply_and_keep(model, variables, x):
    """The outputs and the backbone's end points."""
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
    """Of a plain convolution, or of a separable one with a norm and ReLU after each half."""
    if "conv" in params:
        return _norm_relu(_convolve(x, params["conv"]["kernel"]), params["norm"], stats["norm"])
    for name, groups in (("depthwise", x.shape[-1]), ("pointwise", 1)):
        norm = f"{name}_norm"
        x = _norm_relu(_convolve(x, params[name]["kernel"], groups), params[norm], stats[norm])
    return x


def _upsampled(x, size):
    """np.interp along both axes, corners aligned."""
    for axis, outputs in zip((1, 2), size, strict=True):
        positions = np.linspace(0, x.shape[axis] - 1, outputs)
        x = np.apply_along_axis(
            lambda v, p=positions: np.interp(p, np.arange(len(v)), v), axis, np.asarray(x)
        )
    return x.astype(np.float32)


@pytest.mark.parametrize("separable", [False, True])
def test_figure_2_written_out(separable):
    """[encoder, low level], two convolutions, a classifier; interpolated with aligned corners."""
    model = SMALL.clone(decoder_separable=separable, low_level="stage1_residual")
    variables = random_variables(model)
    params, stats = variables["params"], variables["batch_stats"]
    x = images((33, 42))
    run = jax.jit(lambda v, x: _apply_and_keep(model, v, x), compiler_options=QUICK)
    outputs, ends = run(variables, x)
    low = ends["stage1_residual"]
    low = _conv_norm(low, params["low_level_conv"], stats["low_level_conv"])
    y = np.concatenate([_upsampled(outputs["aspp"], low.shape[1:3]), low], axis=-1)
    assert ("depthwise" in params["decoder_conv1"]) == separable
    for name in ("decoder_conv1", "decoder_conv2"):
        y = _conv_norm(y, params[name], stats[name])
    assert np.asarray(y).std() > 0.1
    np.testing.assert_allclose(outputs["decoder"], y, rtol=1e-3, atol=1e-3)
    y = np.asarray(y) @ params["classifier"]["kernel"][0, 0] + params["classifier"]["bias"]
    expected = _upsampled(y, x.shape[1:3])
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-3, atol=1e-3)


def test_the_encoder_trained_at_16_is_evaluated_at_8_by_one_field():
    """The decoder sees more at 8, the encoder the same where the grids meet."""
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
