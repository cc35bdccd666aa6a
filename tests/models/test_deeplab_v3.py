"""DeepLab v3: published counts, rates at each output stride, reimplementations of its heads."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.xception import Xception
from jaxseg.inference.views import at_output_stride
from jaxseg.layers.aspp import ASPP
from jaxseg.layers.compute import PLAIN
from jaxseg.models.compat import smp_deeplab_v3, torchvision_deeplab_v3
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import DeepLabV3Plus
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images, narrow, parameters, resnet

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "DeepLabV3": [
        DeepLabV3(5, ResNet(depth=18, extra_blocks=1, stride_at="last_3x3"), aspp=False),
        DeepLabV3(5, Xception(depth=71, middle_modules=1), aspp_separable=True),
    ],
}


@pytest.mark.parametrize(
    ("model", "published"),
    [
        (DeepLabV3(21, resnet(50)), 39_172_309),
        (DeepLabV3(21, resnet(50, "7x7")), 39_048_533),
        (DeepLabV3(21, resnet(101)), 58_164_437),
        (DeepLabV3(21, resnet(101, "7x7")), 58_040_661),
        (DeepLabV3(19, resnet(101)), 58_163_923),
        (DeepLabV3(151, resnet(101)), 58_197_847),
        (DeepLabV3(21, resnet(50), image_pooling=False), 38_581_973),
        (DeepLabV3(21, resnet(101), image_pooling=False), 57_574_101),
        (torchvision_deeplab_v3(50, 21, aux=False), 39_638_869),
        (torchvision_deeplab_v3(101, 21, aux=False), 58_630_997),
        (torchvision_deeplab_v3(50, 21), 42_004_074),
        (torchvision_deeplab_v3(101, 21), 60_996_202),
        # The released MobileNetV2 models have image pooling and a 1x1, but no atrous branches.
        (DeepLabV3(21, MobileNetV2(), atrous_rates=()), 2_113_557),
        (DeepLabV3(19, MobileNetV2(), atrous_rates=()), 2_113_043),
        (DeepLabV3(21, MobileNetV2(width=0.5, divisible_by=1), atrous_rates=()), 697_013),
    ],
)
def test_published_counts(model, published):
    assert parameters(model) == published


@pytest.mark.parametrize(
    ("depth", "published"),
    [
        (50, (23_674_837, 37_062_613, 50_450_389, 63_838_165)),
        (101, (42_666_965, 56_054_741, 69_442_517, 82_830_293)),
    ],
)
def test_published_counts_of_the_cascade_up_to_block_4_to_7(depth, published):
    for blocks, expected in enumerate(published):
        if depth == 101 and blocks in (1, 2):
            continue  # each block adds as much as to ResNet-50
        backbone = resnet(depth, extra_blocks=blocks)
        assert parameters(DeepLabV3(21, backbone, aspp=False)) == expected
    assert set(np.diff(published)) == {13_387_776}


def test_a_whole_model_has_the_parameters_of_its_parts():
    assert count(shapes_of(DeepLabV3(21, resnet(50)))) == 39_172_309


SMALL = DeepLabV3(5, resnet(18, width=4), aspp_features=8, atrous_rates=(2, 4), compute=PLAIN)


def _rates(model):
    """Returns the rates of ASPP's convolutions when the model is called."""
    seen = []

    def record(call, arguments, keywords, context):
        if isinstance(context.module, ASPP):
            seen.append(context.module.rates)
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        shapes_of(model)
    (rates,) = set(seen)
    return rates


@pytest.mark.parametrize("family", [DeepLabV3, DeepLabV3Plus])
@pytest.mark.parametrize(
    ("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))]
)
def test_rates_follow_the_stride_of_the_backbone(family, output_stride, rates):
    model = family(5, ResNet(depth=18, width=4), aspp_features=8)
    assert _rates(at_output_stride(model, output_stride)) == rates


@pytest.mark.parametrize("output_stride", [8, 16])
def test_rates_of_torchvision_and_smp_are_unscaled(output_stride):
    assert _rates(narrow(torchvision_deeplab_v3(18, 5))) == (12, 24, 36)
    model = smp_deeplab_v3(18, 5, output_stride=output_stride)
    assert _rates(narrow(model)) == (12, 24, 36)


def test_a_fractional_rate_is_refused():
    with pytest.raises(ValueError, match=r"holds 3, .* at output stride 32 that is 1\.5"):
        shapes_of(at_output_stride(SMALL.clone(atrous_rates=(2, 3)), 32))


FEW = {"stage_units": (1, 1, 1, 2)}  # bottlenecks; two in the last stage, for a multi-grid


@pytest.mark.parametrize("aspp", [True, False])
def test_the_output_stride_can_be_changed_after_training(aspp):
    """Without image pooling and at sizes 32 k + 1, logits agree where the grids coincide.

    Upsampling with aligned corners reproduces its inputs at multiples of the stride.
    """
    backbone = resnet(50, "7x7", width=2, multi_grid=(1, 2), extra_blocks=0 if aspp else 1, **FEW)
    model = SMALL.clone(backbone=backbone.clone(compute=PLAIN), aspp=aspp, image_pooling=False)
    variables = random_variables(model)
    x = images((65, 97))
    strides = (8, 16, 32)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, x):
        return [at_output_stride(model, s).apply(variables, x, train=False) for s in strides]

    outputs = run(variables, x)
    coarse = np.asarray(outputs[-1]["logits"])[:, ::32, ::32]
    spread = coarse.std((0, 1, 2)).min()
    assert spread > 1e-2
    for stride, other in zip(strides, outputs, strict=True):
        assert other["features"].shape[1:3] == (64 // stride + 1, 96 // stride + 1)
        assert other["logits"].shape == (1, 65, 97, 5)
        logits = np.asarray(other["logits"])[:, ::32, ::32]
        np.testing.assert_allclose(logits, coarse, atol=1e-3 * spread)


def _conv_norm(x, params, stats):
    """Applies a convolution of rate 1, batch norm with running statistics and ReLU."""
    kernel = params["conv"]["kernel"]
    numbers = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    y = (y - stats["norm"]["mean"]) / np.sqrt(stats["norm"]["var"] + 1e-5)
    return np.maximum(y * params["norm"]["scale"] + params["norm"]["bias"], 0)


def _classified(x, params, size):
    """Applies a 1x1 convolution, and np.interp along both axes with aligned corners."""
    y = np.asarray(x @ params["kernel"][0, 0] + params["bias"], np.float64)
    for axis, outputs in zip((1, 2), size, strict=True):
        inputs = y.shape[axis]
        positions = np.linspace(0, inputs - 1, outputs)
        y = np.apply_along_axis(lambda v: np.interp(positions, np.arange(len(v)), v), axis, y)  # noqa: B023
    return y


def test_heads_match_a_reimplementation():
    """The auxiliary head uses stage 3, independently of the main head on stage 4."""
    backbone = ResNet(depth=50, width=2, compute=PLAIN, **FEW)
    model = SMALL.clone(backbone=backbone, aux_features=6, extra_convs=1)
    variables = random_variables(model)
    params, stats = variables["params"], variables["batch_stats"]
    x = images((34, 41))
    ends = {}

    def keep(call, arguments, keywords, context):
        found = call(*arguments, **keywords)
        if isinstance(context.module, ASPP):
            ends["aspp"] = found
        if isinstance(context.module, ResNet) and context.method_name == "__call__":
            ends.update(found)
        return found

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, x):
        with nn.intercept_methods(keep):
            return model.apply(variables, x, train=False), dict(ends)

    outputs, kept = run(variables, x)
    assert sorted(outputs) == ["aspp", "aux_logits", "coarse_logits", "features", "logits"]
    refined = _conv_norm(kept["aspp"], params["extra_conv1"], stats["extra_conv1"])
    np.testing.assert_allclose(outputs["aspp"], refined, rtol=1e-4, atol=1e-4)
    aux = _conv_norm(kept["stage3"], params["aux_conv"], stats["aux_conv"])
    for name, head, features in (
        ("logits", "classifier", refined),
        ("aux_logits", "aux_classifier", aux),
    ):
        expected = _classified(features, params[head], x.shape[1:3])
        assert outputs[name].dtype == jnp.float32
        assert expected.std() > 0.1
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-3, atol=1e-3)


def test_an_auxiliary_head_needs_a_stage_3():
    with pytest.raises(ValueError, match="stage 3 of a ResNet, and MobileNetV2 has none"):
        shapes_of(DeepLabV3(5, MobileNetV2(), aux_features=8))


def test_an_output_stride_beyond_the_network_is_refused():
    """Otherwise rates would be scaled for a coarser map than the network computes."""
    with pytest.raises(ValueError, match="output_stride is 64: the network ends at stride 32"):
        shapes_of(DeepLabV3(5, MobileNetV2(output_stride=64), atrous_rates=(8,)))


def test_the_cascade_has_no_aspp_and_no_dropout():
    model = SMALL.clone(backbone=resnet(18, width=4, extra_blocks=1), aspp=False)
    variables = shapes_of(model)
    assert [name for name in variables["params"] if name != "backbone"] == ["classifier"]
    outputs, _ = jax.eval_shape(
        lambda v: model.apply(v, images((33, 33)), train=True, mutable=["batch_stats"]), variables
    )  # needs no rng
    assert sorted(outputs) == ["coarse_logits", "features", "logits"]


def test_training_with_one_image_keeps_the_pooled_statistics():
    """With a single value per channel, batch norm uses running statistics (see `NormLayer`)."""
    backbone = resnet(50, "7x7", width=2, compute=PLAIN, **FEW)
    model = SMALL.clone(atrous_rates=(), backbone=backbone, dropout=0.0)
    variables = random_variables(model)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def step(variables, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])

    outputs, updates = step(variables, images((40, 33)))
    assert np.isfinite(outputs["logits"]).all()
    assert np.asarray(outputs["logits"]).std() > 1e-3
    same = jax.tree.map(
        lambda a, b: np.array_equal(a, b), updates["batch_stats"], variables["batch_stats"]
    )
    assert jax.tree.leaves(same["aspp"].pop("image_pooling")) == [True, True]
    assert not any(jax.tree.leaves(same))
