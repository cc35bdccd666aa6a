"""The confusion matrix and its metrics against scikit-learn; independence of the batches."""

import jax
import numpy as np
import pytest
from sklearn import metrics as judge

from jaxseg import metrics
from jaxseg.types import IGNORE

FORMS = ["auto", "bincount", "matmul"]
QUICK = {"xla_backend_optimization_level": 0}  # compilation takes far longer than execution
count = jax.jit(
    metrics.confusion_matrix, static_argnums=2, static_argnames="form", compiler_options=QUICK
)


def random_maps(seed, shape, classes, void=0.1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, shape).astype(np.uint8)
    predictions = np.where(rng.random(shape) < 0.5, labels, rng.integers(0, classes, shape))
    labels[rng.random(shape) < void] = IGNORE
    return labels, predictions.astype(np.int32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 63), (3, 5, 64), (1, 7, 131)])
def test_equals_scikit_learn(form, shape):
    labels, predictions = random_maps(0, shape, 5)
    ours = count(labels, predictions, 5, form=form)
    valid = labels != IGNORE
    expected = np.zeros((5, 5), int)
    if valid.any():
        expected = judge.confusion_matrix(labels[valid], predictions[valid], labels=range(5))
    np.testing.assert_array_equal(ours, expected)
    assert ours.dtype == np.int32


@pytest.mark.parametrize("form", FORMS)
def test_labels_outside_the_classes_are_not_counted(form):
    labels = np.array([[[0, 1, 2, 3, IGNORE, -1, 1, 1]]], np.int32)
    predictions = np.array([[[0, 1, 1, 1, 1, 1, 7, -1]]], np.int32)
    found = count(labels, predictions, 3, form=form)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 1, 0], [0, 1, 0]])


def test_matmul_counts_exactly_beyond_the_range_of_bfloat16_and_float16():
    shape = (2, 300, 640)  # 384,000 pixels in one cell; bfloat16 counts to 256
    counts = count(np.ones(shape, np.uint8), np.ones(shape, np.uint8), 3, form="matmul")
    assert counts[1, 1] == np.prod(shape)
    assert counts.sum() == np.prod(shape)


@pytest.mark.parametrize("form", FORMS[1:])
def test_the_result_does_not_depend_on_the_batches(form):
    labels, predictions = random_maps(1, (6, 11, 17), 4)
    whole = np.asarray(count(labels, predictions, 4, form=form), np.int64)
    for parts in (2, 3, 6):
        split = zip(np.split(labels, parts), np.split(predictions, parts), strict=True)
        counts = sum(np.asarray(count(*p, 4, form=form), int) for p in split)
        np.testing.assert_array_equal(counts, whole)
        assert metrics.summarize(counts).miou == metrics.summarize(whole).miou
    padded = [
        np.pad(m, ((0, 2), (0, 5), (0, 3)), constant_values=IGNORE) for m in (labels, predictions)
    ]
    np.testing.assert_array_equal(count(*padded, 4, form=form), whole)


def test_summary_equals_scikit_learn():
    labels, predictions = random_maps(2, (2, 40, 40), 6)
    summary = metrics.summarize(count(labels, predictions, 6))
    valid = labels != IGNORE
    t, p = labels[valid], predictions[valid]
    np.testing.assert_allclose(summary.iou, judge.jaccard_score(t, p, average=None))
    np.testing.assert_allclose(summary.miou, judge.jaccard_score(t, p, average="macro"))
    np.testing.assert_allclose(summary.fwiou, judge.jaccard_score(t, p, average="weighted"))
    np.testing.assert_allclose(summary.precision, judge.precision_score(t, p, average=None))
    np.testing.assert_allclose(summary.recall, judge.recall_score(t, p, average=None))
    np.testing.assert_allclose(summary.mean_accuracy, judge.balanced_accuracy_score(t, p))
    np.testing.assert_allclose(summary.pixel_accuracy, judge.accuracy_score(t, p))
    np.testing.assert_allclose(summary.dice, judge.f1_score(t, p, average=None))
    np.testing.assert_allclose(summary.mean_dice, judge.f1_score(t, p, average="macro"))
    np.testing.assert_allclose(summary.kappa, judge.cohen_kappa_score(t, p))
    assert summary.absent == ()


def test_absent_classes_are_named_and_do_not_affect_means():
    # Class 1 is predicted but not in the truth, class 3 is in neither, class 2 is never predicted.
    counts = np.array([[6, 2, 0, 0], [0, 0, 0, 0], [4, 0, 0, 0], [0, 0, 0, 0]])
    summary = metrics.summarize(counts)
    assert summary.absent == (1, 3)
    np.testing.assert_array_equal(summary.iou, [0.5, 0, 0, np.nan])
    np.testing.assert_allclose(summary.miou, 0.5 / 3)
    np.testing.assert_array_equal(summary.recall, [0.75, np.nan, 0, np.nan])
    np.testing.assert_allclose(summary.mean_accuracy, 0.375)
    np.testing.assert_array_equal(summary.precision, [0.6, 0, np.nan, np.nan])
    np.testing.assert_allclose(summary.fwiou, 8 / 12 * 0.5)
    np.testing.assert_allclose(summary.pixel_accuracy, 0.5)


@pytest.mark.filterwarnings("ignore")
def test_rules_for_absent_classes_equal_scikit_learn():
    labels, predictions = random_maps(3, (2, 20, 20), 4)
    predictions[labels == 2] = 3
    labels[labels == 2] = 5  # class 2 is at most predicted, 4 in neither, 5 missed
    summary = metrics.summarize(count(labels, predictions, 6))
    valid = labels != IGNORE
    t, p = labels[valid], predictions[valid]
    classes = range(6)
    for number, rule in ((summary.miou_zero, 0), (summary.miou_one, 1)):
        macro = judge.jaccard_score(t, p, labels=classes, average="macro", zero_division=rule)
        np.testing.assert_allclose(number, macro)
    for number, present in ((summary.miou_truth, t), (summary.miou, np.concatenate([t, p]))):
        macro = judge.jaccard_score(t, p, labels=np.unique(present), average="macro")
        np.testing.assert_allclose(number, macro)
    assert len({summary.miou, summary.miou_truth, summary.miou_zero, summary.miou_one}) == 4
    f1 = judge.f1_score(t, p, labels=classes, average=None, zero_division=np.nan)
    np.testing.assert_allclose(summary.dice, f1)
    np.testing.assert_allclose(summary.kappa, judge.cohen_kappa_score(t, p, labels=classes))


def test_mean_iou_accepts_many_matrices_and_does_not_overflow():
    counts = np.random.default_rng(4).integers(0, 9, (3, 2, 5, 5))
    counts[0, 0, 2] = counts[0, 0, :, 2] = 0
    for rule in ("skip", "truth", "zero", "one"):
        found = metrics.mean_iou(*metrics.class_counts(counts), absent=rule)
        assert found.shape == (3, 2)
        for place in np.ndindex(3, 2):
            one = metrics.mean_iou(*metrics.class_counts(counts[place]), absent=rule)
            assert found[place] == one
    assert found[1, 1] == metrics.summarize(counts[1, 1]).miou
    large = np.array([2**31 - 1], np.int32)
    assert metrics.mean_iou(large, large, large) == 1


@pytest.mark.parametrize(
    ("confusion", "kappa"),
    [
        ([[5, 0], [0, 5]], 1),
        ([[0, 5], [5, 0]], -1),
        ([[4, 4], [4, 4]], 0),
        ([[9, 0], [0, 0]], np.nan),  # one class everywhere: chance agrees as well
        ([[2**40, 0], [0, 2**40]], 1),  # t p would not fit in int64
    ],
)
def test_known_values_of_kappa(confusion, kappa):
    np.testing.assert_allclose(metrics.summarize(np.array(confusion)).kappa, kappa)


@pytest.mark.filterwarnings("error")
def test_nothing_counted_is_nan_without_a_warning():
    summary = metrics.summarize(np.zeros((2, 2), int))
    assert np.isnan([summary.miou, summary.fwiou, summary.pixel_accuracy]).all()
    assert np.isnan([summary.miou_truth, summary.mean_dice, summary.kappa]).all()
    assert (summary.miou_zero, summary.miou_one) == (0, 1)
    assert summary.absent == (0, 1)


def test_large_counts_stay_exact():
    counts = np.array([[2**53 + 1, 0], [0, 6_000_000_000]], np.int64)
    assert metrics.summarize(counts).miou == 1


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 3\).*\(1, 2, 4\)"):
        metrics.confusion_matrix(np.zeros((1, 2, 3)), np.zeros((1, 2, 4)), 2)
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        metrics.summarize(np.zeros((2, 3), int))
    with pytest.raises(ValueError, match=r"\[2, 3, 3\]"):
        metrics.summarize(np.zeros((2, 3, 3), int))
    with pytest.raises(ValueError, match="absent 'none': must be skip, truth, zero or one"):
        metrics.mean_iou(np.ones(2), np.ones(2), np.ones(2), absent="none")
    with pytest.raises(ValueError, match="form 'fast'"):
        metrics.confusion_matrix(np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), 2, form="fast")
