"""Judges of the metrics: cityscapesScripts' counts and IoU, medpy's overlaps and distances."""

import argparse

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn import calibration

from jaxseg import metrics
from jaxseg.data.builders import cityscapes
from jaxseg.metrics import hausdorff, probability

pytestmark = pytest.mark.other_libraries

QUICK = {"xla_backend_optimization_level": 0}  # compiling takes far longer than running here


def regions(seed, shape, classes, noise=0.5):
    """Smooth regions and others that differ at their edges, ids [B, H, W]."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(classes, *shape)), (0, 0, 2, 2))
    near = ndimage.gaussian_filter(rng.normal(size=smooth.shape), (0, 0, 2, 2))
    return smooth.argmax(axis=0), (smooth + noise * near).argmax(axis=0)


def test_confusion_matrix_and_iou_are_cityscapes_scripts(tmp_path):
    """From label files with its raw ids; what is ignored or missing in the truth is there too."""
    judge = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    ids = np.array([raw for raw, _, _ in cityscapes.CLASSES])
    truth, guess = regions(0, (3, 32, 48), 14, noise=1)  # classes 14 to 18 are nowhere
    guess[guess == 3] = 14  # and now 14 is predicted alone
    raw = ids[truth]
    raw[truth == 13] = 4  # "static", which is not evaluated
    names = []
    for index, maps in enumerate(zip(raw, ids[guess], strict=True)):
        names.append([str(tmp_path / f"{index}_{kind}.png") for kind in ("labelIds", "pred")])
        for name, ids_of_one in zip(names[-1], maps, strict=True):
            Image.fromarray(ids_of_one.astype(np.uint8)).save(name)
    settings = vars(judge.args) | {"evalInstLevelScore": False, "JSONOutput": False, "quiet": True}
    found = judge.evaluateImgLists(
        [pair[1] for pair in names], [pair[0] for pair in names], argparse.Namespace(**settings)
    )

    labels = cityscapes.LABELS.encode(raw.astype(np.uint8), "truth")
    counts = metrics.confusion_matrix(labels, guess, len(ids))
    theirs = np.asarray(found["confMatrix"])
    np.testing.assert_array_equal(counts, theirs[np.ix_(ids, ids)])
    summary = metrics.summarize(counts)
    scores = [found["classScores"][name] for name in cityscapes.LABELS.names]
    np.testing.assert_allclose(summary.iou, scores)
    assert np.isnan(scores).sum() == 4
    assert scores[14] == scores[3] == 0
    np.testing.assert_allclose(summary.miou, found["averageScoreClasses"])


@pytest.fixture(scope="module")
def medpy():
    return pytest.importorskip("medpy.metric.binary")


def test_dice_precision_and_recall_are_medpys(medpy):
    truth, guess = regions(1, (1, 40, 50), 3)
    summary = metrics.summarize(metrics.confusion_matrix(truth, guess, 3))
    for k in range(3):
        pair = guess[0] == k, truth[0] == k
        np.testing.assert_allclose(summary.dice[k], medpy.dc(*pair))
        np.testing.assert_allclose(summary.iou[k], medpy.jc(*pair))
        np.testing.assert_allclose(summary.precision[k], medpy.precision(*pair))
        np.testing.assert_allclose(summary.recall[k], medpy.recall(*pair))


@pytest.mark.parametrize(("percentile", "name"), [(95, "hd95"), (100, "hd")])
def test_hausdorff_distances_are_medpys(medpy, percentile, name):
    truth, guess = regions(2, (2, 40, 50), 3)

    def distances(truth, guess):
        return hausdorff.hausdorff(truth, guess, 3, percentile=percentile, pooled=True)

    found = jax.jit(distances, compiler_options=QUICK)(truth, guess)
    expected = [
        [getattr(medpy, name)(guess[b] == k, truth[b] == k) for k in range(3)] for b in range(2)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.ptp(expected) > 1


def test_calibration_curve_is_scikit_learns():
    rng = np.random.default_rng(3)
    scores = rng.random((2, 40, 50)).astype(np.float32)
    right = (rng.random(scores.shape) < scores**2).astype(int)
    histogram = probability.score_histogram(scores, right)
    share, confidence = calibration.calibration_curve(right.ravel(), scores.ravel(), n_bins=15)
    weights = np.histogram(scores, bins=15, range=(0, 1))[0] / scores.size
    expected = np.sum(weights * np.abs(share - confidence))
    found = probability.calibration_error(histogram)
    np.testing.assert_allclose(found, expected, atol=0.5 / histogram.shape[1])
    assert found > 0.1
