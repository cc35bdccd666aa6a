"""Cross-entropy against float64 NumPy, optax and scikit-learn; void pixels with extreme logits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import losses
from jaxseg.types import IGNORE

B, H, W, K = 2, 5, 7, 4


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(B, H, W, K), scale=3).astype(np.float32)
    labels = rng.integers(0, K, (B, H, W)).astype(np.uint8)
    labels[0, :2] = IGNORE
    return logits, labels, labels != IGNORE


def oracle(logits, labels, weights, smoothing):
    """Computes -sum q log p in float64, one pixel at a time."""
    out = np.zeros(labels.shape)
    for at in np.ndindex(labels.shape):
        if labels[at] == IGNORE:
            continue
        x = logits[at].astype(np.float64)
        p = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        q = np.full(K, smoothing / K)
        q[labels[at]] += 1 - smoothing
        out[at] = weights[labels[at]] * -(q * np.log(p)).sum()
    return out


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 2.0, 0.0)])
def test_value_equals_the_definition(batch, weights, smoothing):
    logits, labels, valid = batch
    ours = losses.cross_entropy(
        logits, labels, valid, class_weights=weights, label_smoothing=smoothing
    )
    expected = oracle(logits, labels, weights or np.ones(K), smoothing)
    np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=2e-6)
    assert ours.dtype == jnp.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_value_and_gradient_equal_optax(batch, smoothing):
    logits, labels, valid = batch

    def ours(x):
        loss = losses.cross_entropy(x, labels, valid, label_smoothing=smoothing)
        return losses.masked_mean(loss, valid)

    def theirs(x):
        target = optax.smooth_labels(jax.nn.one_hot(np.where(valid, labels, 0), K), smoothing)
        loss = optax.softmax_cross_entropy(x, target)
        return jnp.sum(jnp.where(valid, loss, 0)) / valid.sum()

    (a, da), (b, db) = (jax.jit(jax.value_and_grad(f))(logits) for f in (ours, theirs))
    np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(da, db, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e38])
def test_void_pixels_have_no_effect(batch, poison):
    logits, labels, valid = batch
    poisoned = np.where(valid[..., None], logits, np.float32(poison))

    def mean(x):
        loss = losses.cross_entropy(x, labels, valid, class_weights=(1.0, 2.0, 3.0, 4.0))
        return losses.masked_mean(loss, valid)

    value, gradient = jax.value_and_grad(mean)(poisoned)
    expected, clean = jax.value_and_grad(mean)(logits)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(gradient, clean)
    assert not np.any(gradient[~valid])


def test_all_void_is_zero_with_zero_gradient():
    logits = np.full((1, 3, 3, K), np.nan, np.float32)
    labels = np.full((1, 3, 3), IGNORE, np.uint8)
    valid = labels != IGNORE
    mean = lambda x: losses.masked_mean(losses.cross_entropy(x, labels, valid), valid)
    value, gradient = jax.value_and_grad(mean)(logits)
    assert value == 0
    assert not np.any(gradient)


@pytest.mark.parametrize("label", [K, IGNORE, -1])
def test_a_valid_label_outside_the_classes_is_nan(label):
    labels = np.full((1, 1, 1), label, np.int32)
    for weights in (None, np.ones(K)):
        loss = losses.cross_entropy(
            np.zeros((1, 1, 1, K)), labels, np.ones((1, 1, 1), bool), class_weights=weights
        )
        assert np.isnan(loss).all()


def test_large_logits_do_not_overflow():
    logits = np.zeros((1, 1, 2, K), np.float32)
    logits[..., 1] = 1e30
    labels = np.array([[[1, 0]]])
    loss = losses.cross_entropy(logits, labels, np.ones_like(labels, bool))
    np.testing.assert_allclose(loss, [[[0, 1e30]]], rtol=1e-6)


def test_gradient_agrees_with_finite_differences():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, K, (1, 2, 2))
    valid = np.array([[[True, True], [False, True]]])
    with jax.enable_x64(True):
        f = lambda x: losses.cross_entropy(
            x, labels, valid, class_weights=(1.0, 0.3, 2.0, 1.5), label_smoothing=0.1
        ).sum()
        x = rng.normal(size=(1, 2, 2, K))
        gradient = jax.grad(f)(x)
        for at in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[at] = 1e-5
            slope = (f(x + step) - f(x - step)) / 2e-5
            np.testing.assert_allclose(gradient[at], slope, atol=1e-8)


def test_gradient_stores_one_number_per_pixel():
    """The custom gradient avoids a second array of the size of the logits."""
    shape = (1, 64, 64, 32)
    mean = lambda x, y, v: losses.masked_mean(losses.cross_entropy(x, y, v), v)
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.float32),
        jax.ShapeDtypeStruct(shape[:-1], jnp.uint8),
        jax.ShapeDtypeStruct(shape[:-1], jnp.bool_),
    ]
    compiled = jax.jit(jax.value_and_grad(mean)).lower(*arguments).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.25 * 4 * np.prod(shape)


def test_masked_mean_with_weights_equals_the_reduction_of_torch(batch):
    logits, labels, valid = batch
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    of_pixel = np.where(valid, weights[np.where(valid, labels, 0)], np.nan)  # void ones are unused
    loss = losses.cross_entropy(logits, labels, valid, class_weights=weights)
    ours = losses.masked_mean(loss, valid, of_pixel)
    plain = np.asarray(losses.cross_entropy(logits, labels, valid), np.float64)[valid]
    np.testing.assert_allclose(ours, np.average(plain, weights=of_pixel[valid]), rtol=1e-6)
    assert losses.masked_mean(loss, np.zeros_like(valid), of_pixel) == 0
