"""U-Net's weight map against distances to every pixel of every object."""

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data.augment.weight_map import boundary_weights
from jaxseg.types import IGNORE


def oracle(label, weight, sigma):
    """Float64, by SciPy's components and exact distances, object by object."""
    distances = []
    for train_id in set(np.unique(label)) - {0, IGNORE}:
        pieces, count = ndimage.label(label == train_id, structure=np.ones((3, 3)))
        for piece in range(1, count + 1):
            distances.append(ndimage.distance_transform_edt(pieces != piece))
    first, second = np.sort(distances, axis=0)[:2]
    return np.where(label == 0, weight * np.exp(-((first + second) ** 2) / (2 * sigma**2)), 0)


@pytest.fixture
def cells():
    label = np.zeros((40, 50), np.uint8)
    label[3:12, 4:15] = 1
    label[3:12, 17:30] = 1  # two pixels away
    label[14:30, 10:12] = 2  # another class
    label[20, 40] = 1
    label[21, 41] = 1  # touches at a corner: the same object
    label[33:, :9] = IGNORE
    return label


@pytest.mark.parametrize("sigma", [1.5, 5.0])
def test_the_map_is_the_equation(cells, sigma):
    ours = boundary_weights(cells, weight=10.0, sigma=sigma)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, oracle(cells, 10.0, sigma), atol=1e-4)


def test_it_is_highest_between_close_objects_and_nowhere_else(cells):
    weights = boundary_weights(cells, weight=10.0, sigma=5.0)
    assert np.unravel_index(weights.argmax(), weights.shape)[1] in (15, 16)
    assert weights.max() == pytest.approx(10 * np.exp(-9 / 50), rel=1e-5)  # 1 + 2 pixels
    assert not np.any(weights[cells != 0])


def test_the_same_label_has_the_same_map_to_the_bit(cells):
    """Wherever its arrays lie in memory: a resumed run must see what it would have seen."""
    first = boundary_weights(cells, weight=10.0, sigma=5.0)
    moved = []
    for size in range(1, 30):
        moved.append(np.zeros(37 * size, np.uint8))
        again = boundary_weights(cells.copy(), weight=10.0, sigma=5.0)
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("objects", [0, 1])
def test_less_than_two_objects_weigh_nothing(objects):
    label = np.zeros((9, 9), np.uint8)
    label[3:5, 3:5] = objects
    assert not np.any(boundary_weights(label, weight=10.0, sigma=5.0))
