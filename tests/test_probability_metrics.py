"""Areas under the curve against scikit-learn, calibration error against its definition."""

import jax
import numpy as np
import pytest
from sklearn import metrics as judge

from jaxseg import probability_metrics
from jaxseg.types import IGNORE

QUICK = {"xla_backend_optimization_level": 0}  # compiling takes far longer than running here
count = jax.jit(probability_metrics.score_histogram, static_argnames="bins", compiler_options=QUICK)


def scored(seed, shape=(2, 30, 40)):
    rng = np.random.default_rng(seed)
    outcomes = rng.integers(0, 2, shape)
    scores = np.clip(rng.normal(0.4 + 0.2 * outcomes, 0.2), 0, 1).astype(np.float32)
    outcomes[rng.random(shape) < 0.2] = IGNORE
    return scores, outcomes


def test_auc_equals_scikit_learn():
    scores, outcomes = scored(0)
    valid = outcomes != IGNORE
    found = probability_metrics.roc_auc(count(scores, outcomes))
    np.testing.assert_allclose(
        found, judge.roc_auc_score(outcomes[valid], scores[valid]), atol=1e-4
    )
    binned = np.maximum(np.ceil(scores * 8), 1)
    found = probability_metrics.roc_auc(count(scores, outcomes, bins=8))
    np.testing.assert_allclose(found, judge.roc_auc_score(outcomes[valid], binned[valid]))


def test_histogram_adds_up_and_leaves_void_out():
    scores, outcomes = scored(1)
    whole = np.asarray(count(scores, outcomes))
    parts = [count(scores[i : i + 1], outcomes[i : i + 1]) for i in
             range(2)]  # fmt: skip
    np.testing.assert_array_equal(np.sum(parts, axis=0), whole)
    assert whole.sum() == (outcomes != IGNORE).sum()
    ends = count(np.array([[[0, 0.25, 0.26, 1]]]), np.array([[[0, 0, 1, 1]]]), bins=4)
    np.testing.assert_array_equal(ends, [[2, 0, 0, 0], [0, 1, 0, 1]])


def calibration_by_loop(confidence, right, bins):
    total = 0.0
    for low in np.arange(bins) / bins:
        inside = (confidence > low) & (confidence <= low + 1 / bins)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / confidence.size


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_equals_its_definition(bins):
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.full(3, 0.5), (2, 30, 40)).astype(np.float32)
    labels = rng.integers(0, 3, (2, 30, 40))
    labels[rng.random(labels.shape) < 0.3] = IGNORE
    labels[0, 0, :2] = 3, -1
    confident = jax.jit(probability_metrics.confidence_histogram, compiler_options=QUICK)
    histogram = confident(probabilities, labels)
    valid = (labels >= 0) & (labels < 3)
    right = probabilities.argmax(axis=-1) == labels
    expected = calibration_by_loop(probabilities.max(axis=-1)[valid], right[valid], bins)
    found = probability_metrics.calibration_error(histogram, bins=bins)
    np.testing.assert_allclose(found, expected, atol=0.5 / histogram.shape[1])


def test_calibrated_scores_have_no_calibration_error():
    rng = np.random.default_rng(3)
    scores = rng.random((1, 500, 500))
    right = (rng.random(scores.shape) < scores).astype(int)
    histogram = count(scores, right)
    assert probability_metrics.calibration_error(histogram) < 0.01
    surer = count(np.sqrt(scores), right)
    assert probability_metrics.calibration_error(surer) > 0.1


@pytest.mark.filterwarnings("error")
def test_nothing_counted_is_nan():
    empty = np.zeros((2, 15), int)
    assert np.isnan(probability_metrics.roc_auc(empty))
    assert np.isnan(probability_metrics.calibration_error(empty))
    empty[1] = 1
    assert np.isnan(probability_metrics.roc_auc(empty))


def test_bad_input_is_one_line():
    scores = np.zeros((1, 2, 2))
    for call, message in [
        (lambda: probability_metrics.score_histogram(scores, scores[0]), r"must both be \[B, H"),
        (lambda: probability_metrics.score_histogram(scores, scores, bins=0), "bins 0"),
        (lambda: probability_metrics.confidence_histogram(scores, scores), r"\[B, H, W, K\]"),
        (lambda: probability_metrics.roc_auc(np.zeros(3)), r"\[2, bins\], not \[3\]"),
        (lambda: probability_metrics.calibration_error(np.zeros((2, 16))), "divisor of the"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
