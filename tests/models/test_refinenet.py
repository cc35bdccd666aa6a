"""RefineNet: published counts, its parts against loops, use of every path."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxseg.layers.compute import PLAIN
from jaxseg.models.refinenet import (
    ChainedResidualPooling,
    RefineNet,
    ResidualConvUnit,
    refinenet_backbone,
)
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, EndPoints, end_points, images, parameters

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "RefineNet": [
        RefineNet(5, refinenet_backbone(18), adapt_units=1, pooling_stages=1, output_units=1),
        RefineNet(5, refinenet_backbone(18), 2, pooling_stages=2, pool_first=False),
    ],
}


CASCADES = pytest.mark.parametrize("cascades", [4, 2, 1])


@pytest.mark.parametrize(
    ("depth", "classes", "published"),
    [
        (50, 21, 99_060_309),
        (101, 21, 118_052_437),
        (152, 21, 133_696_085),
        (50, 60, 99_060_309 + 89_895),
        (50, 19, 99_060_309 - 4_610),
    ],
)
def test_published_counts(depth, classes, published):
    assert parameters(RefineNet(classes, refinenet_backbone(depth))) == published


def test_the_published_count_of_the_head():
    assert count(shapes_of(RefineNet(21, end_points(refinenet_backbone(50))))) == 75_552_277


@pytest.mark.parametrize(
    ("cascades", "expected"),
    [
        (4, [(2, 2, 512), (3, 3, 256), (5, 5, 256), (9, 9, 256)]),
        (2, [(3, 3, 256), (9, 9, 256)]),
        (1, [(9, 9, 256)]),
    ],
)
def test_each_block_outputs_the_largest_map_of_its_paths(cascades, expected):
    model = RefineNet(21, end_points(refinenet_backbone(50)), cascades)
    outputs = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), jnp.zeros((1, 33, 33, 3)), train=False)[0]
    )
    names = [name for name in outputs if name.startswith("refined")]
    assert names == [f"refined{number}" for number in range(1, cascades + 1)]
    assert [outputs[name].shape[1:] for name in names] == expected


class FourMaps(nn.Module):
    """Stages of different sizes, each computed from the image by one convolution."""

    @nn.compact
    def __call__(self, x, *, train):
        ends = {}
        for stage in (1, 2, 3, 4):
            x = nn.Conv(4, (3, 3), 2, name=f"stage{stage}")(x)
            ends[f"stage{stage}"] = x
        return ends | {"features": x}


def _small(cascades, **fields):
    fields = {"head_features": 4, "pooling_stages": 1, "output_units": 1} | fields
    return RefineNet(3, FourMaps(), cascades, adapt_units=1, compute=PLAIN, **fields)


@CASCADES
def test_every_path_is_used(cascades):
    """Removing a stage, or the output of the previous block, changes the logits."""
    model = _small(cascades)
    x = images((37, 50))
    variables = random_variables(model)
    run = jax.jit(lambda v: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)
    before = run(variables)
    assert np.isfinite(before).all()
    flat = traverse_util.flatten_dict(variables)
    paths = [path for path in flat if path[2].startswith("reduce") or path[2] == "fuse_refined"]
    assert len(paths) == 4 + cascades - 1
    for path in paths:
        changed = traverse_util.unflatten_dict(flat | {path: 0 * flat[path]})
        assert np.abs(run(changed) - before).max() > 1e-3, path


@CASCADES
def test_dropout_is_on_the_two_deep_stages_and_the_classifier(cascades):
    seen = []

    def record(call, arguments, keywords, context):
        if isinstance(context.module, nn.Dropout):
            seen.append((arguments[0].shape[1], context.module.rate))
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        shapes_of(_small(cascades), (64, 64))
    assert seen == [(4, 0.5), (8, 0.5), (32, 0.5)]


def _convolved(x, kernel):
    """Applies a 3x3 convolution with a padding of 1, as a sum over its taps."""
    height, width = x.shape[1:3]
    x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    return sum(
        x[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)
    )


def _pooled(x):
    """Returns the maximum of the 5x5 pixels around each pixel, ignoring those outside the map."""
    y = np.zeros_like(x)
    for i, j in np.ndindex(x.shape[1:3]):
        y[:, i, j] = x[:, max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].max(axis=(1, 2))
    return y


def _run(module, x):
    """Returns random parameters of the module and its output."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    return variables["params"], jax.jit(module.apply, compiler_options=QUICK)(variables, x)


def test_a_residual_unit_matches_a_reimplementation():
    x = images((6, 7))
    params, ours = _run(ResidualConvUnit(nn.initializers.zeros, compute=PLAIN), x)
    y = _convolved(np.maximum(x, 0), params["conv1"]["kernel"]) + params["conv1"]["bias"]
    assert set(params["conv2"]) == {"kernel"}
    expected = x + _convolved(np.maximum(y, 0), params["conv2"]["kernel"])
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stages", [2, 4])
@pytest.mark.parametrize("pool_first", [True, False])
def test_chained_pooling_matches_a_reimplementation(stages, pool_first):
    x = images((7, 9))
    module = ChainedResidualPooling(stages, pool_first, nn.initializers.zeros, compute=PLAIN)
    params, ours = _run(module, x)
    total = stage = np.maximum(x, 0)
    for number in range(1, stages + 1):
        kernel = params[f"conv{number}"]["kernel"]
        stage = (
            _convolved(_pooled(stage), kernel) if pool_first else _pooled(_convolved(stage, kernel))
        )
        total = total + stage
    np.testing.assert_allclose(ours, total, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("scaled", "of_paths"), [(False, 0.01), (True, (2 / 9 / 32) ** 0.5)])
def test_kernels_are_initialised_from_a_normal_distribution(scaled, of_paths):
    model = _small(1, head_features=32, pooling_stages=0, output_units=0, scale_paths=scaled)

    def kernels(key):
        params = model.init(key, jnp.zeros((1, 32, 32, 3)), train=False)["params"]
        block = params["refine1"]
        return block["fuse1"], params["classifier"], block["adapt1_unit1"]["conv1"]

    fuse, classifier, unit = jax.jit(kernels, compiler_options=QUICK)(jax.random.key(0))
    assert np.std(unit["kernel"]) == pytest.approx(0.01, rel=0.05)
    for path in (fuse, classifier):
        assert np.std(path["kernel"]) == pytest.approx(of_paths, rel=0.05)


def test_invalid_cascades_and_backbones_are_refused():
    with pytest.raises(ValueError, match="cascades is 3: it must be one of 4, 2, 1"):
        shapes_of(_small(3))
    lacking = EndPoints(8, {"stage1": (1, 9, 9, 4), "stage2": (1, 5, 5, 4)})
    with pytest.raises(ValueError, match="EndPoints has no stage3"):
        shapes_of(_small(4).clone(backbone=lacking))
