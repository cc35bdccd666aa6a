"""Losses of detectors: against loops, in empty cases, and with padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg.losses.detection import box_terms, detection, mask_term, rpn_terms, smooth_l1
from jaxseg.losses.mask_targets import bin_weights, mask_targets, unpacked
from jaxseg.types import Objects
from tests.models.networks import QUICK

SIZE = (24, 40)
K, N, P, M, A, G = 3, 8, 2, 4, 30, 3


def some_objects(rng, count=(3, 1), size=SIZE):
    """Rectangles in G places, of which `count` are there."""
    boxes = np.zeros((len(count), G, 4), np.float32)
    classes = np.zeros(boxes.shape[:2], np.int32)
    masks = np.zeros((*classes.shape, *size), bool)
    for b, there in enumerate(count):
        for g in range(there):
            y, x = rng.integers(0, size[0] - 9), rng.integers(0, size[1] - 9)
            h, w = rng.integers(4, 9, 2)
            boxes[b, g], classes[b, g] = (x, y, x + w, y + h), rng.integers(1, K + 1)
            masks[b, g, y : y + h, x : x + w] = rng.random((h, w)) < 0.8
    return Objects(boxes, classes, classes > 0, np.packbits(masks, axis=-1))


def some_outputs(rng, objects, positives=2, channels=K + 1):
    """Random ones; the first `positives` RoIs of each image are near its first object."""
    batch = len(objects.boxes)
    rois = np.sort(rng.uniform(0, 20, (batch, N, 2, 2)), axis=2).reshape(batch, N, 4)
    rois[:, :positives] = objects.boxes[:, :1] + [0.5, 0.25, -0.25, 1]
    classes = np.zeros((batch, N), np.int32)
    classes[:, :positives] = objects.classes[:, :1]
    corners = np.sort(rng.uniform(0, 24, (A, 2, 2)), axis=1).reshape(A, 4)
    outputs = {
        "sizes": np.tile(np.array([SIZE], np.int32), (batch, 1)),
        "anchors": corners,
        "rpn_logits": rng.normal(size=(batch, A)),
        "rpn_deltas": rng.normal(size=(batch, A, 4)),
        "rpn_draws": rng.random((batch, A)),
        "rois": rois,
        "roi_classes": classes,
        "roi_matched": np.zeros((batch, N), np.int32),
        "roi_valid": np.arange(N) < np.array([[N], [N - 3]])[:batch],
        "class_logits": rng.normal(size=(batch, N, K + 1)),
        "box_deltas": rng.normal(size=(batch, N, channels, 4)),
        "mask_logits": rng.normal(size=(batch, P, M, M, channels)),
    }
    return {
        name: jnp.asarray(x, np.float32 if x.dtype == np.float64 else x.dtype)
        for name, x in outputs.items()
    }


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("beta", [0.0, 1 / 9, 1.0])
def test_smooth_l1(beta):
    d = np.linspace(-2, 2, 41)
    expected = [0.5 * x * x / beta if beta and abs(x) < beta else abs(x) - 0.5 * beta for x in d]
    np.testing.assert_allclose(smooth_l1(d, np.zeros(41), beta), expected, atol=1e-6)
    assert np.isfinite(jax.grad(lambda x: smooth_l1(x, x * 0, beta).sum())(jnp.zeros(3))).all()


def encoded(box, anchor, weights):
    (bx, by, bw, bh), (ax, ay, aw, ah) = (
        ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1) for x1, y1, x2, y2 in (box, anchor)
    )
    raw = (bx - ax) / aw, (by - ay) / ah, np.log(bw / aw), np.log(bh / ah)
    return np.array(raw) * weights


@pytest.mark.parametrize("channels", [K + 1, 1])
def test_box_terms_are_what_loops_give(rng, channels):
    objects = some_objects(rng)
    outputs = some_outputs(rng, objects, channels=channels)
    terms = box_terms(outputs, objects, config.Detection(box_beta=0.5))
    out = {name: np.asarray(x, np.float64) for name, x in outputs.items()}
    number, loss, box = 0, 0.0, 0.0
    for b, n in np.argwhere(out["roi_valid"]):
        cls = int(out["roi_classes"][b, n])
        logits = out["class_logits"][b, n]
        loss += np.log(np.exp(logits).sum()) - logits[cls]
        number += 1
        if cls:
            wanted = encoded(objects.boxes[b, 0], out["rois"][b, n], (10, 10, 5, 5))
            d = np.abs(out["box_deltas"][b, n, cls if channels > 1 else 0] - wanted)
            box += np.where(d < 0.5, d * d, d - 0.25).sum()
    assert number == 2 * N - 3
    assert float(terms["class"]) == pytest.approx(loss / number, rel=1e-5)
    assert float(terms["box"]) == pytest.approx(box / number, rel=1e-4)


def test_rpn_terms_with_everything_sampled(rng):
    objects = some_objects(rng)
    outputs = some_outputs(rng, objects)
    outputs["anchors"] = outputs["anchors"].at[:6].set(np.tile(objects.boxes[0], (2, 1)) + 0.5)
    settings = config.Detection(rpn_samples=A, rpn_positive_fraction=1.0, rpn_beta=0.0)
    terms = rpn_terms(outputs, objects, settings)
    anchors = np.asarray(outputs["anchors"], np.float64)
    bce, box, number, positives = 0.0, 0.0, 0, 0
    for b in range(2):
        there = objects.boxes[b][objects.valid[b]]
        overlaps = np.array([[_iou(t, a) for a in anchors] for t in there])
        best = overlaps.argmax(0)
        positive = overlaps.max(0) >= 0.7
        for row in overlaps:
            positive |= row == row.max()
        for n in range(A):
            if positive[n] or overlaps[:, n].max() < 0.3:
                x, t = float(outputs["rpn_logits"][b, n]), float(positive[n])
                bce += np.log1p(np.exp(-abs(x))) + max(x, 0) - x * t
                number += 1
            if positive[n]:
                wanted = encoded(there[best[n]], anchors[n], (1, 1, 1, 1))
                box += np.abs(np.asarray(outputs["rpn_deltas"][b, n]) - wanted).sum()
                positives += 1
    assert positives > 3
    assert float(terms["objectness"]) == pytest.approx(bce / number, rel=1e-5)
    assert float(terms["rpn_box"]) == pytest.approx(box / number, rel=1e-4)
    slots = rpn_terms(outputs, objects, config.Detection(rpn_samples=A, normaliser="slots"))
    counted = rpn_terms(outputs, objects, config.Detection(rpn_samples=A))
    assert float(slots["objectness"]) < float(counted["objectness"])


def _iou(a, b):
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    of = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return w * h / (sum(of) - w * h)


def test_the_mask_term_counts_the_class_of_positives_alone(rng):
    objects = some_objects(rng)
    outputs = some_outputs(rng, objects, positives=1)
    settings = config.Detection(soft_masks=False)
    term = float(mask_term(outputs, objects, settings))
    targets = mask_targets(
        objects.masks,
        outputs["rois"][:, :P],
        outputs["roi_matched"][:, :P],
        outputs["sizes"],
        M,
        soft=False,
        aligned=False,
    )
    each = []
    for b in range(2):
        x = np.asarray(outputs["mask_logits"][b, 0, :, :, objects.classes[b, 0]], np.float64)
        t = np.asarray(targets[b, 0])
        each.append(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0) - x * t)
    assert 0 < np.mean([targets[b, 0].mean() for b in range(2)]) < 1
    assert term == pytest.approx(np.mean(each), rel=1e-5)
    one = {**outputs, "mask_logits": outputs["mask_logits"][..., :1]}
    assert float(mask_term(one, objects, settings)) != pytest.approx(term)


def test_competing_masks(rng):
    """Two classes: the softmax of (0, x) is the sigmoid of x."""
    objects = some_objects(rng)
    objects = objects._replace(classes=objects.classes.clip(0, 1))
    outputs = some_outputs(rng, objects)
    outputs["mask_logits"] = outputs["mask_logits"][..., :2].at[..., 0].set(0)
    binary = mask_term(outputs, objects, config.Detection())
    outputs["mask_softmax_logits"] = outputs.pop("mask_logits")
    assert float(mask_term(outputs, objects, config.Detection())) == pytest.approx(float(binary))


def _objective(outputs, objects):
    terms = detection(outputs, objects, config.Detection(rpn_samples=16))
    return terms["loss"], terms


_losses = jax.jit(
    jax.value_and_grad(_objective, has_aux=True, allow_int=True), compiler_options=QUICK
)


@pytest.mark.parametrize("case", ["no objects", "no positives", "no RoI", "boxes without area"])
def test_empty_cases_are_finite(rng, case):
    objects = some_objects(rng, (0, 0) if case == "no objects" else (3, 1))
    outputs = some_outputs(rng, objects, positives=0 if case == "no positives" else 2)
    if case == "no RoI":
        outputs["roi_valid"] = jnp.zeros((2, N), bool)
        outputs["rois"] = outputs["rois"] * 0
    if case == "boxes without area":
        objects.boxes[..., 2:] = objects.boxes[..., :2]
        outputs["rois"] = outputs["rois"].at[..., 2:].set(outputs["rois"][..., :2])
    (loss, terms), gradients = _losses(outputs, objects)
    assert np.isfinite(loss)
    assert all(np.isfinite(term) for term in terms.values())
    for name, gradient in gradients.items():
        if gradient.dtype != jax.dtypes.float0:
            assert np.isfinite(gradient).all(), name
    if case == "no objects":
        assert float(terms["rpn_box"]) == float(terms["box"]) == float(terms["mask"]) == 0


def test_padding_changes_nothing(rng):
    """More places for objects, more empty RoIs: the same loss."""
    objects = some_objects(rng)
    outputs = some_outputs(rng, objects)
    (loss, _), _ = _losses(outputs, objects)
    more = Objects(*(np.pad(x, [(0, 0), (0, 4)] + [(0, 0)] * (x.ndim - 2)) for x in objects))
    wider = dict(outputs)
    for name in ("rois", "roi_classes", "roi_matched", "roi_valid", "class_logits", "box_deltas"):
        x = np.asarray(outputs[name])
        fill = 0 if name.startswith("roi") else 1e9
        wider[name] = jnp.asarray(
            np.pad(x, [(0, 0), (0, 5)] + [(0, 0)] * (x.ndim - 2), constant_values=fill)
        )
    (padded, _), _ = _losses(wider, more)
    assert float(padded) == pytest.approx(float(loss), rel=1e-6)


def aligned_by_loops(mask, roi, size, aligned):
    """RoIAlign of one plane, with adaptive sampling, sample by sample."""
    offset, least = (0.5, 0) if aligned else (0, 1)
    x1, y1, x2, y2 = (float(v) - offset for v in roi)
    w, h = max(x2 - x1, least), max(y2 - y1, least)
    columns, rows = (max(int(np.ceil(n / size)), 1) for n in (w, h))
    out = np.zeros((size, size))

    def value(y, x):
        height, width = mask.shape
        if y < -1 or y > height or x < -1 or x > width:
            return 0.0
        y, x = max(y, 0), max(x, 0)
        a, b = min(int(y), height - 1), min(int(x), width - 1)
        c, d = min(a + 1, height - 1), min(b + 1, width - 1)
        fy, fx = (0 if a == height - 1 else y - a), (0 if b == width - 1 else x - b)
        top = mask[a, b] * (1 - fx) + mask[a, d] * fx
        return top * (1 - fy) + (mask[c, b] * (1 - fx) + mask[c, d] * fx) * fy

    for p, q in np.ndindex(size, size):
        total = 0.0
        for i, j in np.ndindex(rows, columns):
            y = y1 + (p + (i + 0.5) / rows) * h / size
            x = x1 + (q + (j + 0.5) / columns) * w / size
            total += value(y, x)
        out[p, q] = total / (rows * columns)
    return out


@pytest.mark.parametrize("aligned", [False, True])
def test_mask_targets_are_what_loops_give(rng, aligned):
    """On a canvas larger than the image, whose edge the samples see."""
    height, width = 19, 30  # of the image
    masks = np.zeros((1, 2, *SIZE), bool)
    masks[0, :, :height, :width] = rng.random((2, height, width)) < 0.6
    rois = np.array(
        [[[0, 0, width, height], [2.3, 4.1, 9.7, 5.2], [25, 12, 30, 19], [7, 7, 7, 7]]], np.float32
    )
    matched = np.array([[0, 1, 1, 0]])
    ours = mask_targets(
        np.packbits(masks, axis=-1),
        rois,
        matched,
        np.array([[height, width]]),
        M,
        soft=True,
        aligned=aligned,
    )
    for n in range(4):
        mask = masks[0, matched[0, n], :height, :width].astype(float)
        expected = aligned_by_loops(mask, rois[0, n], M, aligned)
        np.testing.assert_allclose(ours[0, n], expected, atol=1e-5, err_msg=str(n))


def test_bits_of_any_width(rng):
    pixels = rng.random((3, 5, 21)) < 0.5
    np.testing.assert_array_equal(unpacked(np.packbits(pixels, axis=-1))[..., :21], pixels)


def test_weights_of_a_bin_sum_to_one_within_the_image():
    weights = bin_weights(*map(jnp.asarray, (3.2, 17.9, 30)), 5, 32)
    np.testing.assert_allclose(np.asarray(weights).sum(1), 1, atol=1e-5)
