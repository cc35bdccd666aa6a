"""Matchers and samplers against loops."""

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.matching import NEGATIVE, NEITHER, POSITIVE, match, sample


def matched(iou, valid, low, high, allow):
    """The definition, box by box."""
    objects, kinds = [], []
    for n in range(iou.shape[1]):
        column = [iou[g, n] if valid[g] else -1 for g in range(len(iou))]
        best = int(np.argmax(column))
        kind = POSITIVE if column[best] >= high else NEGATIVE if column[best] < low else NEITHER
        if allow:
            for g in range(len(iou)):
                if valid[g] and iou[g].max() > 0 and iou[g, n] == iou[g].max():
                    kind = POSITIVE
        objects.append(best)
        kinds.append(kind)
    return objects, kinds


@pytest.mark.parametrize("allow", [False, True])
@hypothesis.given(seed=st.integers(0, 1000))
@hypothesis.settings(max_examples=30, deadline=None)
def test_matching_is_what_loops_give(allow, seed):
    """On few different values, so that many tie and thresholds are met exactly."""
    rng = np.random.default_rng(seed)
    iou = (rng.integers(0, 11, (4, 12)) / 10).astype(np.float32)
    valid = rng.random(4) < 0.7
    low, high = np.float32(0.3), np.float32(0.7)
    found = match(iou, valid, float(low), float(high), allow_low_quality=allow)
    objects, kinds = matched(iou, valid, low, high, allow)
    assert found.kinds.tolist() == kinds
    assert found.objects.tolist() == objects


def test_without_objects_all_boxes_are_background():
    for objects in (1, 3):
        found = match(jnp.ones((objects, 5)), jnp.zeros(objects, bool), 0.3, 0.7)
        assert found.kinds.tolist() == [NEGATIVE] * 5
        assert found.objects.tolist() == [0] * 5


def test_an_object_that_overlaps_nothing_gains_no_box():
    iou = np.array([[0.0, 0.0, 0.0], [0.5, 0.1, 0.0]], np.float32)
    found = match(iou, np.array([True, True]), 0.3, 0.7, allow_low_quality=True)
    assert found.kinds.tolist() == [POSITIVE, NEGATIVE, NEGATIVE]


@pytest.mark.parametrize(
    ("positives", "negatives", "taken"),
    [
        (0, 0, (0, 0)),
        (0, 20, (0, 8)),
        (20, 20, (2, 6)),
        (1, 20, (1, 7)),
        (20, 3, (2, 3)),  # positives do not fill what negatives leave
        (20, 0, (2, 0)),
        (1, 1, (1, 1)),
    ],
)
def test_how_many_are_taken(positives, negatives, taken):
    rng = np.random.default_rng(0)
    kinds = np.array([POSITIVE] * positives + [NEGATIVE] * negatives + [NEITHER] * 5, np.int8)
    kinds = rng.permutation(kinds)
    draws = rng.random(len(kinds)).astype(np.float32)
    found = sample(kinds, draws, 8, 0.25)
    indices, positive, valid = (np.asarray(part) for part in found)
    assert (positive.sum(), (valid & ~positive).sum()) == taken
    assert (kinds[indices[positive]] == POSITIVE).all()
    assert (kinds[indices[valid & ~positive]] == NEGATIVE).all()
    assert len(set(indices[valid])) == valid.sum()
    assert positive[: positive.sum()].all(), "positives come first"
    assert valid[: valid.sum()].all(), "then negatives, then empty slots"
    assert not indices[~valid].any()


def test_more_slots_than_boxes_take_everything():
    kinds = np.array([1, 0, -1, 0, 1], np.int8)
    found = sample(kinds, np.linspace(0, 0.9, 5, dtype=np.float32), 50, 1.0)
    assert sorted(found.indices[found.valid].tolist()) == [0, 1, 3, 4]
    assert found.positive.sum() == 2


def test_each_is_as_likely():
    rng = np.random.default_rng(1)
    kinds = np.zeros(6, np.int8)
    hits = np.zeros(6)
    for _ in range(300):
        found = sample(kinds, rng.random(6).astype(np.float32), 2, 0.5)
        hits[np.asarray(found.indices)] += 1
    assert (np.abs(hits / 300 - 1 / 3) < 0.1).all()
