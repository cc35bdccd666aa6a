"""Xception: published counts and rates, the a trous identity, the released graph."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxseg.backbones import xception
from jaxseg.backbones.xception import Xception, XceptionModule
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.conv import Conv, DepthwiseConv, SeparableConv
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images

# One middle module and 8 channels almost everywhere still give every kind of module.
SMALL = {"width": 0.01, "middle_modules": 1}


@pytest.mark.parametrize(
    ("depth", "published"), [(41, 24_920_560), (65, 37_867_312), (71, 40_289_736)]
)
def test_published_counts(depth, published):
    assert count(shapes_of(Xception(depth=depth, compute=PLAIN))) == published
    assert 2 + 3 * len(list(Xception(depth=depth).modules())) == depth


def _table(**fields):
    """Returns the stride and rates of each module."""
    return {plan.name: (plan.stride, plan.rates) for plan in Xception(**fields).modules()}


@pytest.mark.parametrize("depth", [41, 65, 71])
@pytest.mark.parametrize(
    ("output_stride", "before", "middle", "exit1", "exit2"),
    [  # of the released code: the module before the middle flow, and those after it
        (32, (2, 1), 1, (2, 1), 1),
        (16, (2, 1), 1, (1, 1), 2),
        (8, (1, 1), 2, (1, 2), 4),
    ],
)
def test_strides_and_rates_of_the_released_code(depth, output_stride, before, middle, exit1, exit2):
    table = _table(depth=depth, output_stride=output_stride, multi_grid=(1, 2, 4))
    assert table.pop("exit2") == (1, (exit2, 2 * exit2, 4 * exit2))
    stride, rate = exit1
    assert table.pop("exit1") == (stride, (rate,) * 3)
    stride, rate = before
    assert table.pop("entry5" if depth == 71 else "entry3") == (stride, (rate,) * 3)
    entry = {1: 2, 2: 2} if depth < 71 else {1: 2, 2: 1, 3: 2, 4: 1}
    for number, stride in entry.items():
        assert table.pop(f"entry{number}") == (stride, (1, 1, 1))
    assert table == {f"middle{i}": (1, (middle,) * 3) for i in range(1, len(table) + 1)}
    assert len(table) == (8 if depth == 41 else 16)


def _shapes(size, **fields):
    x = jnp.zeros((2, *size, 3))
    model = Xception(compute=PLAIN, **fields)
    ends = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False)[0])
    return {name: end.shape for name, end in ends.items()}


@pytest.mark.parametrize(
    ("depth", "four", "eight"), [(41, "entry2", "entry3"), (71, "entry3", "entry5")]
)
def test_end_points(depth, four, eight):
    shapes = _shapes((97, 130), depth=depth, middle_modules=1)
    for name, stride, channels in (
        ("stem", 2, 64),
        ("entry1_pointwise2", 2, 128),
        (f"{four}_pointwise2", 4, 256),
        (four, 8, 256),
        (f"{eight}_pointwise2", 8, 728),
        ("middle1", 16, 728),
        ("exit1_pointwise2", 16, 1024),
        ("exit2", 16, 2048),
        ("features", 16, 2048),
    ):
        assert shapes[name] == (2, -(-97 // stride), -(-130 // stride), channels), name


@pytest.mark.parametrize("output_stride", [1, 2, 4, 8, 16, 32])
def test_any_size_and_the_same_parameters_at_any_output_stride(output_stride):
    reference, other = (
        shapes_of(Xception(output_stride=s, **SMALL, compute=PLAIN)) for s in (16, output_stride)
    )
    assert other == reference
    for size in ((97, 130), (1, 2)):
        shape = _shapes(size, output_stride=output_stride, **SMALL)["features"]
        assert shape == (2, *(-(-n // output_stride) for n in size), 24)


def _relative_difference(ours, same):
    ours, same = np.asarray(ours), np.asarray(same)
    assert ours.shape == same.shape
    assert np.isfinite(same).all()
    spread = same.std()
    assert spread > 1e-2 * np.abs(same).max() > 0
    return np.abs(ours - same).max() / spread


@pytest.mark.parametrize(
    ("depth", "size", "output_stride"), [(41, (65, 50), 4), (41, (64, 97), 16), (71, (66, 33), 8)]
)
def test_a_trous_identity(depth, size, output_stride):
    """Subsampled features and low-level skips at a smaller stride equal the nominal network's."""
    model = Xception(depth=depth, multi_grid=(1, 2, 1), **SMALL, compute=PLAIN)
    variables = random_variables(model)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def both(variables, x):
        dense, strided = model.clone(output_stride=output_stride), model.clone(output_stride=32)
        return [m.apply(variables, x, train=False) for m in (dense, strided)]

    dense, strided = both(variables, images(size))
    last = "entry5" if depth == 71 else "entry3"
    for name, nominal in ((f"{last}_pointwise2", 8), ("exit1_pointwise2", 16), ("features", 32)):
        step = max(1, nominal // output_stride)
        sampled = dense[name][:, ::step, ::step]
        assert _relative_difference(sampled, strided[name]) < 1e-3, name


def _released_code(variables, x, depth, output_stride, multi_grid):
    """The graph of the released code, block by block, implemented independently of the module."""
    params, stats = variables["params"], variables["batch_stats"]

    def leaf(tree, path):
        return functools.reduce(lambda node, key: node[key], path.split("/"), tree)

    def conv_norm(y, kernel, norm, stride=1, rate=1, groups=1):
        kernel = leaf(params, f"{kernel}/kernel")
        edge = rate * (kernel.shape[0] - 1) // 2
        y = lax.conv_general_dilated(
            y,
            kernel,
            (stride, stride),
            [(edge, edge)] * 2,
            rhs_dilation=(rate, rate),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
        p, s = leaf(params, norm), leaf(stats, norm)
        return (y - s["mean"]) / jnp.sqrt(s["var"] + 1e-3) * p["scale"] + p["bias"]

    def block(y, name, stride, rates, skip, inside):
        x = y
        for i, rate in enumerate(rates, start=1):
            if not inside:
                y = jnp.maximum(y, 0)
            path, used = f"{name}/separable{i}", stride if i == 3 else 1
            y = conv_norm(y, f"{path}/depthwise", f"{path}/depthwise_norm", used, rate, y.shape[-1])
            y = jnp.maximum(y, 0) if inside else y
            y = conv_norm(y, f"{path}/pointwise", f"{path}/pointwise_norm")
            y = jnp.maximum(y, 0) if inside else y
        if skip == "conv":
            y += conv_norm(x, f"{name}/shortcut/conv", f"{name}/shortcut/norm", stride)
        return y + x if skip == "sum" else y

    strides = (2, 2, 2) if depth < 71 else (2, 1, 2, 1, 2)
    blocks = [(f"entry{i}", stride, "conv", False) for i, stride in enumerate(strides, start=1)]
    blocks += [("middle1", 1, "sum", False), ("exit1", 2, "conv", False), ("exit2", 1, "", True)]
    y = jnp.maximum(conv_norm(x, "stem1/conv", "stem1/norm", 2), 0)
    y = jnp.maximum(conv_norm(y, "stem2/conv", "stem2/norm"), 0)
    current, rate = 2, 1
    for name, stride, skip, inside in blocks:
        grid = multi_grid if name == "exit2" else (1, 1, 1)
        if current == output_stride:
            y = block(y, name, 1, [rate * g for g in grid], skip, inside)
            rate *= stride
        else:
            y = block(y, name, stride, grid, skip, inside)
            current *= stride
    return y


@pytest.mark.parametrize(("depth", "output_stride"), [(41, 16), (71, 8)])
def test_matches_a_reimplementation_of_the_released_code(depth, output_stride):
    fields = {"depth": depth, "output_stride": output_stride, "multi_grid": (1, 2, 4)}
    model = Xception(**fields, **SMALL, compute=PLAIN)
    variables = random_variables(model, seed=1)
    x = images((49, 34))
    compiled = functools.partial(jax.jit, compiler_options=QUICK)
    ours = compiled(lambda v, x: model.apply(v, x, train=False))(variables, x)
    oracle = compiled(functools.partial(_released_code, **fields))(variables, x)
    assert _relative_difference(ours["features"], oracle) < 1e-3
    # The low-level skip is taken before ReLU.
    assert np.asarray(ours["entry3_pointwise2"]).min() < -0.1


@pytest.mark.parametrize(
    ("depth", "middle", "output_stride", "field"), [(41, 8, 8, 1147), (71, 1, 32, 547)]
)
def test_receptive_field(depth, middle, output_stride, field):
    """Follows the recurrence over nominal strides, for any output stride."""
    expected, stride = 1 + 2 * 1 + 2 * 2, 2  # the stem
    entry = (2, 2, 2) if depth == 41 else (2, 1, 2, 1, 2)
    for module_stride in (*entry, *[1] * middle, 2, 1):
        expected += 3 * 2 * stride
        stride *= module_stride
    model = Xception(depth=depth, output_stride=output_stride, width=0.01, middle_modules=middle)
    last = summary.summarize(model, (65, 65)).layers[-1]
    assert last.field == expected == field
    assert last.stride == output_stride


@pytest.mark.parametrize(
    ("skip", "stride", "inside"), [("conv", 2, False), ("sum", 1, False), ("none", 1, True)]
)
def test_a_module_in_training(skip, stride, inside):
    """Every statistic is updated; with frozen statistics every parameter gets a gradient.

    Otherwise the bias of a norm between two linear convolutions gets none, since the norm after
    them subtracts a constant.
    """
    batch, frozen = (
        XceptionModule(
            (3, 3, 3),
            stride,
            (1, 2, 1),
            skip,
            inside,
            functools.partial(SeparableConv, norm=Norm(norm), compute=PLAIN),
            functools.partial(ConvNorm, norm=Norm(norm), compute=PLAIN),
        )
        for norm in ("batch", "frozen")
    )
    x = images((9, 8), batch=2)
    variables = random_variables(batch, (9, 8))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def step(variables):
        def loss(params):
            y, _ = frozen.apply(variables | {"params": params}, x, train=True)
            return jnp.sum(jnp.sin(jnp.arange(y.size)) * y.ravel())

        _, new = batch.apply(variables, x, train=True, mutable=["batch_stats"])
        return jax.grad(loss)(variables["params"]), new["batch_stats"]

    gradients, statistics = step(variables)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.abs(leaf).max() > 1e-3, jax.tree_util.keystr(path)
    moved = jax.tree.map(lambda a, b: np.all(a != b), statistics, variables["batch_stats"])
    assert all(jax.tree.leaves(moved))


def test_kernels_are_initialised_as_in_the_released_code():
    seen = set()

    def record(call, arguments, keywords, context):
        if isinstance(context.module, Conv | DepthwiseConv):
            seen.add(context.module.kernel_init)
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        shapes_of(Xception(depth=41, **SMALL, compute=PLAIN))
    assert seen == {xception.INIT}
    drawn = xception.INIT(jax.random.key(0), (40_000,))
    assert abs(float(drawn.std()) - 0.09 * 0.8796) < 1e-3  # truncated at two deviations
    assert float(jnp.abs(drawn).max()) <= 0.18


def test_remat_changes_neither_tree_nor_values():
    plain = Xception(depth=41, **SMALL, compute=PLAIN)
    remat = plain.clone(remat=True)
    variables = random_variables(plain)
    assert shapes_of(remat) == shapes_of(plain)
    x = images((17, 17))

    def features(model):
        return lambda v: model.apply(v, x, train=False)["features"]

    assert str(jax.make_jaxpr(features(remat))(variables)).count("remat") >= 6
    values = [jax.jit(features(m), compiler_options=QUICK)(variables) for m in (plain, remat)]
    assert _relative_difference(*values) < 1e-5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 50}, "depth is 50: it must be one of 41, 65, 71"),
        ({"output_stride": 12}, "output_stride is 12: it must be one of 1, 2, 4, 8, 16, 32"),
        ({"output_stride": 0}, "output_stride is 0"),
        ({"multi_grid": (1, 2)}, r"multi_grid is \(1, 2\): the last module .* has 3 convolutions"),
    ],
)
def test_invalid_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(Xception(**fields))


def test_an_unknown_skip_is_refused():
    with pytest.raises(ValueError, match="skip is 'add': it must be one of conv, sum, none"):
        shapes_of(XceptionModule((8, 8, 8), skip="add"))
