"""Area under the curve against scikit-learn, calibration error against its definition."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as judge

from jaxseg.metrics import probability
from jaxseg.types import IGNORE

QUICK = {"xla_backend_optimization_level": 0}  # compilation takes far longer than execution
count = jax.jit(probability.score_histogram, compiler_options=QUICK)
confident = jax.jit(
    probability.confidence_histogram, static_argnames="bins", compiler_options=QUICK
)
SHAPE = (2, 100, 100)


def sigmoid(z):
    p = np.exp(-np.logaddexp(0, -np.asarray(z, np.float64))).astype(np.float32)
    return np.where(p < np.finfo(np.float32).tiny, 0, p)  # as in XLA's softmax


def scored(seed, *, scale=2.0, shift=0.0, positive=0.3, void=0.2):
    """Normally distributed log-odds with means one deviation apart; outcomes [2, 100, 100]."""
    rng = np.random.default_rng(seed)
    outcomes = (rng.random(SHAPE) < positive).astype(int)
    log_odds = shift + scale * (rng.normal(size=SHAPE) + outcomes)
    outcomes[rng.random(SHAPE) < void] = IGNORE
    return log_odds, outcomes


def judged(outcomes, scores):
    valid = outcomes != IGNORE
    return judge.roc_auc_score(outcomes[valid], np.asarray(scores)[valid])


@pytest.mark.parametrize("scale", [0.1, 1, 5, 20])
@pytest.mark.parametrize("shift", [-30, -8, 0, 8, 15])
def test_auc_of_saturated_scores_equals_scikit_learn(scale, shift):
    log_odds, outcomes = scored(0, scale=scale, shift=shift)
    scores = sigmoid(log_odds)
    found = probability.roc_auc(count(scores, outcomes))
    np.testing.assert_allclose(found, judged(outcomes, scores), atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.3, 60),
    shift=st.floats(-50, 50),
    positive=st.sampled_from([1e-3, 0.02, 0.5, 0.999]),
    digits=st.sampled_from([None, 1, 2, 4, 7]),
    half=st.booleans(),
)
def test_auc_equals_scikit_learn_for_any_scores(seed, scale, shift, positive, digits, half):
    """This includes many equal scores (rounded, float16) and few positives."""
    log_odds, outcomes = scored(seed, scale=scale, shift=shift, positive=positive)
    outcomes[0, 0, :2] = 0, 1
    scores = sigmoid(log_odds)
    scores = scores if digits is None else np.round(scores, digits)
    scores = scores.astype(np.float16 if half else np.float32).astype(np.float32)
    found = probability.roc_auc(count(scores, outcomes))
    np.testing.assert_allclose(found, judged(outcomes, scores), atol=1e-4)


def test_equal_scores_and_both_ends():
    _, outcomes = scored(1)
    for value in (0.0, 1e-45, 1e-30, 0.5, 0.7, 1.0):
        assert probability.roc_auc(count(np.full(SHAPE, value), outcomes)) == 0.5
    ladder = [0, 1e-40, 1e-38, 1e-20, 1e-7, 0.4999, 0.5, 0.5001, 1 - 2.0**-20, 1 - 2.0**-24, 1]
    steps = np.array(ladder, np.float32)[None, None]
    places = [
        int(np.flatnonzero(np.asarray(count(s[None], np.ones((1, 1, 1), int)))[1])[0])
        for s in steps.reshape(-1, 1, 1)
    ]
    assert places == sorted(set(places))


def test_the_other_probability_orders_scores_that_float32_rounds_to_1():
    """The area is that of the logits, and the same for class 0 with swapped outcomes."""
    log_odds, outcomes = scored(2, scale=10, shift=25)
    p, q = sigmoid(log_odds), sigmoid(-log_odds)
    assert np.mean(p == 1) > 0.5
    exact = judged(outcomes, log_odds)
    found = probability.roc_auc(count(p, outcomes, q))
    np.testing.assert_allclose(found, exact, atol=1e-4)
    swapped = np.where(outcomes == IGNORE, IGNORE, 1 - outcomes)
    np.testing.assert_allclose(probability.roc_auc(count(q, swapped, p)), exact, atol=1e-4)
    assert abs(probability.roc_auc(count(p, outcomes)) - exact) > 0.01


def test_histograms_can_be_added_and_exclude_void():
    log_odds, outcomes = scored(3)
    scores = sigmoid(log_odds)
    whole = np.asarray(count(scores, outcomes))
    parts = [count(scores[i : i + 1], outcomes[i : i + 1]) for i in range(2)]
    np.testing.assert_array_equal(np.sum(parts, axis=0), whole)
    assert whole.sum() == (outcomes != IGNORE).sum()
    two = np.array([[[[0.5, 0.5], [0.25, 0.75], [0.26, 0.74], [0, 1]]]])
    ends = confident(two, np.array([[[0, 0, 1, 1]]]), bins=4)
    np.testing.assert_array_equal(ends, [[0, 0, 1, 0], [0, 1, 1, 1]])


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
    histogram = confident(probabilities, labels)
    valid = (labels >= 0) & (labels < 3)
    right = probabilities.argmax(axis=-1) == labels
    expected = calibration_by_loop(probabilities.max(axis=-1)[valid], right[valid], bins)
    found = probability.calibration_error(histogram, bins=bins)
    np.testing.assert_allclose(found, expected, atol=0.5 / histogram.shape[1])


@pytest.mark.parametrize("sure", [1e-3, 1e-5, 0])
def test_calibration_error_of_confident_networks(sure):
    """Nearly all confidences are in the last bin; the error is below 0.01 points all the same."""
    rng = np.random.default_rng(5)
    q = (sure * rng.random(SHAPE)).astype(np.float32)
    q[0, :2] = 0.5 * rng.random((2, 100))
    probabilities = np.stack([q, 1 - q], axis=-1)
    labels = (rng.random(SHAPE) < 0.999).astype(int)
    right = probabilities.argmax(axis=-1) == labels
    expected = calibration_by_loop(probabilities.max(axis=-1), right, 15)
    found = probability.calibration_error(confident(probabilities, labels))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_calibrated_scores_have_no_calibration_error():
    rng = np.random.default_rng(3)
    scores = rng.random((1, 500, 500))
    right = (rng.random(scores.shape) < scores).astype(int)
    histogram = count(scores, right)
    assert probability.calibration_error(histogram) < 0.01
    np.testing.assert_allclose(
        probability.calibration_error(histogram),
        calibration_by_loop(scores.ravel(), right.ravel(), 15),
        atol=1e-4,
    )
    surer = count(np.sqrt(scores), right)
    assert probability.calibration_error(surer) > 0.1


@pytest.mark.filterwarnings("error")
def test_nothing_counted_is_nan():
    empty = np.zeros((2, 15), int)
    assert np.isnan(probability.roc_auc(empty))
    assert np.isnan(probability.calibration_error(empty))
    empty[1] = 1
    assert np.isnan(probability.roc_auc(empty))


@pytest.mark.usefixtures("unchecked")
def test_invalid_input_gives_a_one_line_message():
    scores, both = np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 2))
    for call, message in [
        (lambda: probability.score_histogram(scores, scores[0]), r"must both be \[B, H"),
        (lambda: probability.score_histogram(scores, scores, scores[0]), "complements"),
        (lambda: probability.confidence_histogram(scores, scores), r"\[B, H, W, K\]"),
        (lambda: probability.confidence_histogram(both, scores, bins=0), "bins 0"),
        (lambda: probability.roc_auc(np.zeros(3)), r"\[2, bins\], not \[3\]"),
        (lambda: probability.calibration_error(np.zeros((2, 16))), "must be a divisor of the"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
