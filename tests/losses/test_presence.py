"""The SE-loss against scikit-learn and a loop."""

import jax
import numpy as np
import pytest

from jaxseg import losses
from jaxseg.types import IGNORE

K = 5


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (3, 4, 6)).astype(np.uint8)
    labels[0, 0, 0] = 4
    labels[1] = IGNORE  # an image without valid pixels
    labels[2, :, 3:] = IGNORE
    labels[2, :, :3] = 1
    return rng.normal(size=(3, K)).astype(np.float32), labels, labels != IGNORE


def test_presence_equals_a_loop(batch):
    _, labels, valid = batch
    expected = [[c in labels[i][valid[i]] for c in range(K)] for i in range(3)]
    np.testing.assert_array_equal(losses.presence(labels, valid, K), expected)


def test_value_and_gradient_equal_the_definition(batch):
    logits, labels, valid = batch
    target = np.asarray(losses.presence(labels, valid, K), np.float64)[::2]
    p = 1 / (1 + np.exp(-logits[::2].astype(np.float64)))
    value, gradient = jax.value_and_grad(losses.presence_loss)(logits, labels, valid)
    expected = -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[::2], (p - target) / target.size, atol=1e-7)
    assert not np.any(gradient[1])


def test_all_void_is_zero(batch):
    logits, labels, valid = batch
    value, gradient = jax.value_and_grad(losses.presence_loss)(logits, labels, valid & False)
    assert value == 0
    assert not np.any(gradient)
