"""Panoptic FPN's loss: the detector's plus the mean cross-entropy of labelled pixels."""

import functools

import jax
import numpy as np
import pytest

from jaxseg import config
from jaxseg.losses.detection import detection
from jaxseg.losses.panoptic import panoptic
from jaxseg.types import IGNORE
from tests.losses.test_detection import SIZE, some_objects, some_outputs
from tests.models.networks import QUICK


@pytest.fixture(scope="module")
def given():
    """Outputs, objects and labels of pixels, a part of them void."""
    rng = np.random.default_rng(0)
    objects = some_objects(rng)
    outputs = some_outputs(rng, objects)
    outputs["logits"] = rng.normal(size=(2, *SIZE, 4)).astype(np.float32)
    labels = rng.integers(0, 4, (2, *SIZE)).astype(np.uint8)
    labels[:, ::3] = IGNORE
    return outputs, objects, labels


def test_it_is_the_weighted_sum(given):
    outputs, objects, labels = given
    settings = config.Detection(mask=2.0, instance=0.75, semantic=0.3)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def both(outputs):
        terms = panoptic(outputs, objects, labels, settings)
        return terms, detection(outputs, objects, settings)

    terms, alone = both(outputs)
    valid = labels != IGNORE
    logits = outputs["logits"][valid].astype(np.float64)
    normaliser = np.log(np.exp(logits).sum(-1))
    expected = (normaliser - logits[np.arange(len(logits)), labels[valid]]).mean()
    assert float(terms["semantic"]) == pytest.approx(expected, rel=1e-5)
    total = 0.75 * float(alone["loss"]) + 0.3 * expected
    assert float(terms["loss"]) == pytest.approx(total, rel=1e-5)
    assert set(terms) == set(alone) | {"semantic"}


def test_without_a_labelled_pixel_the_loss_is_the_detectors(given):
    outputs, objects, labels = given
    void = np.full_like(labels, IGNORE)

    def both(logits):
        terms = panoptic(outputs | {"logits": logits}, objects, void, config.Detection())
        return terms["loss"], detection(outputs, objects, config.Detection())["loss"]

    gradient_of = jax.jit(jax.value_and_grad(both, has_aux=True), compiler_options=QUICK)
    (value, alone), gradient = gradient_of(outputs["logits"])
    assert float(value) == pytest.approx(float(alone))
    np.testing.assert_array_equal(gradient, 0)
