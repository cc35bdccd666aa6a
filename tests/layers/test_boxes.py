"""Boxes against NumPy, and what padding gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.layers import boxes
from tests.helpers.compiling import AS_IT_RUNS

EMPTY = np.zeros((1, 4), np.float32)
coordinates = st.floats(-100, 100, width=32)


def drawn(seed, count):
    """Boxes of 2 to 60 pixels."""
    rng = np.random.default_rng(seed)
    corner, sides = rng.uniform(0, 100, (count, 2)), rng.uniform(2, 60, (count, 2))
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


def iou(a, b):
    """Of boxes [..., 4], in the order of operations that torchvision has, each one rounded."""
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    areas = [(c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1]) for c in (a, b)]
    intersection = sides[..., 0] * sides[..., 1]
    return intersection / (areas[0] + areas[1] - intersection)


def test_iou_to_the_bit():
    """Compiled as it runs: an FMA would move IoUs to the other side of a threshold."""
    a, b = drawn(0, 400), drawn(1, 300)
    found = jax.jit(boxes.iou, compiler_options=AS_IT_RUNS)(a, b)
    np.testing.assert_array_equal(found, iou(a[:, None], b))


def test_boxes_without_area_overlap_nothing():
    a = np.concatenate([EMPTY, EMPTY + 5, drawn(0, 2), [[9, 9, 3, 3]]]).astype(np.float32)
    found = np.asarray(boxes.iou(a, a))
    assert found.diagonal().tolist() == [0, 0, 1, 1, 0]
    assert np.isfinite(found).all()
    assert np.asarray(boxes.area(a))[[0, 1, 3]].tolist() == [0, 0, boxes.area(a[3])]


def test_clip_takes_each_image_by_its_own_size():
    one = np.array([-5, 3, 30, 40], np.float32)
    given = np.broadcast_to(one, (2, 3, 2, 4))
    found = boxes.clip(given, np.array([[20, 10], [50, 60]], np.int32))
    assert found[0, 1, 0].tolist() == [0, 3, 10, 20]
    assert found[1, 2, 1].tolist() == [0, 3, 30, 40]
    assert boxes.clip(one, np.array([20, 25])).tolist() == [0, 3, 25, 20]


def test_both_sides_have_to_be_large_enough():
    given = np.array([[0, 0, 2, 2], [0, 0, 2, 1.5], [0, 0, 0, 9], [5, 5, 3, 9]], np.float32)
    assert boxes.large_enough(given, 2).tolist() == [True, False, False, False]
    assert boxes.large_enough(given, 0).tolist() == [True, True, True, False]


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (10, 10, 5, 5)])
def test_decoding_inverts_encoding(weights):
    a, b = drawn(2, 20), drawn(3, 20)
    deltas = boxes.encode(a, b, weights)
    np.testing.assert_allclose(boxes.decode(deltas, b, weights), a, atol=1e-4)
    plain = boxes.encode(a, b)
    np.testing.assert_allclose(deltas, plain * np.array(weights), rtol=1e-6)
    width = b[:, 2] - b[:, 0]
    shift = ((a[:, 0] + a[:, 2]) / 2 - (b[:, 0] + b[:, 2]) / 2) / width
    np.testing.assert_allclose(plain[:, 0], shift, atol=1e-5)
    np.testing.assert_allclose(plain[:, 2], np.log((a[:, 2] - a[:, 0]) / width), atol=1e-5)


def test_a_side_grows_at_most_by_1000_16ths():
    found = np.asarray(
        boxes.decode(np.array([0, 0, 50, -50], np.float32), np.float32([0, 0, 16, 8]))
    )
    np.testing.assert_allclose(found, [-492, 4, 508, 4], rtol=1e-5)


def test_several_deltas_of_each_anchor():
    deltas = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    anchors = drawn(4, 5)
    found = boxes.decode(deltas, anchors[:, None])
    np.testing.assert_allclose(found[:, 2], boxes.decode(deltas[:, 2], anchors), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[coordinates] * 8))
def test_values_and_gradients_are_finite_for_any_box(eight):
    """Padding and cropping leave boxes without area, and some that end before they begin."""
    found = _of_any(
        np.array([eight[:4], EMPTY[0]], np.float32), np.array([eight[4:]] * 2, np.float32)
    )
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


@jax.jit
def _of_any(a, b):
    def total(a, b):
        moved = boxes.decode(boxes.encode(a, b), b)
        parts = (
            moved,
            boxes.iou(a, b),
            boxes.clip(a, jnp.array([30, 40])),
            boxes.area(a),
            boxes.encode(b, a),
        )
        return sum(jnp.sum(x) for x in parts)

    return jax.value_and_grad(total, (0, 1))(a, b)


def test_anchors_of_fpn():
    """The first level's: areas of 32 x 32 at three ratios, rounded, row by row."""
    found = boxes.anchors((2, 3), 4, (32,))
    base = [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    assert found.dtype == np.float32
    assert found[:3].tolist() == base
    assert found[3:6].tolist() == np.add(base, [4, 0, 4, 0]).tolist()
    assert found[9:12].tolist() == np.add(base, [0, 4, 0, 4]).tolist()


def test_anchors_of_a_cell_have_all_sizes_of_one_ratio_first():
    found = boxes.anchors((1, 2), (8, 16), (32, 64), (0.5, 1))
    widths = (found[:, 2] - found[:, 0]).tolist()
    assert widths == [46, 90, 32, 64] * 2
    assert found[4:].tolist() == np.add(found[:4], [16, 0, 16, 0]).tolist()


def test_anchors_that_are_not_rounded():
    """detectron2's and mmdetection's: their areas are exact."""
    found = boxes.anchors((1, 2), 4, (32,), rounded=False)
    sides = found[:, 2:] - found[:, :2]
    np.testing.assert_allclose(sides.prod(axis=1), 32**2, rtol=1e-6)
    np.testing.assert_allclose(sides[:3, 1] / sides[:3, 0], [0.5, 1, 2], rtol=1e-6)
    np.testing.assert_allclose(found[3:] - found[:3], np.tile([4, 0], (3, 2)), atol=1e-5)


@pytest.mark.parametrize(
    ("side", "level"),
    [(0, 2), (1, 2), (111.9, 2), (112, 3), (223.9, 3), (224, 4), (448, 5), (447, 4), (2000, 5)],
)
def test_the_level_of_a_box(side, level):
    """FPN, equation 1: a box of 224 x 224 pixels is read from P4."""
    one = np.array([[3, 5, 3 + side, 5 + side]], np.float32)
    assert boxes.levels_of(one, 2, 5).tolist() == [level - 2]
    assert boxes.levels_of(one, 3, 4).tolist() == [min(max(level, 3), 4) - 3]
    assert boxes.levels_of(one / 4, 2, 5, canonical=56.0).tolist() == [level - 2]
