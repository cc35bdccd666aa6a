"""PSPNet: published counts, pooling against loops, a reimplementation of the head."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.resize import resize_bilinear
from jaxseg.models.pspnet import PSPNet, PyramidPooling, pool_to_grid, pspnet_backbone
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images, narrow, parameters

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "PSPNet": [PSPNet(5, pspnet_backbone(18)), PSPNet(5, ResNet(depth=18), (1, 3), "max", False)],
}


@pytest.mark.parametrize(
    ("depth", "classes", "training", "evaluation"),
    [
        (50, 21, 49_081_578, 46_716_373),
        (50, 19, 49_080_038, 46_715_347),
        (50, 150, 49_180_908, 46_782_550),
        (101, 21, 68_073_706, 65_708_501),
        (101, 19, 68_072_166, 65_707_475),
        (101, 150, 68_173_036, 65_774_678),
        (152, 21, 83_717_354, 81_352_149),
    ],
)
def test_published_counts(depth, classes, training, evaluation):
    model = PSPNet(classes, pspnet_backbone(depth))
    assert parameters(model) == training
    assert parameters(model.clone(aux_features=0)) == evaluation


def test_the_pyramid_has_its_published_count():
    variables = jax.eval_shape(
        lambda: PyramidPooling().init(jax.random.key(0), jnp.zeros((1, 6, 6, 2048)), train=False)
    )
    assert count(variables) == 4_198_400


def test_every_unit_of_an_atrous_stage_has_its_rate():
    """In the authors' ResNet, conv4_x has rate 2 and conv5_x rate 4, including the first units."""
    rates = {1: set(), 2: set(), 3: set(), 4: set()}
    for unit in pspnet_backbone(50).units():
        rates[unit.stage].add(unit.rates[1])
    assert rates == {1: {1}, 2: {1}, 3: {2}, 4: {4}}


@pytest.mark.parametrize("size", [(12, 12), (7, 11), (3, 2), (1, 1)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize(("pooling", "of_cell"), [("average", np.mean), ("max", np.max)])
def test_pooling_equals_loops(pooling, of_cell, bins, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    ours = pool_to_grid(x, bins, pooling)
    assert ours.shape == (2, bins, bins, 3)
    for i, j in np.ndindex(bins, bins):
        rows, columns = (
            slice(k * n // bins, -(-(k + 1) * n // bins)) for k, n in zip((i, j), size, strict=True)
        )
        expected = of_cell(x[:, rows, columns].astype(np.float64), axis=(1, 2))
        np.testing.assert_allclose(ours[:, i, j], expected, atol=1e-6)


def test_half_precision_is_accumulated_in_float32():
    """Sums 1 and 255 times 2^-8, which would not change 1 in bfloat16."""
    x = jnp.full((1, 16, 16, 1), 2.0**-8, jnp.bfloat16).at[0, 0, 0, 0].set(1)
    y = pool_to_grid(x, 1)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(float(y[0, 0, 0, 0]), (1 + 255 / 256) / 256, rtol=4e-3)


@pytest.mark.parametrize(("bins", "pooling"), [(0, "average"), (2, "mean")])
def test_an_invalid_pyramid_is_refused(bins, pooling):
    with pytest.raises(ValueError, match=r"bins contains 0|pooling is 'mean'"):
        pool_to_grid(jnp.zeros((1, 4, 4, 1)), bins, pooling)


def test_the_pyramid_matches_a_reimplementation():
    x = images((13, 9), batch=2)
    module = PyramidPooling(bins=(1, 2, 3), compute=PLAIN)
    variables = random_variables(module, (13, 9))
    ours = jax.jit(functools.partial(module.apply, train=False), compiler_options=QUICK)(
        variables, x
    )
    parts = [x]
    for bins in (1, 2, 3):
        params, stats = (variables[kind][f"level{bins}"] for kind in ("params", "batch_stats"))
        level = np.asarray(pool_to_grid(x, bins)) @ params["conv"]["kernel"][0, 0]
        norm, moved = params["norm"], stats["norm"]
        level = (level - moved["mean"]) / np.sqrt(moved["var"] + 1e-5)
        level = np.maximum(level * norm["scale"] + norm["bias"], 0)
        parts.append(resize_bilinear(level, (13, 9), convention="align_corners"))
    np.testing.assert_allclose(ours, np.concatenate(parts, axis=-1), atol=1e-5)


def test_each_level_is_used():
    """Changing the scale of any level changes the logits."""
    model = narrow(PSPNet(5, pspnet_backbone(18), compute=PLAIN)).clone(compute=PLAIN)
    x = images((33, 33))
    variables = random_variables(model)
    run = jax.jit(lambda v: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)
    before = run(variables)
    for bins in model.bins:
        changed = jax.tree.map(lambda leaf: leaf, variables)
        norm = changed["params"]["pyramid"][f"level{bins}"]["norm"]
        norm["scale"], norm["bias"] = norm["scale"] * 0, norm["bias"] * 0
        assert np.abs(run(changed) - before).max() > 1e-3


def test_an_auxiliary_head_needs_a_stage_3():
    with pytest.raises(ValueError, match="MobileNetV2 has none; set it to 0"):
        shapes_of(PSPNet(5, MobileNetV2(width=0.1)))
    shapes_of(PSPNet(5, MobileNetV2(width=0.1), aux_features=0))


def test_without_reduction_levels_keep_their_channels():
    """The rows of Table 1 without dimension reduction (DR)."""
    outputs = jax.eval_shape(
        lambda: PSPNet(5, pspnet_backbone(18), reduce=False).init_with_output(
            jax.random.key(0), jnp.zeros((1, 33, 33, 3)), train=False
        )[0]
    )
    assert outputs["pyramid"].shape == (1, 5, 5, 5 * 512)
