"""The weighted sum of terms."""

import jax
import numpy as np
import pytest

from jaxseg import config, losses
from jaxseg.types import IGNORE

K = 4
TERMS = ("cross_entropy", "focal", "dice", "lovasz", "aux_weight", "presence")
NAMES = {"aux_weight": "aux"}


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, (2, 5, 7)).astype(np.uint8)
    labels[0, :2] = IGNORE
    outputs = {
        "logits": rng.normal(size=(2, 5, 7, K)).astype(np.float32),
        "aux_logits": rng.normal(size=(2, 5, 7, K)).astype(np.float32),
        "presence_logits": rng.normal(size=(2, K)).astype(np.float32),
    }
    return outputs, labels


def test_the_loss_is_the_weighted_sum_of_its_terms(batch):
    weights = dict(zip(TERMS, (1.0, 0.5, 2.0, 0.25, 0.4, 0.2), strict=True))
    found = losses.segmentation(*batch, config.Loss(**weights))
    assert set(found) == {"loss", *(NAMES.get(t, t) for t in TERMS)}
    expected = sum(weight * found[NAMES.get(t, t)] for t, weight in weights.items())
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-6)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_weight_0_is_left_out(batch, term):
    only = dict.fromkeys(TERMS, 0.0) | {term: 3.0}
    found = losses.segmentation(*batch, config.Loss(**only))
    name = NAMES.get(term, term)
    assert set(found) == {"loss", name}
    np.testing.assert_allclose(found["loss"], 3 * found[name], rtol=1e-6)
    gradient = jax.grad(lambda o: losses.segmentation(o, batch[1], config.Loss(**only))["loss"])
    used = {n for n, g in gradient(batch[0]).items() if np.any(g)}
    output = {"aux_weight": "aux_logits", "presence": "presence_logits"}
    assert used == {output.get(term, "logits")}


def test_without_further_heads_there_is_cross_entropy_alone(batch):
    outputs, labels = batch
    found = losses.segmentation({"logits": outputs["logits"]}, labels, config.Loss())
    assert set(found) == {"loss", "cross_entropy"}
    each = losses.cross_entropy(outputs["logits"], labels, labels != IGNORE)
    np.testing.assert_array_equal(found["loss"], losses.masked_mean(each, labels != IGNORE))


def test_extra_weights_add_to_those_of_the_classes(batch):
    outputs, labels = {"logits": batch[0]["logits"]}, batch[1]
    extra = np.random.default_rng(1).uniform(size=labels.shape).astype(np.float32)
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    found = losses.segmentation(outputs, labels, config.Loss(class_weights=tuple(weights)), extra)
    valid = labels != IGNORE
    plain = np.asarray(losses.cross_entropy(outputs["logits"], labels, valid))[valid]
    of_pixel = weights[labels[valid]] + extra[valid]
    np.testing.assert_allclose(found["loss"], np.mean(of_pixel * plain), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "term"),
    [
        ({"hardest": 0.25}, "cross_entropy"),
        ({"label_smoothing": 0.1}, "cross_entropy"),
        ({"class_weights": (1.0, 2.0, 3.0, 4.0)}, "cross_entropy"),
        ({"class_weights": (1.0, 2.0, 3.0, 4.0)}, "focal"),
        ({"focal_gamma": 1.0}, "focal"),
        ({"dice_squared": True}, "dice"),
        ({"per_image": True}, "dice"),
        ({"per_image": True}, "lovasz"),
    ],
)
def test_every_option_changes_its_term(batch, options, term):
    all_terms = {"focal": 1.0, "dice": 1.0, "lovasz": 1.0}
    plain = losses.segmentation(*batch, config.Loss(**all_terms))
    changed = losses.segmentation(*batch, config.Loss(**all_terms, **options))
    assert abs(plain[term] - changed[term]) > 1e-4
