"""ASPP: parameter counts, order and rates of the branches, image pooling, one-image batches."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxseg.layers.aspp import ASPP, rates_at
from jaxseg.layers.norm import Norm
from tests.helpers.variables import count

C = 5


def _random(module, x, seed=0):
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.uniform(0.2, 1, leaf.shape).astype(np.float32), shapes)


def _map(batch=2, size=(9, 8)):
    return np.random.default_rng(1).normal(2, 1, (batch, *size, C)).astype(np.float32)


@pytest.mark.parametrize(
    ("output_stride", "rates"),
    [(4, (24, 48, 72)), (8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))],
)
def test_rates_are_stated_at_output_stride_16(output_stride, rates):
    assert rates_at((6, 12, 18), output_stride) == rates


def test_a_fractional_rate_is_refused():
    with pytest.raises(ValueError, match=r"holds 6, .* output stride 64 that is 1\.5"):
        rates_at((4, 6), 64)


@pytest.mark.parametrize(("separable", "parameters"), [(False, 15_535_104), (True, 3_019_776)])
def test_published_counts(separable, parameters):
    module = ASPP(separable=separable)
    x = jnp.zeros((1, 33, 33, 2048))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    assert count(shapes) == parameters


def _conv_norm(x, variables, name, rate=1):
    """Convolution, batch norm with running statistics and ReLU, reimplemented with lax."""
    params, stats = variables["params"][name], variables["batch_stats"][name]["norm"]
    kernel = params["conv"]["kernel"]
    pad = rate * (kernel.shape[0] // 2)
    y = lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(pad, pad)] * 2,
        rhs_dilation=(rate, rate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    y = (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    return np.maximum(y * params["norm"]["scale"] + params["norm"]["bias"], 0)


@pytest.mark.parametrize("rates", [(), (2,), (1, 3, 4, 6)])
@pytest.mark.parametrize("image_pooling", [False, True])
def test_matches_a_reimplementation_of_figure_5(rates, image_pooling):
    x = _map()
    module = ASPP(4, rates, image_pooling)
    variables = _random(module, x)
    branches = [_conv_norm(x, variables, "conv1x1")]
    branches += [_conv_norm(x, variables, f"atrous{n}", rate) for n, rate in enumerate(rates, 1)]
    if image_pooling:
        pooled = _conv_norm(x.mean(axis=(1, 2), keepdims=True), variables, "image_pooling")
        branches.append(np.broadcast_to(pooled, branches[0].shape))
    expected = _conv_norm(np.concatenate(branches, axis=-1), variables, "projection")
    np.testing.assert_allclose(
        module.apply(variables, x, train=False), expected, rtol=2e-4, atol=1e-4
    )


def test_dense_map_subsampled_is_the_strided_map():
    module = ASPP(4, rates_at((2, 4), 16), image_pooling=False)
    dense_module = ASPP(4, rates_at((2, 4), 8), image_pooling=False)
    dense = _map(1, (19, 14))
    variables = _random(module, dense)
    expected = module.apply(variables, dense[:, ::2, ::2], train=False)
    actual = dense_module.apply(variables, dense, train=False)[:, ::2, ::2]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def _train(module, variables, x):
    rngs = {"dropout": jax.random.key(2)}
    return module.apply(variables, x, train=True, mutable=["batch_stats"], rngs=rngs)


def _keep(name, kept):
    def intercept(call, args, kwargs, context):
        kept_or_not = call(*args, **kwargs)
        if context.module.name == name:
            kept[name] = kept_or_not
        return kept_or_not

    return intercept


@pytest.mark.parametrize("batch", [1, 2])
def test_one_image_trains_with_the_running_statistics_of_the_pooled_branch(batch):
    module = ASPP(4, (2,), dropout=0.0, norm=Norm(decay=0.5))
    x = _map(batch)
    variables = _random(module, x)
    with nn.intercept_methods(_keep("image_pooling", kept := {})):
        y, updates = _train(module, variables, x)
    assert np.isfinite(y).all()
    running = _conv_norm(x.mean(axis=(1, 2), keepdims=True), variables, "image_pooling")
    assert running.max() > 0.1
    assert np.allclose(kept["image_pooling"], running, rtol=1e-4, atol=1e-4) == (batch == 1)

    def moved(name):
        old, new = (tree["batch_stats"][name]["norm"]["mean"] for tree in (variables, updates))
        return not np.array_equal(old, new)

    assert moved("image_pooling") == (batch > 1)
    assert moved("conv1x1")
    assert moved("projection")


@pytest.mark.parametrize(("norm", "batch"), [("batch", 1), ("batch", 3), ("frozen", 1)])
def test_image_pooling_learns_nothing_from_one_image_in_a_batch(norm, batch):
    module = ASPP(4, (2,), dropout=0.0, norm=Norm(norm))
    x = _map(batch)
    variables = _random(module, x)

    @jax.jit
    def gradient(params):
        return jax.grad(lambda p: jnp.sum(_train(module, {**variables, "params": p}, x)[0] ** 2))(
            params
        )

    kernels = {
        name: np.abs(branch["conv"]["kernel"]).max()
        for name, branch in gradient(variables["params"]).items()
    }
    assert kernels["conv1x1"] > 1e-2
    if (norm, batch) == ("batch", 1):
        assert kernels["image_pooling"] < 1e-3
    else:
        assert kernels["image_pooling"] > 1e-2


def test_dropout_is_applied_only_in_training():
    module = ASPP(64, (), dropout=0.5, norm=Norm("frozen"))
    x = _map()
    variables = _random(module, x)
    trained, _ = jax.jit(lambda v: _train(module, v, x))(variables)
    whole = module.apply(variables, x, train=False)
    dropped = np.asarray(trained == 0) & np.asarray(whole > 0)
    assert 0.4 < dropped.sum() / (np.asarray(whole) > 0).sum() < 0.6
    kept = np.asarray(trained) > 0
    np.testing.assert_allclose(np.asarray(trained)[kept], 2 * np.asarray(whole)[kept], rtol=1e-5)


def test_separable_branches_without_an_inner_norm():
    x = _map()
    shapes = jax.eval_shape(
        lambda: ASPP(4, (2,), separable=True, normalise_depthwise=False).init(
            jax.random.key(0), x, train=False
        )
    )
    assert set(shapes["params"]["atrous1"]) == {"depthwise", "pointwise", "pointwise_norm"}
