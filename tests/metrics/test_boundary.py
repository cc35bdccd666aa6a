"""Boundary metrics against SciPy and OpenCV; void, padding and batches."""

import functools

import cv2
import jax
import numpy as np
import pytest
from scipy import ndimage

from jaxseg import metrics
from jaxseg.metrics import boundary, hausdorff
from jaxseg.types import IGNORE

QUICK = {"xla_backend_optimization_level": 0}  # compilation takes far longer than execution
K = 4
CROSS = ndimage.generate_binary_structure(2, 1)
SQUARE = np.ones((3, 3), bool)
SHAPES = [(2, 23, 31), (1, 1, 19), (1, 19, 1)]


def blobs(seed, shape, void=0.06):
    """Smooth regions with void, and predictions with errors at edges; class K-1 is absent."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(K - 1, *shape)), (0, 0, 2, 2))
    labels = smooth.argmax(axis=0).astype(np.uint8)
    near = ndimage.gaussian_filter(rng.normal(size=(K - 1, *shape)), (0, 0, 2, 2))
    predictions = (smooth + 0.4 * near).argmax(axis=0).astype(np.int32)
    blanks = ndimage.gaussian_filter(rng.normal(size=shape), (0, 1, 1))
    labels[blanks > np.quantile(blanks, 1 - void)] = IGNORE
    return labels, predictions


def compiled(function, num_classes=K, **options):
    chosen = functools.partial(function, num_classes=num_classes, **options)
    return jax.jit(chosen, compiler_options=QUICK)


def masks(ids, valid, k):
    """Returns the pixels of class k and those of other classes, without void."""
    return valid & (ids == k), valid & (ids != k)


def line(ids, valid, k, frame=False):
    own, other = masks(ids, valid, k)
    beside = ndimage.binary_dilation(np.pad(other, 1, constant_values=frame), CROSS)
    return own & beside[1:-1, 1:-1]


def matrix(labels, predictions, chosen):
    counts = np.zeros((K, K), int)
    np.add.at(counts, (labels[chosen], predictions[chosen]), 1)
    return counts


@pytest.mark.parametrize("metric", ["euclidean", "chessboard"])
@pytest.mark.parametrize("around", ["classes", "void"])
@pytest.mark.parametrize("shape", SHAPES)
def test_trimap_equals_scipy(shape, around, metric):
    labels, predictions = blobs(0, shape)
    widths = (1, 2, 5)
    found = compiled(boundary.trimap_confusions, widths=widths, around=around, metric=metric)(
        labels, predictions
    )
    expected = np.zeros((len(widths), K, K), int)
    for truth, guess in zip(labels, predictions, strict=True):
        valid = truth < K
        seeds = ~valid
        if around == "classes":
            seeds = np.any([line(truth, valid, k) for k in range(K)], axis=0)
        if not seeds.any():
            continue
        distance = (
            ndimage.distance_transform_edt(~seeds)
            if metric == "euclidean"
            else ndimage.distance_transform_cdt(~seeds, metric="chessboard")
        )
        for i, width in enumerate(widths):
            band = distance <= (width - 1 if around == "classes" else width)
            expected[i] += matrix(truth, guess, band & valid)
    np.testing.assert_array_equal(found, expected)


def test_trimap_around_void_is_its_dilation_minus_void():
    labels, predictions = blobs(1, (1, 30, 30))
    void = labels[0] == IGNORE
    counts = compiled(boundary.trimap_confusions, widths=(3,), around="void", metric="chessboard")(
        labels, predictions
    )
    band = cv2.dilate(void.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=3) > 0
    np.testing.assert_array_equal(counts[0], matrix(labels[0], predictions[0], band & ~void))


def test_wide_trimap_is_the_whole_image_and_narrow_bands_are_harder():
    labels, predictions = blobs(2, (2, 40, 40), void=0)
    bands = compiled(boundary.trimap_confusions, widths=(1, 3, 60))(labels, predictions)
    whole = metrics.confusion_matrix(labels, predictions, K)
    np.testing.assert_array_equal(bands[-1], whole)
    curve = metrics.mean_iou(*metrics.class_counts(bands))
    assert curve[0] < curve[1] < curve[2]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("distance", [1, 3])
def test_boundary_iou_equals_scipy(shape, distance):
    labels, predictions = blobs(3, shape)
    count = compiled(boundary.boundary_iou_counts, distance=distance)
    expected = np.zeros((3, K), int)
    for truth, guess in zip(labels, predictions, strict=True):
        valid = truth < K
        for k in range(K):
            both = []
            for ids in (truth, guess):
                own, other = masks(ids, valid, k)
                reached = np.pad(other, distance, constant_values=True)
                reached = ndimage.binary_dilation(reached, SQUARE, iterations=distance)
                both.append(own & reached[distance:-distance, distance:-distance])
            expected[:, k] += (both[0] & both[1]).sum(), both[0].sum(), both[1].sum()
    np.testing.assert_array_equal(count(labels, predictions), expected)


@pytest.mark.parametrize("ratio", [0.02, 0.0001, 0.11, 0.4])
def test_boundary_iou_without_void_is_an_erosion(ratio):
    labels, predictions = blobs(4, (1, 45, 60), void=0)
    counts = compiled(boundary.boundary_iou_counts, ratio=ratio)(labels, predictions)
    steps = max(1, round(ratio * 75))
    ious = []
    for k in range(K):
        both = []
        for ids in (labels[0], predictions[0]):
            own = (ids == k).astype(np.uint8)
            framed = cv2.copyMakeBorder(own, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            left = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=steps)[1:-1, 1:-1]
            both.append((own - left) > 0)
        union = (both[0] | both[1]).sum()
        ious.append((both[0] & both[1]).sum() / union if union else np.nan)
    np.testing.assert_allclose(metrics.class_iou(*counts), ious)


@pytest.mark.parametrize("shape", SHAPES)
def test_boundary_f_equals_scipy(shape):
    labels, predictions = blobs(5, shape)
    tolerances = (0.5, 1, 3, 4.25)
    found = compiled(boundary.boundary_f_counts, tolerances=tolerances, unit="pixel")
    expected = np.zeros((shape[0], len(tolerances), 4, K), int)
    for b, (truth, guess) in enumerate(zip(labels, predictions, strict=True)):
        valid = truth < K
        for k in range(K):
            lines = [line(ids, valid, k) for ids in (truth, guess)]
            for side, (own, other) in enumerate((lines, lines[::-1])):
                away = np.full(own.shape, np.inf)
                if other.any():
                    away = ndimage.distance_transform_edt(~other)
                for t, tolerance in enumerate(tolerances):
                    matched = (own & (away <= tolerance)).sum()
                    expected[b, t, 2 * side : 2 * side + 2, k] = matched, own.sum()
    np.testing.assert_array_equal(found(labels, predictions), expected)


def test_tolerance_of_boundary_f_is_a_share_of_the_diagonal():
    # Two straight edges, three columns apart, in images whose diagonal is 300, 400 and 500 pixels.
    labels = np.full((3, 300, 400), IGNORE, np.uint8)
    predictions = np.zeros(labels.shape, int)
    sizes = np.array([[180, 240], [240, 320], [300, 400]])
    for truth, (height, width) in zip(labels, sizes, strict=True):
        truth[:height, :width] = 0
        truth[:height, 100:width] = 1
    predictions[..., 103:] = 1
    count = compiled(boundary.boundary_f_counts, num_classes=2)  # 0.75 %
    scores = boundary.f_scores(count(labels, predictions, sizes=sizes)[:, 0])
    np.testing.assert_array_equal(scores, [[0, 0], [1, 1], [1, 1]])
    alone = count(labels[2:], predictions[2:])
    np.testing.assert_array_equal(boundary.f_scores(alone[0, 0]), [1, 1])


def test_f_scores_by_hand():
    counts = np.array([[3, 0, 0, 0], [4, 0, 5, 6], [2, 0, 0, 0], [4, 7, 0, 9]])
    scores = boundary.f_scores(counts)
    np.testing.assert_allclose(scores, [2 * 0.75 * 0.5 / 1.25, 0, 0, 0])
    scores = boundary.f_scores(counts * [[1, 0, 1, 1]])
    np.testing.assert_allclose(scores, [0.6, np.nan, 0, 0])


@pytest.mark.filterwarnings("error")
def test_mean_f_score_is_over_classes_then_images():
    full, none = [2, 2, 2, 2], [0, 0, 0, 0]
    half = [1, 2, 1, 2]
    counts = np.array([[full, none], [half, full], [none, none]]).transpose(0, 2, 1)
    assert boundary.mean_f_score(counts) == (1 + (0.5 + 1) / 2) / 2
    assert np.isnan(boundary.mean_f_score(counts[2:]))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("percentile", [95, 100])
def test_hausdorff_equals_scipy(pooled, percentile):
    labels, predictions = blobs(6, (3, 24, 33), void=0)
    labels[1][labels[1] == 2] = 0
    predictions[2] = 1
    found = compiled(hausdorff.hausdorff, percentile=percentile, pooled=pooled)
    expected = np.full((3, K), np.nan)
    for b, k in np.ndindex(3, K):
        pair = [ids[b] == k for ids in (labels, predictions)]
        if not (pair[0].any() and pair[1].any()):
            expected[b, k] = np.inf if pair[0].any() or pair[1].any() else np.nan
            continue
        surfaces = [mask ^ ndimage.binary_erosion(mask, CROSS) for mask in pair]
        there = ndimage.distance_transform_edt(~surfaces[1])[surfaces[0]]
        back = ndimage.distance_transform_edt(~surfaces[0])[surfaces[1]]
        ways = [np.concatenate([there, back])] if pooled else [there, back]
        expected[b, k] = max(np.percentile(way, percentile) for way in ways)
    assert np.isinf(expected).any()
    assert np.isnan(expected).any()
    np.testing.assert_allclose(found(labels, predictions), expected, rtol=1e-5)


def test_hausdorff_equals_scipy_if_surfaces_are_single_pixels():
    labels, predictions = np.zeros((2, 1, 20, 20), int)
    labels[0, 3, 4] = labels[0, 15, 2] = predictions[0, 9, 17] = 1
    found = compiled(hausdorff.hausdorff, num_classes=2, percentile=100)(labels, predictions)
    np.testing.assert_allclose(found[0, 1], np.hypot(15 - 9, 2 - 17), rtol=1e-6)


SUITE = {
    "trimap classes": compiled(boundary.trimap_confusions, widths=(1, 2, 4)),
    "trimap void": compiled(boundary.trimap_confusions, widths=(1, 4), around="void"),
    "boundary iou": compiled(boundary.boundary_iou_counts, ratio=0.07),
    "boundary f": compiled(boundary.boundary_f_counts, tolerances=(0.02, 0.03, 0.09)),
    "hausdorff": compiled(hausdorff.hausdorff),
}
PER_IMAGE = ("boundary f", "hausdorff")  # the others are sums over images


@pytest.mark.parametrize("name", SUITE)
def test_void_padding_and_batch_have_no_effect(name):
    """Arguments keep their shapes, so that each metric compiles only twice."""
    count = SUITE[name]
    labels, predictions = blobs(7, (3, 20, 26), void=0.2)
    one = np.asarray(count(labels, predictions))
    assert np.count_nonzero(one == one), "something is counted"

    # The prediction in void, and the id of void, do not matter.
    other = np.random.default_rng(0).integers(-1, 300, labels.shape)
    other = np.where(labels == IGNORE, other, predictions)
    np.testing.assert_array_equal(count(labels, other.astype(np.int32)), one)
    for void in (100, 200):
        renamed = np.where(labels == IGNORE, void, labels).astype(np.uint8)
        np.testing.assert_array_equal(count(renamed, predictions), one)

    # Only void.
    nothing = np.asarray(count(np.full_like(labels, IGNORE), predictions))
    assert np.isnan(nothing).all() if name == "hausdorff" else not nothing.any()

    # Padded to a frame, with empty images as fillers: together and one by one.
    frame = ((0, 0), (0, 5), (0, 3))
    labels = np.pad(labels, frame, constant_values=IGNORE)
    predictions = np.pad(predictions, frame, constant_values=1)
    sizes = np.array([[20, 26]] * 3)
    np.testing.assert_array_equal(count(labels, predictions, sizes=sizes), one)
    singles = []
    for b in range(3):
        chosen = np.arange(3) == b
        alone = np.where(chosen[:, None, None], labels, IGNORE).astype(np.uint8)
        parts = np.asarray(count(alone, predictions, sizes=sizes * chosen[:, None]))
        singles.append(parts[b] if name in PER_IMAGE else parts)
    combined = np.stack(singles) if name in PER_IMAGE else np.sum(singles, axis=0)
    np.testing.assert_array_equal(combined, one)


def test_a_perfect_prediction_is_perfect():
    labels, _ = blobs(9, (3, 20, 26), void=0.1)
    guess = np.where(labels == IGNORE, 0, labels).astype(np.int32)
    bands = SUITE["trimap classes"](labels, guess)
    np.testing.assert_array_equal(metrics.mean_iou(*metrics.class_counts(bands)), [1, 1, 1])
    iou = metrics.class_iou(*SUITE["boundary iou"](labels, guess))
    np.testing.assert_array_equal(iou, [1, 1, 1, np.nan])
    counts = np.asarray(SUITE["boundary f"](labels, guess))
    assert boundary.mean_f_score(counts[:, 0]) == 1
    distances = SUITE["hausdorff"](labels, guess)
    np.testing.assert_array_equal(distances, [[0, 0, 0, np.nan]] * 3)


@pytest.mark.usefixtures("unchecked")
def test_invalid_input_gives_a_one_line_message():
    ids = np.zeros((1, 4, 4), int)
    for call, message in [
        (lambda: boundary.trimap_confusions(ids, ids[:, 1:], K, (1,)), "must both be"),
        (lambda: boundary.trimap_confusions(ids, ids, K, (2, 1)), r"widths \(2, 1\)"),
        (lambda: boundary.trimap_confusions(ids, ids, K, (1, 1.5)), "whole numbers"),
        (lambda: boundary.trimap_confusions(ids, ids, K, (1,), around="x"), "around 'x'"),
        (lambda: boundary.trimap_confusions(ids, ids, K, (1,), metric="x"), "metric 'x'"),
        (lambda: boundary.boundary_iou_counts(ids, ids, K, ratio=0), r"ratio \(0,\)"),
        (lambda: boundary.boundary_iou_counts(ids, ids, K, distance=-1), "distance"),
        (lambda: boundary.boundary_f_counts(ids, ids, K, tolerances=()), "tolerances"),
        (lambda: boundary.boundary_f_counts(ids, ids, K, unit="mm"), "unit 'mm'"),
        (lambda: hausdorff.hausdorff(ids, ids, K, percentile=101), "percentile 101"),
        (lambda: hausdorff.hausdorff(ids, ids, K, percentile=9.999), "steps of 0.01"),
        (lambda: hausdorff.hausdorff(ids[0], ids[0], K), r"\[B, H, W\]"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            jax.eval_shape(call)
        assert "\n" not in str(caught.value)
