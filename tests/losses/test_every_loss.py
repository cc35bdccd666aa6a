"""Every loss against float64 NumPy; void pixels, absent classes, void images, wrong labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import losses
from jaxseg.types import IGNORE
from tests.models.networks import QUICK

B, H, W, K = 2, 5, 7, 4


def softmax(x):
    p = np.exp(x - x.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def groups(logits, labels, per_image):
    """Yields (probabilities [P, K], labels [P]) of the valid pixels, per image or for all."""
    p = softmax(logits.astype(np.float64))
    parts = [[i] for i in range(len(labels))] if per_image else [range(len(labels))]
    for part in parts:
        y = labels[list(part)].ravel()
        yield p[list(part)].reshape(-1, K)[y != IGNORE], y[y != IGNORE]


def focal(logits, labels, gamma, weights=(1, 1, 1, 1)):
    p, y = next(groups(logits, labels, False))
    hit = p[np.arange(len(y)), y]
    return np.mean(np.take(weights, y) * (1 - hit) ** gamma * -np.log(hit))


def dice(logits, labels, squared=False, per_image=False, per_class=True):
    means = []
    for p, y in groups(logits, labels, per_image):
        of_classes = []
        if not per_class and len(y):
            t = np.eye(K)[y]
            total = (p**2).sum() + t.sum() if squared else p.sum() + t.sum()
            of_classes.append(1 - 2 * (p * t).sum() / total)
        for c in np.unique(y) if per_class else ():
            t = y == c
            denominator = (p[:, c] ** 2).sum() + t.sum() if squared else p[:, c].sum() + t.sum()
            of_classes.append(1 - 2 * p[t, c].sum() / denominator)
        means += [np.mean(of_classes)] if of_classes else []
    return np.mean(means)


def lovasz(logits, labels, per_image):
    """Sums the increase of 1 - IoU by each pixel, in descending order of errors."""
    means = []
    for p, y in groups(logits, labels, per_image):
        of_classes = []
        for c in np.unique(y):
            truth = y == c
            errors = np.abs(truth - p[:, c])
            total, before, wrong = 0.0, 0.0, np.zeros(len(y), bool)
            for i in np.argsort(-errors, kind="stable"):
                wrong[i] = True
                predicted = truth ^ wrong
                loss = 1 - (truth & predicted).sum() / (truth | predicted).sum()
                total, before = total + errors[i] * (loss - before), loss
            of_classes.append(total)
        means += [np.mean(of_classes)] if of_classes else []
    return np.mean(means)


def hardest(logits, labels, share):
    p, y = next(groups(logits, labels, False))
    each = np.sort(-np.log(p[np.arange(len(y)), y]))[::-1]
    return each[: int(share * labels.size)].mean()


def cross_entropy(logits, labels, class_weights, label_smoothing):
    p, y = next(groups(logits, labels, False))
    q = (1 - label_smoothing) * np.eye(K)[y] + label_smoothing / K
    return np.mean(np.take(class_weights, y) * -(q * np.log(p)).sum(axis=1))


def mean_cross_entropy(logits, labels, valid, **options):
    return losses.masked_mean(losses.cross_entropy(logits, labels, valid, **options), valid)


def mean_focal(logits, labels, valid, **options):
    return losses.masked_mean(losses.focal(logits, labels, valid, **options), valid)


def hardest_cross_entropy(logits, labels, valid, share):
    return losses.hardest_mean(losses.cross_entropy(logits, labels, valid), share)


WEIGHTED = {"class_weights": (0.5, 1.0, 2.0, 0.25), "label_smoothing": 0.1}
CASES = {
    "cross_entropy": (mean_cross_entropy, cross_entropy, WEIGHTED),
    "focal": (mean_focal, focal, {"gamma": 2.0}),
    "focal_half": (mean_focal, focal, {"gamma": 0.5}),
    "focal_0": (mean_focal, focal, {"gamma": 0.0}),
    "dice": (losses.soft_dice, dice, {"squared": False, "per_image": False}),
    "dice_squared": (losses.soft_dice, dice, {"squared": True, "per_image": False}),
    "dice_together": (losses.soft_dice, dice, {"per_class": False}),
    "dice_together_squared": (
        losses.soft_dice,
        dice,
        {"per_class": False, "squared": True, "per_image": True},
    ),
    "dice_image": (losses.soft_dice, dice, {"squared": False, "per_image": True}),
    "lovasz": (losses.lovasz_softmax, lovasz, {"per_image": False}),
    "lovasz_image": (losses.lovasz_softmax, lovasz, {"per_image": True}),
    "hardest": (hardest_cross_entropy, hardest, {"share": 0.3}),
}
every_loss = pytest.mark.parametrize("name", CASES)


@functools.cache
def both(name):
    """Compiles value and gradient in (logits, labels, valid), once per case for all tests."""
    ours, _, options = CASES[name]
    run = jax.value_and_grad(lambda *arguments: ours(*arguments, **options))
    return jax.jit(run, compiler_options=QUICK)


@pytest.fixture(params=["all classes", "absent class", "void image"])
def batch(request):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(B, H, W, K), scale=2).astype(np.float32)
    labels = rng.integers(0, K, (B, H, W)).astype(np.uint8)
    labels[0, :2] = IGNORE
    if request.param == "absent class":
        labels[labels == 2] = 1
    if request.param == "void image":
        labels[0] = IGNORE
    return logits, labels


@every_loss
def test_value_equals_the_definition(name, batch):
    logits, labels = batch
    _, oracle, options = CASES[name]
    value, _ = both(name)(logits, labels, labels != IGNORE)
    np.testing.assert_allclose(value, oracle(logits, labels, **options), rtol=3e-6)
    assert value.dtype == jnp.float32


@every_loss
def test_gradient_agrees_with_finite_differences(name, batch):
    logits, labels = batch
    _, oracle, options = CASES[name]
    with jax.enable_x64(True):
        x = logits.astype(np.float64)
        _, gradient = both(name)(x, labels, labels != IGNORE)
        direction = np.random.default_rng(1).normal(size=x.shape)
        ends = [oracle(x + step * direction, labels, **options) for step in (1e-6, -1e-6)]
        np.testing.assert_allclose(np.sum(gradient * direction), (ends[0] - ends[1]) / 2e-6, 1e-6)


@every_loss
def test_void_pixels_have_no_effect(name, batch):
    logits, labels = batch
    valid = labels != IGNORE
    expected, clean = both(name)(logits, labels, valid)
    assert np.any(clean[valid])
    for poison in (np.nan, np.inf, -np.inf, 1e38):
        poisoned = np.where(valid[..., None], logits, np.float32(poison))
        value, gradient = both(name)(poisoned, labels, valid)
        np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(gradient, clean)
        assert not np.any(gradient[~valid])


@every_loss
def test_all_void_is_zero_with_zero_gradient(name):
    labels = np.full((B, H, W), IGNORE, np.uint8)
    logits = np.full((B, H, W, K), np.nan, np.float32)
    value, gradient = both(name)(logits, labels, np.zeros((B, H, W), bool))
    assert value == 0
    assert not np.any(gradient)


@every_loss
def test_a_valid_label_outside_the_classes_is_nan(name):
    ours, _, options = CASES[name]
    options = options | ({"share": 1.0} if name == "hardest" else {})
    run = jax.jit(functools.partial(ours, **options), compiler_options=QUICK)
    for label in (K, IGNORE, -1):
        labels = np.zeros((1, 2, 2), np.int32)
        labels[0, 1, 0] = label
        assert np.isnan(run(np.zeros((1, 2, 2, K)), labels, np.ones((1, 2, 2), bool)))


@every_loss
def test_certain_predictions_have_finite_gradients(name):
    """Logits differ so much that probabilities are exactly 0 and 1 in float32."""
    labels = np.resize(np.arange(K, dtype=np.uint8), (B, H, W))
    logits = 1e4 * np.eye(K, dtype=np.float32)[labels]
    for flip in (1, -1):  # certain and wrong too
        value, gradient = both(name)(flip * logits, labels, np.ones_like(labels, bool))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert (
            value == 0 or flip == -1 or name == "cross_entropy"
        )  # smoothed targets are never certain


def test_focal_weights_multiply(batch):
    logits, labels = batch
    weights = (0.5, 1.0, 2.0, 0.0)
    ours = mean_focal(logits, labels, labels != IGNORE, gamma=1.5, class_weights=weights)
    np.testing.assert_allclose(ours, focal(logits, labels, 1.5, weights), rtol=3e-6)


def test_dice_of_the_worked_example():
    """A 4 x 4 example with an intersection of |A and B| = 7.41."""
    prediction = np.array(
        [
            [0.01, 0.03, 0.02, 0.02],
            [0.05, 0.12, 0.09, 0.07],
            [0.89, 0.85, 0.88, 0.91],
            [0.99, 0.97, 0.95, 0.97],
        ]
    )
    truth = np.repeat([[0], [0], [1], [1]], 4, axis=1)
    assert np.sum(prediction * truth) == pytest.approx(7.41)
    plain = losses.dice_coefficient(prediction, truth, axis=(0, 1), squared=False)
    assert plain == pytest.approx(2 * 7.41 / (7.82 + 8))
    squared = losses.dice_coefficient(prediction, truth, axis=(0, 1), squared=True)
    assert squared == pytest.approx(2 * 7.41 / (np.sum(prediction**2) + 8))
    empty = np.zeros((4, 4))
    assert losses.dice_coefficient(empty, empty, axis=(0, 1), squared=False) == 1


def test_lovasz_of_a_hard_prediction_is_one_minus_iou():
    """At the corners of the unit cube, the Lovasz extension equals the set function."""
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(0, K, (2, 1, 8, 8))
    logits = 1e4 * np.eye(K, dtype=np.float32)[predicted]
    hit = [np.sum((labels == c) & (predicted == c)) for c in range(K)]
    union = [np.sum((labels == c) | (predicted == c)) for c in range(K)]
    expected = 1 - np.mean(np.divide(hit, union))
    valid = np.ones(labels.shape, bool)
    assert losses.lovasz_softmax(logits, labels, valid) == pytest.approx(expected, rel=1e-6)
