"""Normalisation: the formulas in float64, which variables change, and precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.norm import Norm, NormLayer

C = 6
# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _map(shape=(3, 5, 4, C), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(1, 2, shape) + rng.normal(size=shape[-1])


def _variables(kind, seed=1):
    rng = np.random.default_rng(seed)
    params = {"scale": rng.uniform(0.5, 1.5, C), "bias": rng.normal(size=C)}
    stats = {"mean": rng.normal(size=C), "var": rng.uniform(0.5, 1.5, C)}
    return {"params": params} | ({"batch_stats": stats} if kind in ("batch", "frozen") else {})


def _run(norm, variables, x, *, train, x64=True):
    """Computes the value, the gradients and the new statistics in a single program.

    Returns:
      (y, dy, dx, gradients, batch_stats)
    """
    dy = np.random.default_rng(2).normal(size=x.shape)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(params, x, dy):
        def value(params, x):
            tree = variables | {"params": params}
            return norm.apply(tree, x, train=train, mutable=["batch_stats"])

        y, pull, updates = jax.vjp(value, params, x, has_aux=True)
        grads, dx = pull(dy.astype(y.dtype))
        return y, dx, grads, updates

    with jax.enable_x64(x64):
        y, dx, grads, updates = jax.device_get(run(variables["params"], x, dy))
    return y, dy, dx, grads, updates.get("batch_stats", {})


def _normalised(x, mean, var, epsilon, params):
    """The normalised map and the output."""
    hat = (x - mean) / np.sqrt(var + epsilon)
    return hat, hat * params["scale"] + params["bias"]


def test_batch_norm_in_training_and_its_gradient():
    """Ioffe and Szegedy, Algorithm 1 and the gradients after it."""
    x, variables = _map(), _variables("batch")
    epsilon, decay = 0.3, 0.7
    norm = NormLayer(Norm("batch", epsilon, decay), "float64")
    y, dy, dx, grads, stats = _run(norm, variables, x, train=True)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    hat, expected = _normalised(x, mean, var, epsilon, variables["params"])
    np.testing.assert_allclose(y, expected, atol=1e-12)
    np.testing.assert_allclose(grads["bias"], dy.sum((0, 1, 2)), atol=1e-11)
    np.testing.assert_allclose(grads["scale"], (dy * hat).sum((0, 1, 2)), atol=1e-11)
    inner = dy - dy.mean((0, 1, 2)) - hat * (dy * hat).mean((0, 1, 2))
    scale = variables["params"]["scale"] / np.sqrt(var + epsilon)
    np.testing.assert_allclose(dx, scale * inner, atol=1e-12)
    # The running variance follows the biased one: x.var, not x.var * n / (n - 1).
    old = variables["batch_stats"]
    np.testing.assert_allclose(stats["mean"], decay * old["mean"] + (1 - decay) * mean, rtol=1e-12)
    np.testing.assert_allclose(stats["var"], decay * old["var"] + (1 - decay) * var, rtol=1e-12)


@pytest.mark.parametrize(("kind", "train"), [("batch", False), ("frozen", False), ("frozen", True)])
def test_running_statistics_are_constants_and_do_not_change(kind, train):
    """Frozen statistics do so in training as well; scale and bias still get gradients."""
    x, variables = _map(), _variables(kind)
    norm = NormLayer(Norm(kind, 0.3, 0.7), "float64")
    y, dy, dx, grads, stats = _run(norm, variables, x, train=train)
    old = variables["batch_stats"]
    hat, expected = _normalised(x, old["mean"], old["var"], 0.3, variables["params"])
    np.testing.assert_allclose(y, expected, atol=1e-12)
    np.testing.assert_allclose(dx, dy * variables["params"]["scale"] / np.sqrt(old["var"] + 0.3))
    np.testing.assert_allclose(grads["scale"], (dy * hat).sum((0, 1, 2)), atol=1e-11)
    np.testing.assert_allclose(grads["bias"], dy.sum((0, 1, 2)), atol=1e-11)
    for name in stats:
        np.testing.assert_array_equal(stats[name], old[name])


@pytest.mark.parametrize("train", [False, True])
def test_group_norm_sees_one_image_and_one_group_at_a_time(train):
    x, variables = _map(), _variables("group")
    norm = NormLayer(Norm("group", 0.3, groups=2), "float64")
    y, _, _, grads, stats = _run(norm, variables, x, train=train)
    groups = x.reshape(*x.shape[:3], 2, C // 2)
    mean, var = (f((1, 2, 4), keepdims=True) for f in (groups.mean, groups.var))
    hat = ((groups - mean) / np.sqrt(var + 0.3)).reshape(x.shape)
    params = variables["params"]
    np.testing.assert_allclose(y, hat * params["scale"] + params["bias"], atol=1e-12)
    assert set(grads) == {"scale", "bias"}
    assert stats == {}


def test_no_norm_is_the_identity_without_parameters():
    x = _map().astype(np.float32)
    norm = NormLayer(Norm("none"), "bfloat16")
    y, variables = norm.init_with_output(jax.random.key(0), x, train=True)
    assert not variables
    np.testing.assert_array_equal(y, x.astype(jnp.bfloat16))


def test_batch_and_frozen_have_the_same_variables_under_the_module_itself():
    x = jnp.zeros((1, 2, 2, C))
    trees = [
        NormLayer(Norm(kind)).init(jax.random.key(0), x, train=True) for kind in ("batch", "frozen")
    ]
    names = {"params": {"scale": 1, "bias": 0}, "batch_stats": {"mean": 0, "var": 1}}
    for tree in trees:
        expected = jax.tree.map(lambda start: np.full(C, start, np.float32), names)
        jax.tree.map(np.testing.assert_array_equal, dict(tree), expected)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(tree)} == {"float32"}
    group = NormLayer(Norm("group", groups=3)).init(jax.random.key(0), x, train=True)
    assert {name: set(tree) for name, tree in group.items()} == {"params": {"scale", "bias"}}


@pytest.mark.parametrize("shape", [(1, 1, 1, C), (2, 1, 1, C), (1, 1, 2, C)])
def test_one_value_per_channel_is_normalised_by_running_statistics(shape):
    """Batch norm of one value would be its bias, whatever the value; of two it is as usual."""
    x, variables = _map(shape), _variables("batch")
    y, _, dx, _, stats = _run(NormLayer(Norm(), "float64"), variables, x, train=True)
    old = variables["batch_stats"]
    _, running = _normalised(x, old["mean"], old["var"], 1e-5, variables["params"])
    alone = np.prod(shape) == C
    assert np.allclose(y, running) == alone
    assert np.array_equal(stats["mean"], old["mean"]) == alone
    assert np.array_equal(stats["var"], old["var"]) == alone
    assert np.isfinite(y).all()
    assert np.abs(dx).min() > 0


@pytest.mark.parametrize("kind", ["batch", "group"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_statistics_of_half_precision_are_float32(kind, dtype):
    """The squares of values of 300 overflow float16, and bfloat16 has only 3 digits."""
    x = np.asarray(_map() + 300).astype(dtype)
    variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), _variables(kind))
    norm = NormLayer(Norm(kind, groups=2, decay=0.0), dtype)
    y, _, dx, grads, stats = _run(norm, variables, x, train=True, x64=False)
    assert y.dtype == dx.dtype == x.dtype
    wide = x.astype(np.float64)
    if kind == "batch":
        assert stats["mean"].dtype == stats["var"].dtype == np.float32
        np.testing.assert_allclose(stats["mean"], wide.mean((0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(stats["var"], wide.var((0, 1, 2)), rtol=2e-2)
        mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
        _, expected = _normalised(wide, mean, var, 1e-5, variables["params"])
        np.testing.assert_allclose(y.astype(np.float64), expected, rtol=2e-2, atol=2e-2)
    assert {leaf.dtype.name for leaf in grads.values()} == {"float32"}
    assert np.isfinite(y.astype(np.float32)).all()


def test_float32_is_accurate_while_the_mean_is_within_ten_deviations():
    """As a difference of two sums, the variance loses accuracy by (mean / deviation)^2."""
    rng = np.random.default_rng(3)
    x = rng.normal(10, 1, (4, 17, 17, C)).astype(np.float32)
    variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), _variables("batch"))
    y, *_ = _run(NormLayer(), variables, x, train=True, x64=False)
    wide = x.astype(np.float64)
    mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    _, expected = _normalised(wide, mean, var, 1e-5, variables["params"])
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_running_statistics_decay_towards_those_of_the_batch():
    x, variables = _map(), _variables("batch")
    norm = NormLayer(Norm(decay=0.8), "float64")
    tree = variables
    with jax.enable_x64(True):
        step = jax.jit(lambda tree: norm.apply(tree, x, train=True, mutable=["batch_stats"])[1])
        for _ in range(5):
            tree = variables | step(tree)
    for name, batch in (("mean", x.mean((0, 1, 2))), ("var", x.var((0, 1, 2)))):
        start = variables["batch_stats"][name]
        expected = batch + 0.8**5 * (start - batch)
        np.testing.assert_allclose(tree["batch_stats"][name], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (Norm("layer"), "norm.kind is 'layer': it must be one of batch, frozen, group, none"),
        (Norm("group"), "norm.groups=32 does not divide 6 channels"),
    ],
)
def test_an_invalid_norm_is_refused(norm, message):
    with pytest.raises(ValueError, match=message):
        NormLayer(norm).init(jax.random.key(0), jnp.zeros((1, 2, 2, C)), train=True)
