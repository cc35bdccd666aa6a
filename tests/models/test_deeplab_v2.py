"""DeepLab v2: published counts and sizes, rates, branches, and inputs at three scales."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.deeplab_v2 import resnet_voc
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.conv import Conv
from jaxseg.models.deeplab_v1 import large_fov_backbone
from jaxseg.models.deeplab_v2 import (
    ASPP_L,
    ASPP_S,
    MSC,
    DeepLabV2,
    deeplab_v2_resnet,
    scaled_side,
)
from jaxseg.training import optim
from tests.helpers.variables import random_variables, shapes_of
from tests.models.networks import QUICK, images, parameters

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "DeepLabV2": [
        DeepLabV2(5, large_fov_backbone().clone(depth=11), ASPP_S, 1024),
        DeepLabV2(5, deeplab_v2_resnet(18).clone(stride_at="first_3x3"), scales=(1.0, 0.5)),
    ],
}


VGG = large_fov_backbone()
RESNET = deeplab_v2_resnet(101)


@pytest.fixture
def small():
    """The model on a ResNet with one bottleneck unit per stage."""
    backbone = deeplab_v2_resnet(50).clone(stage_units=(1, 1, 1, 1), width=2)
    return DeepLabV2(3, backbone, compute=PLAIN)


@pytest.mark.parametrize(
    ("model", "classes", "published"),
    [
        (
            DeepLabV2(21, VGG, ASPP_L, 1024),
            (21, 11, 19, 60),
            (37_877_652, 37_836_652, 37_869_452, 38_037_552),
        ),
        (DeepLabV2(21, VGG, ASPP_S, 1024), (21,), (37_877_652,)),
        (DeepLabV2(21, VGG, (12,), 1024), (21,), (20_505_429,)),
        (DeepLabV2(21, RESNET, ASPP_L), (21, 19, 60), (44_048_532, 43_901_068, 46_924_080)),
        (DeepLabV2(21, RESNET, (12,)), (21,), (42_887_253,)),
        (DeepLabV2(21, RESNET, ()), (21,), (42_543_189,)),
    ],
)
def test_published_counts(model, classes, published):
    found = tuple(parameters(model.clone(num_classes=number)) for number in classes)
    assert found == published


def test_the_recipe_trains_only_convolutions():
    """Norms are frozen completely: 43,943,188 of 44,048,532 parameters are trained."""
    experiment = resnet_voc.get_config()
    params = shapes_of(experiment.model.clone(scales=(1.0,)))["params"]
    factors = optim.learning_rate_factors(params, experiment.optim.multipliers)
    pairs = list(zip(jax.tree.leaves(params), jax.tree.leaves(factors), strict=True))
    assert sum(leaf.size for leaf, factor in pairs if factor) == 43_943_188
    assert {factor for _, factor in pairs} == {0.0, 1.0, 10.0, 20.0}


def test_the_released_resnet():
    """Every 3x3 has rate 2 in res4 and 4 in res5; the stride is on the first 1x1."""
    stages = {}
    for unit in RESNET.units():
        stages.setdefault(unit.stage, []).append((unit.strides, unit.rates[1]))
    assert stages[1] == [((1, 1), 1)] * 3
    assert stages[2] == [((2, 1), 1)] + [((1, 1), 1)] * 3
    assert stages[3] == [((1, 1), 2)] * 23
    assert stages[4] == [((1, 1), 4)] * 3


@pytest.mark.parametrize(
    ("side", "seen", "maps"),
    [(321, (321, 241, 161), (41, 31, 21)), (513, (513, 385, 257), (65, 49, 33))],
)
def test_published_sizes(small, side, seen, maps):
    assert tuple(scaled_side(side, scale) for scale in MSC) == seen
    model = small.clone(scales=MSC)
    x = jnp.zeros((1, side, 33, 3))
    outputs, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False))
    names = ["coarse_logits_scale100", "coarse_logits_scale75", "coarse_logits_scale50"]
    assert tuple(outputs[name].shape[1] for name in names) == maps
    assert outputs["coarse_logits"].shape[1] == maps[0]
    assert outputs["logits"].shape == (1, side, 33, 3)


@pytest.mark.parametrize("backbone", ["resnet", "vgg"])
def test_branches_have_their_rates_and_each_is_used(small, backbone):
    if backbone == "vgg":
        small = small.clone(backbone=VGG.clone(width=2, depth=11), head_features=3)
    layers = summary.summarize(small, (33, 33)).layers
    kind = "fc6" if backbone == "vgg" else "classifier"
    rates = [row.rate for row in layers if "aspp" in row.path and kind in row.path]
    assert rates == list(ASPP_L)
    x = images((33, 33))
    variables = random_variables(small)
    run = jax.jit(functools.partial(small.apply, train=False), compiler_options=QUICK)
    before = run(variables, x)["logits"]
    for number in range(1, 5):
        aspp = dict(variables["params"]["aspp"])
        aspp[f"classifier{number}"] = jax.tree.map(np.zeros_like, aspp[f"classifier{number}"])
        changed = variables | {"params": variables["params"] | {"aspp": aspp}}
        assert np.abs(run(changed, x)["logits"] - before).max() > 1e-2


class EighthOf(nn.Module):
    """The smallest backbone at output stride 8."""

    output_stride: int = 8

    @nn.compact
    def __call__(self, x, *, train):
        return {"features": nn.relu(Conv(2, 3, 8, compute=PLAIN, name="conv")(x))}


def test_three_scales_apply_one_network_three_times():
    """Maps equal those of images resized by np.interp; the fused map is their maximum."""

    def interpolated(x, size):
        for axis, outputs in zip((1, 2), size, strict=True):
            places = np.linspace(0, x.shape[axis] - 1, outputs)
            line = functools.partial(np.interp, places, np.arange(x.shape[axis]))
            x = np.apply_along_axis(line, axis, x)
        return x.astype(np.float32)

    model = DeepLabV2(3, EighthOf(), scales=MSC, compute=PLAIN)
    one = model.clone(scales=(1.0,))
    assert shapes_of(model) == shapes_of(one)
    variables = random_variables(one)
    x = images((65, 33))
    run, run_one = (
        jax.jit(functools.partial(each.apply, train=False), compiler_options=QUICK)
        for each in (model, one)
    )
    outputs = run(variables, x)
    maps = []
    for scale, size in zip(MSC, ((65, 33), (49, 25), (33, 17)), strict=True):
        scores = run_one(variables, interpolated(x, size))["coarse_logits"]
        name = f"coarse_logits_scale{round(100 * scale)}"
        np.testing.assert_allclose(outputs[name], scores, atol=1e-4)
        maps.append(interpolated(np.asarray(scores), (9, 5)))
    fused = np.max(maps, axis=0)
    assert all((fused == each).any() for each in maps)
    np.testing.assert_allclose(outputs["coarse_logits"], fused, atol=1e-4)


def test_empty_and_zero_scales_are_refused(small):
    for scales in ((), (1.0, 0.0)):
        with pytest.raises(ValueError, match="at least one positive scale is needed"):
            shapes_of(small.clone(scales=scales))
