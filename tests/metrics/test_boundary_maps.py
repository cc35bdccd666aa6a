"""Distances against SciPy's transforms; edges against their definition, with void and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.metrics import boundary_maps
from jaxseg.metrics.boundary_maps import FAR, OUTSIDE, VOID

QUICK = {"xla_backend_optimization_level": 0}  # compilation takes far longer than execution


def squares_by_scipy(seeds, metric):
    if not seeds.any():
        return np.full(seeds.shape, FAR)
    if metric == "euclidean":
        return np.rint(ndimage.distance_transform_edt(~seeds) ** 2).astype(int)
    return ndimage.distance_transform_cdt(~seeds, metric="chessboard").astype(int) ** 2


@pytest.mark.parametrize("metric", ["euclidean", "chessboard"])
@pytest.mark.parametrize("shape", [(4, 23, 37), (2, 1, 40), (2, 40, 1), (1, 1, 1)])
def test_squared_distances_equal_scipy(metric, shape):
    rng = np.random.default_rng(0)
    distances = jax.jit(
        boundary_maps.squared_distances,
        static_argnames=("metric", "reach"),
        compiler_options=QUICK,
    )
    for density in (0, 0.005, 0.3):
        seeds = rng.random(shape) < density
        seeds[0, 0, 0] = density > 0  # one image has a seed; others may have none
        expected = np.stack([squares_by_scipy(image, metric) for image in seeds])
        np.testing.assert_array_equal(distances(seeds, metric=metric), expected)
        near = np.where(expected <= 25, expected, FAR)
        np.testing.assert_array_equal(distances(seeds, metric=metric, reach=5), near)


def test_queried_pixels_are_exact_and_cost_only_their_distances():
    seeds = np.zeros((1, 60, 60), bool)
    seeds[0, 30, 30] = True
    queried = np.zeros_like(seeds)
    queried[0, 32, 27] = True
    found = boundary_maps.squared_distances(seeds, queried=queried)
    assert found[0, 32, 27] == 13
    assert found[0, 30, 0] > 900, "not queried, so the search ended before reaching it"


def test_longest_distance_fits():
    seeds = np.zeros((1, 2, 1 << 14), bool)
    seeds[0, 0, 0] = True
    found = boundary_maps.squared_distances(seeds)
    assert found[0, 1, -1] == (2**14 - 1) ** 2 + 1 < FAR


def test_maps_distinguish_void_and_outside():
    labels = np.array([[[0, 1, 255, 1], [0, 3, 0, 1]]], np.uint8)
    predictions = np.array([[[0, 1, 1, 9], [2, 0, 0, 1]]], np.int32)
    maps = boundary_maps.id_maps(labels, predictions, 3, np.array([[1, 4]]))
    assert maps[:, 0].tolist() == [
        [[0, 1, VOID, VOID], [OUTSIDE] * 4],
        [[0, 1, VOID, VOID], [OUTSIDE] * 4],
    ]


def test_edges():
    ids = jnp.asarray([[0, 0, 1, VOID, 0, OUTSIDE], [0, 0, 0, 0, 0, OUTSIDE]])
    inner = [[0, 1, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0]]
    np.testing.assert_array_equal(boundary_maps.edges(ids, frame=False), inner)
    framed = [[1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0]]
    np.testing.assert_array_equal(boundary_maps.edges(ids, frame=True), framed)


@pytest.mark.parametrize("limit", [0, 2, 18])
def test_distances_in_class_equal_a_transform_per_class(limit):
    rng = np.random.default_rng(1)
    own, other = (rng.integers(-1, 3, (1, 2, 11, 14)) for _ in range(2))
    other[rng.random(other.shape) < 0.8] = VOID
    found = boundary_maps.squared_distances_in_class(jnp.asarray(own), jnp.asarray(other), limit)
    expected = np.full(own.shape, FAR)
    for place in np.ndindex(own.shape[:2]):
        for k in range(3):
            squares = squares_by_scipy(other[place] == k, "euclidean")
            asked = (own[place] == k) & (squares <= limit)
            expected[place][asked] = squares[asked]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(3, 7, 9), (2, 1, 1), (1, 170, 150)])
def test_percentile_of_roots_equals_numpy(shape):
    rng = np.random.default_rng(2)
    squares = rng.integers(0, 400, shape).astype(np.int32)
    squares[rng.random(shape) < 0.4] = -1
    squares[:, 0, 0] = 2**28
    compiled = jax.jit(boundary_maps.percentile_of_roots, compiler_options=QUICK)
    for percentile in (0, 50, 95, 99.99, 100):
        expected = [np.percentile(np.sqrt(image[image >= 0]), percentile) for image in squares]
        found = compiled(squares, round(percentile * 100))
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=str(percentile))


@pytest.mark.usefixtures("unchecked")
def test_invalid_input_gives_a_one_line_message():
    seeds = np.zeros((1, 2, 2), bool)
    for call, message in [
        (lambda: boundary_maps.squared_distances(seeds[0]), r"seeds \[2, 2\]: must be \[B, H, W\]"),
        (lambda: boundary_maps.squared_distances(np.zeros((1, 1, 2**14 + 1))), "16384"),
        (lambda: boundary_maps.squared_distances(seeds, metric="city"), "metric 'city'"),
        (lambda: boundary_maps.id_maps(seeds, seeds[:, 1:], 2, None), r"\(1, 2, 2\).*\(1, 1, 2\)"),
        (lambda: boundary_maps.id_maps(seeds, seeds, 2, np.ones((2, 2))), r"sizes \[2, 2\]"),
        (lambda: boundary_maps.check_ascending("widths", [1, 1]), r"widths \(1, 1\)"),
        (
            lambda: boundary_maps.check_ascending("widths", [0, 1]),
            "must be positive numbers in asc",
        ),
        (lambda: boundary_maps.check_ascending("widths", []), "positive"),
        (lambda: boundary_maps.check_ascending("widths", ["3"]), "positive"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
