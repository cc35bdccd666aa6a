"""MobileNetV2: published counts and rates, the a trous identity, TensorFlow's padding."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxseg.backbones.mobilenet_v2 import BLOCKS, InvertedResidual, MobileNetV2, scaled_channels
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import DepthwiseConv

SMALL = {"width": 0.1, "divisible_by": 1}
QUICK = {"xla_backend_optimization_level": 0}  # compilation takes far longer than execution


def _init(model, size=(33, 33)):
    return jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, *size, 3)), train=False)
    )


def _random(model, seed=0):
    """Returns random variables for which features stay far from 0 through all layers."""
    return _drawn(_init(model), seed)


def _drawn(shapes, seed):
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            scale = np.sqrt(2 / np.prod(leaf.shape[:3]))
            return (scale * rng.normal(size=leaf.shape)).astype(np.float32)
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return rng.normal(size=leaf.shape).astype(np.float32) * 0.3

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("width", "divisible_by", "parameters"),
    [
        (1.0, 8, 1_811_712),  # the released code's count, without the 1280 convolution
        (0.5, 1, 477_088),  # 697,013 of the released model minus its head of 219,925
        (0.35, 8, 250_208),  # Keras: 396,128 trainable minus 145,920 of the 1280 convolution
    ],
)
def test_parameter_counts_are_the_published_ones_at_every_output_stride(
    width, divisible_by, parameters
):
    trees = [
        _init(MobileNetV2(width=width, divisible_by=divisible_by, output_stride=s)) for s in (8, 32)
    ]
    assert _count(trees[0]["params"]) == parameters
    assert all(tree == trees[0] for tree in trees)


@pytest.mark.parametrize(
    ("width", "channels"),
    [
        (1.4, (48, 24, 32, 48, 88, 136, 224, 448)),
        (1.0, (32, 16, 24, 32, 64, 96, 160, 320)),
        (0.75, (24, 16, 24, 24, 48, 72, 120, 240)),
        (0.5, (16, 8, 16, 16, 32, 48, 80, 160)),
        (0.35, (16, 8, 8, 16, 24, 32, 56, 112)),
    ],
)
def test_scaled_channels_equal_the_published_ones(width, channels):
    bases = (32, *(base for _, base, _, _ in BLOCKS))
    assert tuple(scaled_channels(base * width, 8) for base in bases) == channels


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        # stride and rate of the depthwise layers 2 .. 18, released code
        (32, {4: (2, 1), 3: (2, 1), 5: (2, 1), 8: (2, 1), 15: (2, 1)}),
        (16, {3: (2, 1), 5: (2, 1), 8: (2, 1), 15: (1, 1), **dict.fromkeys((16, 17, 18), (1, 2))}),
        (
            8,
            {3: (2, 1), 5: (2, 1), 8: (1, 1)}
            | dict.fromkeys(range(9, 16), (1, 2))
            | dict.fromkeys((16, 17, 18), (1, 4)),
        ),
    ],
)
def test_strides_and_rates_of_every_layer(output_stride, expected):
    seen = {}

    def record(call, arguments, keywords, context):
        if isinstance(context.module, DepthwiseConv):
            layer = int(context.module.path[-2].removeprefix("layer_"))
            seen[layer] = (context.module.stride, context.module.rate)
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        _init(MobileNetV2(output_stride=output_stride))
    expected = {layer: expected.get(layer, (1, 1)) for layer in range(2, 19)}
    if output_stride == 32:
        expected[4] = (1, 1)
    assert seen == expected


@pytest.mark.parametrize(("size", "strides"), [((65, 97), (16, 32)), ((64, 80), (32,))])
def test_features_at_stride_8_subsampled_are_those_at_larger_strides(size, strides):
    model = MobileNetV2(**SMALL)
    variables = _random(model)
    images = np.random.default_rng(1).uniform(-1, 1, (1, *size, 3)).astype(np.float32)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def at_all(variables, images):
        return {
            s: model.clone(output_stride=s).apply(variables, images, train=False)
            for s in (8, *strides)
        }

    ends = at_all(variables, images)
    nominal = {"layer_7": 8, "layer_14": 16, "layer_17_depthwise": 32, "features": 32}
    for stride in strides:
        for name, whole in nominal.items():
            step = min(whole, stride) // 8
            coarse = ends[stride][name]
            scale = float(jnp.std(coarse))
            assert scale > 1e-2
            sampled = ends[8][name][:, ::step, ::step]
            np.testing.assert_allclose(sampled, coarse, atol=1e-4 * scale, err_msg=name)


@pytest.mark.parametrize("size", [4, 5, 8, 9])
@pytest.mark.parametrize(("stride", "rate"), [(2, 1), (1, 1), (1, 2)])
def test_symmetric_padding_equals_tensorflow_same_only_where_documented(size, stride, rate):
    rng = np.random.default_rng(size)
    x = rng.normal(size=(1, size, size, 2)).astype(np.float32)
    layer = DepthwiseConv(3, stride, rate)
    variables = layer.init(jax.random.key(0), x)
    same = lax.conv_general_dilated(
        x,
        variables["params"]["kernel"],
        (stride, stride),
        "SAME",
        rhs_dilation=(rate, rate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=2,
    )
    ours = layer.apply(variables, x)
    assert ours.shape == same.shape
    equal = np.allclose(ours, same, atol=1e-5)
    assert equal == (stride == 1 or size % 2 == 1)


def _same_padded_oracle(variables, x, output_stride):
    """The released graph with 'SAME' padding, implemented independently of the module."""
    params, stats = variables["params"], variables["batch_stats"]

    def norm(y, layer, *names):
        p, s = params[layer], stats[layer]
        for name in names:
            p, s = p[name], s[name]
        return (y - s["mean"]) / jnp.sqrt(s["var"] + 1e-3) * p["scale"] + p["bias"]

    def conv(y, kernel, stride=1, rate=1, groups=1):
        return lax.conv_general_dilated(
            y,
            kernel,
            (stride, stride),
            "SAME",
            rhs_dilation=(rate, rate),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    y = jnp.clip(norm(conv(x, params["layer_1"]["conv"]["kernel"], 2), "layer_1", "norm"), 0, 6)
    actual, rate, index = 2, 1, 1
    for expansion, _, repetitions, stride in BLOCKS:
        for unit in range(repetitions):
            index += 1
            layer, nominal = f"layer_{index}", stride if unit == 0 else 1
            used = 1 if actual == output_stride else nominal
            z = y
            if expansion > 1:
                z = conv(y, params[layer]["expand"]["conv"]["kernel"])
                z = jnp.clip(norm(z, layer, "expand", "norm"), 0, 6)
            z = conv(z, params[layer]["depthwise"]["kernel"], used, rate, groups=z.shape[-1])
            z = jnp.clip(norm(z, layer, "depthwise_norm"), 0, 6)
            z = norm(conv(z, params[layer]["project"]["conv"]["kernel"]), layer, "project", "norm")
            y = y + z if unit > 0 else z
            actual, rate = actual * used, rate * (nominal // used)
    return y


def test_at_sizes_k_s_plus_1_the_network_equals_the_one_with_same_padding():
    output_stride = 8
    model = MobileNetV2(**SMALL, output_stride=output_stride)
    variables = _random(model, seed=3)
    x = np.random.default_rng(4).uniform(-1, 1, (1, 49, 65, 3)).astype(np.float32)
    compiled = functools.partial(jax.jit, compiler_options=QUICK)
    ours = compiled(lambda v, x: model.apply(v, x, train=False)["features"])(variables, x)
    oracle = compiled(_same_padded_oracle, static_argnums=2)(variables, x, output_stride)
    assert float(jnp.std(oracle)) > 0.1
    np.testing.assert_allclose(ours, oracle, atol=1e-4 * float(jnp.std(oracle)))


def test_end_points_shapes_and_types():
    model = MobileNetV2(output_stride=16, compute=Compute("bfloat16"))
    variables = _init(model)
    ends = jax.eval_shape(
        lambda v, x: model.apply(v, x, train=False), variables, jnp.zeros((2, 513, 385, 3))
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert ends["features"].shape == ends["layer_18"].shape == (2, 33, 25, 320)
    assert ends["layer_4_depthwise"].shape == (2, 129, 97, 144)  # DeepLab v3+'s low-level skip
    assert ends["layer_1"].shape == (2, 257, 193, 32)
    assert ends["features"].dtype == jnp.bfloat16


def test_a_block_in_training_updates_every_statistic_and_reaches_every_parameter():
    block = InvertedResidual(features=4, expanded=8, rate=2, residual=True)
    x = np.random.default_rng(5).uniform(-1, 1, (2, 9, 9, 4)).astype(np.float32)
    variables = _drawn(
        jax.eval_shape(lambda: block.init(jax.random.key(0), x, train=False)), seed=0
    )

    @functools.partial(jax.jit, compiler_options=QUICK)
    def gradient(params):
        def loss(params):
            tree = {"params": params, "batch_stats": variables["batch_stats"]}
            (y, _), new = block.apply(tree, x, train=True, mutable=["batch_stats"])
            return jnp.sum((y - x) ** 2 * x), new["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    grads, new = gradient(variables["params"])
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        assert float(jnp.abs(leaf).max()) > 0, path
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), new, variables["batch_stats"])
    assert all(jax.tree.leaves(changed))


def test_the_residual_is_added_only_where_shape_and_nominal_stride_allow():
    block = InvertedResidual(features=4, expanded=8, residual=True)
    x = np.random.default_rng(6).uniform(-1, 1, (1, 5, 5, 4)).astype(np.float32)
    variables = _drawn(
        jax.eval_shape(lambda: block.init(jax.random.key(0), x, train=False)), seed=0
    )
    with_residual, without = (
        jax.jit(lambda b=b: b.apply(variables, x, train=False)[0])()
        for b in (block, block.clone(residual=False))
    )
    np.testing.assert_allclose(with_residual, without + x, atol=1e-6)
    residual = {}

    def record(call, arguments, keywords, context):
        if isinstance(context.module, InvertedResidual):
            residual[context.module.name] = context.module.residual
        return call(*arguments, **keywords)

    # At width 0.35, layers 2 and 3 both have 8 channels, but layer 3 has a stride: it never has a
    # residual, even at an output stride that omits its stride.
    with nn.intercept_methods(record):
        _init(MobileNetV2(width=0.35, output_stride=2))
    expected = {4, 6, 7, 9, 10, 11, 13, 14, 16, 17}  # second and later units of each group
    assert {int(n.removeprefix("layer_")) for n, used in residual.items() if used} == expected
