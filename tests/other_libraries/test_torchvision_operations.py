"""Boxes, NMS, RoIAlign and the drawing of masks beside torchvision's compiled operations.

They need stub libraries beside a build of torch for the CPU, found before the process starts: so
the judge, which stands in .judges/torchvision or what JAXSEG_TORCHVISION names, is a process of its
own.
"""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxseg.layers import boxes as ours
from jaxseg.layers.nms import nms
from jaxseg.layers.roi_align import roi_align, roi_pool
from jaxseg.postprocess.paste_masks import paste_mask, paste_masks
from tests.conftest import ROOT
from tests.helpers.compiling import AS_IT_RUNS

pytestmark = pytest.mark.other_libraries
PROGRAM = ROOT / "tests" / "helpers" / "programs" / "torchvision_operations.py"
FORMS = pytest.mark.parametrize("form", ["plain", "fast"])


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Of an operation's cases, lists of dicts of arrays, what torchvision gives."""
    folder = pathlib.Path(os.environ.get("JAXSEG_TORCHVISION", ROOT / ".judges" / "torchvision"))
    if not (folder / "site" / "torchvision").is_dir():
        pytest.skip(f"needs torchvision with its operations in {folder}")
    environment = os.environ | {
        "PYTHONPATH": str(folder / "site"),
        "LD_LIBRARY_PATH": str(folder / "stubs"),
        "OMP_NUM_THREADS": "1",
    }

    def ask(operation, cases):
        place = tmp_path_factory.mktemp(operation)
        named = {f"{operation}/{i}/{k}": v for i, case in enumerate(cases) for k, v in case.items()}
        np.savez(place / "request.npz", **named)
        command = [sys.executable, str(PROGRAM), "request.npz", "answer.npz"]
        subprocess.run(command, cwd=place, env=environment, check=True)
        answers = [{} for _ in cases]
        for key, value in np.load(place / "answer.npz").items():
            _, i, result = key.split("/")
            answers[int(i)][result] = value
        return answers

    return ask


COUNT, THRESHOLDS = 260, (0.5, 0.7, 0.3)


def _suppression(seed):
    """A third of the cases on a coarse grid with equal scores; padding and groups in all."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        corner, sides = rng.integers(0, 12, (COUNT, 2)), rng.integers(1, 11, (COUNT, 2))
        corner[::2, 0], sides[::2, 0] = 0, 10  # these differ in rows alone, by tenths
        scores = rng.integers(0, 30, COUNT) / 32
    else:
        centres, scales = rng.uniform(0, 400, (8, 2)), rng.uniform(20, 150, (8, 2))
        which = rng.integers(0, 8, COUNT)
        corner = centres[which] + rng.normal(size=(COUNT, 2)) * scales[which] * 0.15
        sides = scales[which] * np.exp(rng.normal(size=(COUNT, 2)) * 0.2)
        scores = rng.random(COUNT)
    boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    valid = rng.random(COUNT) < 0.9
    boxes[~valid] = 0
    groups = rng.integers(0, 1 + seed % 4, COUNT).astype(np.int32)
    return {"boxes": boxes, "scores": scores.astype(np.float32), "valid": valid, "groups": groups}


@pytest.fixture(scope="module")
def suppressed(judge):
    """300 cases and the kept boxes of each."""
    cases = [
        _suppression(seed) | {"threshold": np.float64(THRESHOLDS[seed % 3 if seed < 150 else 1])}
        for seed in range(300)
    ]
    return cases, [answer["kept"] for answer in judge("nms", cases)]


@FORMS
def test_nms_keeps_the_same_boxes_in_the_same_order(form, suppressed):
    cases, kept = suppressed
    run = jax.jit(
        lambda boxes, scores, valid, groups, threshold: jax.vmap(
            lambda *x: nms(*x[:3], threshold, x[3], form=form)
        )(boxes, scores, valid, groups),
        static_argnums=4,
        compiler_options=AS_IT_RUNS,
    )
    compared = 0
    for threshold in THRESHOLDS:
        chosen = [i for i, case in enumerate(cases) if case["threshold"] == threshold]
        names = ("boxes", "scores", "valid", "groups")
        batch = [np.stack([cases[i][name] for i in chosen]) for name in names]
        indices, there = (np.asarray(x) for x in run(*batch, threshold))
        for i, index, valid in zip(chosen, indices, there, strict=True):
            np.testing.assert_array_equal(index[valid], kept[i])
            compared += 1
    assert compared == 300


def _regions(seed, canvas, count):
    """Of any side and place, some partly outside, one without area."""
    rng = np.random.default_rng(seed)
    height, width = canvas
    sides = np.exp(rng.uniform(0, np.log(height), (2, count, 2)))
    corner = rng.uniform(-10, (width, height), (2, count, 2))
    rois = np.concatenate([corner, corner + sides], axis=-1)
    rois[:, -1] = 0
    return rois.astype(np.float32)


def _pooling(seed, size, canvas=(96, 128), stride=4, channels=3):
    rng = np.random.default_rng(seed)
    shape = 2, canvas[0] // stride, canvas[1] // stride, channels
    rois = _regions(seed, canvas, 12)
    return {
        "maps": rng.normal(size=shape).astype(np.float32),
        "rois": rois,
        "dy": rng.normal(size=(2, 12, size, size, channels)).astype(np.float32),
        "size": np.int64(size),
        "scale": np.float64(1 / stride),
    }


def _ours(operation, case):
    size, stride = int(case["size"]), 1 / float(case["scale"])

    def run(x, rois, dy):
        level = np.zeros(rois.shape[:2], np.int32)
        y, pull = jax.vjp(lambda x: operation([x], [stride], rois, level, size), x)
        return y, *pull(dy)

    return jax.jit(run)(case["maps"], case["rois"], case["dy"])


@FORMS
def test_roi_align(form, judge):
    """Both conventions, fixed and adaptive sampling, 7 x 7 and 14 x 14."""
    cases = []
    for size in (7, 14):
        for sampling, aligned in ((2, False), (2, True), (0, False), (0, True)):
            case = _pooling(size + sampling, size)
            case |= {"sampling": np.int64(sampling), "aligned": np.bool_(aligned)}
            if not sampling:
                case["rois"] = case["rois"].clip(0, [128, 96, 128, 96]).astype(np.float32)
            cases.append(case)
    for case, expected in zip(cases, judge("roi_align", cases), strict=True):
        how = {"sampling": int(case["sampling"]), "aligned": bool(case["aligned"])}
        value, gradient = _ours(functools.partial(roi_align, form=form, **how), case)
        np.testing.assert_allclose(value, expected["value"], atol=1e-5)
        np.testing.assert_allclose(gradient, expected["gradient"], rtol=5e-6, atol=1e-5)


def test_roi_align_of_several_levels(judge):
    """Each RoI on its own level, and on a map of 128 cells, whose positions are rounded more."""
    strides, canvas = (4, 8, 16), (512, 512)
    cases = [_pooling(3, 7, canvas, s) for s in strides]
    for case in cases:
        case |= {"sampling": np.int64(2), "aligned": np.bool_(False)}
    rois = cases[0]["rois"]
    level = np.random.default_rng(0).integers(0, 3, rois.shape[:2])
    dy = cases[0]["dy"]
    for k, case in enumerate(cases):
        case["dy"] = dy * (level == k)[..., None, None, None]
    expected = judge("roi_align", cases)

    def run(maps):
        y, pull = jax.vjp(lambda x: roi_align(x, strides, rois, level, 7), maps)
        return y, pull(dy)[0]

    y, gradients = jax.jit(run)([case["maps"] for case in cases])
    of_level = np.stack([answer["value"] for answer in expected])
    chosen = np.take_along_axis(of_level, level[None, ..., None, None, None], axis=0)[0]
    np.testing.assert_allclose(y, chosen, atol=1e-4)
    for gradient, answer in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, answer["gradient"], atol=1e-4)


def test_roi_pool(judge):
    """To the bit, with many equal cells."""
    cases = [_pooling(seed, size, stride=8) for seed, size in ((0, 7), (1, 3))]
    for case in cases:
        case["maps"] = np.maximum(np.round(case["maps"] * 2), 0)
    for case, expected in zip(cases, judge("roi_pool", cases), strict=True):
        value, gradient = _ours(roi_pool, case)
        np.testing.assert_array_equal(value, expected["value"])
        np.testing.assert_allclose(gradient, expected["gradient"], atol=1e-6)


def test_levels(judge):
    """Also of boxes whose sides differ from a boundary by a rounding."""
    side = np.float32([1, 28, 56, 112, 224, 448, 800])
    side = np.concatenate([side, np.nextafter(side, 0), np.nextafter(side, 999), np.arange(1, 900)])
    rois = np.stack([0 * side, 0 * side, side, side], axis=1).astype(np.float32)
    find = jax.jit(ours.levels_of, static_argnums=(1, 2, 3))
    cases = [{"rois": rois, "canonical": canonical} for canonical in (224, 56)]
    for case, expected in zip(cases, judge("levels", cases), strict=True):
        found = find(rois, 2, 5, float(case["canonical"]))
        np.testing.assert_array_equal(found, expected["level"])


def test_anchors(judge):
    cases = [
        {"rows": 5, "columns": 7, "stride": 8, "sizes": [64], "ratios": [0.5, 1.0, 2.0]},
        {"rows": 3, "columns": 2, "stride": 16, "sizes": [32, 64, 128], "ratios": [0.5, 1.0, 2.0]},
        {"rows": 2, "columns": 2, "stride": 4, "sizes": [30, 33], "ratios": [0.33, 3.0]},
    ]
    arrays = [{name: np.asarray(value) for name, value in case.items()} for case in cases]
    for case, expected in zip(cases, judge("anchors", arrays), strict=True):
        size = case["rows"], case["columns"]
        found = ours.anchors(size, case["stride"], case["sizes"], case["ratios"])
        np.testing.assert_array_equal(found, expected["anchors"])


def test_coding_and_overlap(judge):
    rng = np.random.default_rng(0)
    corner, sides = rng.uniform(0, 300, (2, 200, 2)), np.exp(rng.uniform(0, 5, (2, 200, 2)))
    a, b = np.concatenate([corner, corner + sides], axis=-1).astype(np.float32)
    cases = [
        {"boxes": a, "anchors": b, "weights": np.array(weights)}
        for weights in ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0))
    ]
    for case, expected in zip(cases, judge("coding", cases), strict=True):
        weights = case["weights"].tolist()
        deltas = ours.encode(a, b, weights)
        np.testing.assert_allclose(deltas, expected["deltas"], rtol=1e-5, atol=1e-5)
        # Three times as far, so that sides meet their limit.
        moved = ours.decode(3 * deltas, b, weights)
        np.testing.assert_allclose(moved, expected["moved"], rtol=1e-4, atol=1e-2)
        run = jax.jit(ours.iou, compiler_options=AS_IT_RUNS)
        np.testing.assert_array_equal(run(a, b), expected["iou"])


def test_masks_are_drawn_the_same(judge):
    """Inside, at the border, beyond it, smaller than a pixel, larger than the image."""
    rng = np.random.default_rng(0)
    corner, sides = rng.uniform(-20, 90, (60, 2)), np.exp(rng.uniform(-1, 4.5, (60, 2)))
    boxes = np.concatenate([corner, corner + sides], axis=1).clip(-15, 110).astype(np.float32)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
    boxes[0] = [-40, -30, 150, 140]
    inside = (boxes[:, :2] < (88, 72)) & (boxes[:, 2:] > 4)
    boxes = boxes[inside.all(1)]  # torchvision cannot draw others
    assert len(boxes) > 30
    masks = 1 / (1 + np.exp(-3 * rng.normal(size=(len(boxes), 28, 28)))).astype(np.float32)
    size = 80, 96
    (expected,) = judge("paste", [{"masks": masks, "boxes": boxes, "size": np.array(size)}])
    for mask, box, drawn in zip(masks, boxes, expected["drawn"], strict=True):
        np.testing.assert_allclose(paste_mask(mask, box, size), drawn, atol=2e-6)
    for drawn, mask in zip(paste_masks(masks, boxes, size), expected["drawn"], strict=True):
        assert (drawn != (mask > 0.5)).sum() == 0
