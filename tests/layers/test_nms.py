"""NMS against a loop in NumPy: equal scores, thresholds met exactly, padding, groups."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.layers.nms import nms
from tests.helpers.compiling import AS_IT_RUNS
from tests.layers.test_boxes import iou

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
FORMS = pytest.mark.parametrize("form", ["plain", "fast"])
COUNT = 14


def by_loop(boxes, scores, valid, threshold, groups=None):
    """torchvision's loop: the IoU is float32, the threshold float64."""
    groups = np.zeros(len(boxes), int) if groups is None else groups
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        worse = any(
            groups[j] == groups[i] and float(iou(boxes[j], boxes[i])) > threshold for j in kept
        )
        if valid[i] and not worse:
            kept.append(int(i))
    return kept


def cases(count, size=COUNT):
    """Boxes on a coarse grid, few different scores, some padding and three groups."""
    rng = np.random.default_rng(0)
    corner, sides = rng.integers(0, 5, (count, size, 2)), rng.integers(1, 11, (count, size, 2))
    corner[:, ::2, 0], sides[:, ::2, 0] = 0, 10  # of these, only rows differ
    boxes = np.concatenate([corner, corner + sides], axis=-1).astype(np.float32)
    scores = rng.integers(0, 6, (count, size)).astype(np.float32) / 8
    valid = rng.random((count, size)) < 0.85
    boxes[~valid] = 0
    return boxes, scores, valid, rng.integers(0, 3, (count, size)).astype(np.int32)


def kept(answer):
    indices, there = (np.asarray(x) for x in answer)
    assert not indices[~there].any()
    assert not (np.diff(there.astype(int)) > 0).any()  # the kept ones come first
    return indices[there].tolist()


@FORMS
@pytest.mark.parametrize("threshold", [0.5, 0.3])  # float32(0.3) is above 0.3
def test_the_kept_boxes(form, threshold):
    """50 cases with groups and 50 without, in one program for each."""
    boxes, scores, valid, groups = cases(50)
    run = functools.partial(nms, form=form)
    both = jax.jit(
        lambda *x: (
            jax.vmap(lambda b, s, v, g: run(b, s, v, threshold, g))(*x),
            jax.vmap(lambda b, s, v: run(b, s, v, threshold))(*x[:3]),
        ),
        compiler_options=QUICK,
    )
    by_groups, alone = both(boxes, scores, valid, groups)
    exact = 0
    for i, case in enumerate(zip(boxes, scores, valid, groups, strict=True)):
        assert kept([x[i] for x in by_groups]) == by_loop(*case[:3], threshold, case[3])
        assert kept([x[i] for x in alone]) == by_loop(*case[:3], threshold)
        exact += sum(
            iou(a, b) == np.float32(threshold)
            for j, a in enumerate(case[0][case[2]])
            for b in case[0][case[2]][:j]
        )
    assert exact > 5  # thresholds that are met exactly


@FORMS
def test_a_limit_keeps_the_best(form):
    boxes, scores, valid, groups = (x[0] for x in cases(1))
    run = jax.jit(functools.partial(nms, form=form), static_argnums=(3, 5), compiler_options=QUICK)
    expected = by_loop(boxes, scores, valid, 0.5, groups)
    assert len(expected) > 3
    indices, there = run(boxes, scores, valid, 0.5, groups, 3)
    assert indices.shape == there.shape == (3,)
    assert kept((indices, there)) == expected[:3]
    more = run(boxes, scores, valid, 0.5, groups, COUNT + 6)
    assert more[0].shape == (COUNT + 6,)
    assert kept(more) == expected


@FORMS
def test_overlaps_that_differ_from_the_threshold_by_a_rounding(form):
    """Compiled as it runs: with FMA a tenth of these pairs is decided otherwise."""
    rng = np.random.default_rng(1)
    corner, sides = rng.uniform(0, 300, (300, 2)), rng.uniform(1, 500, (300, 2))
    large = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    small = large.copy()
    small[:, 3] = large[:, 1] + (large[:, 3] - large[:, 1]) * np.float32(0.7)
    pairs = np.stack([large, small], axis=1)
    scores, valid = np.float32([0.9, 0.8]), np.array([True, True])
    run = jax.jit(
        jax.vmap(lambda boxes: nms(boxes, scores, valid, 0.7, form=form)[1].sum()),
        compiler_options=AS_IT_RUNS,
    )
    expected = [1 if iou(a, b) > 0.7 else 2 for a, b in pairs]
    assert 30 < expected.count(1) < 270
    assert run(pairs).tolist() == expected


@functools.cache
def _compiled(form):
    run = jax.vmap(lambda b, s, v: nms(b, s, v, 0.5, form=form))
    return jax.jit(run, compiler_options=QUICK)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-3, 9)] * 4, st.booleans()), min_size=6, max_size=6))
def test_no_valid_box_and_boxes_without_area(drawn):
    """The forms agree on any box; what is not valid is never kept."""
    boxes = np.array([box[:4] for box in drawn], np.float32)
    valid = np.array([box[4] for box in drawn])
    scores = np.linspace(1, 0, 6, dtype=np.float32)
    batch = [
        np.stack([x, y]) for x, y in ((boxes, boxes), (scores, scores), (valid, valid & False))
    ]
    answers = [_compiled(form)(*batch) for form in ("plain", "fast")]
    for a, b in zip(*answers, strict=True):
        np.testing.assert_array_equal(a, b)
    first, none = (kept([x[i] for x in answers[0]]) for i in (0, 1))
    assert set(first) <= set(np.flatnonzero(valid).tolist())
    assert none == []


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_a_matrix_of_all_pairs_is_lowered_for_accelerators_alone(platform):
    """Where a loop over the boxes would be thousands of small programs."""
    shape = jax.ShapeDtypeStruct
    arguments = shape((300, 4), jnp.float32), shape((300,), jnp.float32), shape((300,), bool)
    traced = jax.jit(lambda *x: nms(*x, 0.5)).trace(*arguments)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("tensor<300x300xi1>" in text) == (platform != "cpu")


@FORMS
def test_no_gradient_goes_through(form):
    boxes, scores, valid, _ = (jnp.asarray(x[0]) for x in cases(1))

    def total(boxes, scores):
        indices, there = nms(boxes, scores, valid, 0.5, form=form)
        return jnp.where(there, scores[indices], 0).sum()

    of_boxes, of_scores = jax.jit(jax.grad(total, (0, 1)), compiler_options=QUICK)(boxes, scores)
    assert not of_boxes.any()
    assert of_scores.sum() == len(by_loop(*(np.asarray(x) for x in (boxes, scores, valid)), 0.5))
