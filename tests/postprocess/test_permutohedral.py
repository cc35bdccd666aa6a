"""The lattice against a dictionary of points, and against the exact sum."""

import functools
import itertools
import math

import jax
import numpy as np
import pytest

from jaxseg.postprocess import permutohedral
from jaxseg.postprocess.permutohedral import build_lattice, lattice_sum
from tests.postprocess.quick import QUICK

BOUNDS = (4.0, 3.0, 5.0)


def _features(dimensions, count=40, seed=0):
    """Random features, some close together so that they share points, and one twice."""
    rng = np.random.default_rng(seed)
    f = rng.normal(0, 0.7, (count, dimensions)) + rng.choice([-1, 1], (count, 1))
    f[1] = f[0]
    return np.clip(f, -2.9, 2.9).astype(np.float32)


@functools.cache
def _program(bounds, capacity):
    run = lambda f, v: lattice_sum(build_lattice(f, bounds, capacity), v)
    return jax.jit(run, compiler_options=QUICK)


def _sum(features, values, bounds, capacity=None):
    return np.asarray(_program(bounds, capacity)(features, values))


def _oracle(features, values):
    """Splat, blur and slice as in the paper, with neighbours found in a dictionary.

    Simplices are found as described there: the nearest point whose coordinates are multiples of
    D + 1 with sum 0, and the order of the differences to it.
    """
    count, d = features.shape
    basis = np.array(
        [[1.0] * (i + 1) + [-(i + 1.0)] + [0.0] * (d - 1 - i) for i in range(d)]
    )  # orthogonal vectors of the plane of sum 0
    basis *= math.sqrt(2 / 3) * (d + 1) / np.linalg.norm(basis, axis=1, keepdims=True)
    corners = []
    for x in features.astype(np.float64) @ basis:
        zero = np.round(x / (d + 1)) * (d + 1)
        wrong = round(zero.sum() / (d + 1))
        order = np.argsort(x - zero)  # smallest difference first
        for axis in order[:wrong] if wrong > 0 else order[::-1][:-wrong] if wrong < 0 else ():
            zero[axis] -= math.copysign(d + 1, wrong)
        order = np.argsort(-(x - zero), kind="stable")
        names = []
        for k in range(d + 1):
            name = zero + k
            name[order[d + 1 - k :]] -= d + 1
            names.append(name)
        matrix = np.vstack([np.array(names).T, np.ones(d + 1)])
        shares = np.linalg.lstsq(matrix, np.append(x, 1), rcond=None)[0]
        corners.append([(tuple(n.astype(int)), s) for n, s in zip(names, shares, strict=True)])
    lattice = {}
    for value, simplex in zip(values.astype(np.float64), corners, strict=True):
        for name, share in simplex:
            assert -1e-6 <= share <= 1 + 1e-6
            lattice[name] = lattice.get(name, 0) + share * value
    for axis in range(d + 1):
        step = np.ones(d + 1, int)
        step[axis] -= d + 1
        lattice = {
            name: value + sum(lattice.get(tuple(np.array(name) + s * step), 0) for s in (1, -1)) / 2
            for name, value in lattice.items()
        }
    sums = [sum(share * lattice[name] for name, share in corners[i]) for i in range(count)]
    return np.array(sums) / (1 + 2.0**-d), len(lattice)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_it_equals_the_lattice_of_the_paper(dimensions):
    features = _features(dimensions)
    values = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    bounds = (3.0,) * dimensions
    expected, points = _oracle(features, values)
    assert points < 40 * (dimensions + 1)
    np.testing.assert_allclose(_sum(features, values, bounds, points), expected, atol=2e-5)


def test_more_points_than_the_capacity_give_nan():
    features = _features(2)
    values = np.ones((40, 1), np.float32)
    _, points = _oracle(features, values)
    assert np.isnan(_sum(features, values, (3.0, 3.0), points - 1)).all()


def test_its_gradient_is_its_transpose():
    """It is not symmetric, because blurs do not commute if points are missing."""

    def both(features, eye):
        matrix, pull = jax.vjp(functools.partial(lattice_sum, build_lattice(features, BOUNDS)), eye)
        return matrix, pull(eye)[0]

    run = jax.jit(both, compiler_options=QUICK)
    matrix, gradient = run(_features(3), np.eye(40, dtype=np.float32))
    np.testing.assert_allclose(gradient, np.asarray(matrix).T, atol=1e-6)
    assert np.abs(matrix - matrix.T).max() > 1e-3


def test_points_are_counted_if_features_are_concrete():
    features, values = _features(2), np.random.default_rng(2).random((40, 2), np.float32)
    lattice = build_lattice(features, (3.0, 3.0))
    assert lattice.to_last.shape[0] < 3 * 40
    plain = jax.jit(lattice_sum, compiler_options=QUICK)(lattice, values)
    np.testing.assert_allclose(_sum(features, values, (3.0, 3.0)), plain, atol=1e-5)


def test_features_of_one_shape_need_few_programs():
    """A program is compiled per capacity, which exceeds the number of points by less than 1/5."""
    count = 5000
    capacities = {}
    for points in range(count // 10, 6 * count):
        capacity = permutohedral._rounded(points, count)
        assert points <= capacity < 1.2 * points
        capacities[capacity] = points
    assert len(capacities) < 26


def test_features_beyond_the_bounds_give_nan_and_too_large_bounds_are_refused():
    features = _features(3)
    values = np.ones((40, 1), np.float32)
    assert np.isfinite(_sum(features, values, BOUNDS)).all()
    features[7, 2] = 5.1
    assert np.isnan(_sum(features, values, BOUNDS)).all()
    with pytest.raises(ValueError, match=r"bounds: .* 64 bits"):
        build_lattice(_features(5), (1e4,) * 5)


def test_for_dense_features_its_kernel_is_a_gaussian_on_average():
    """Uses features that densely cover a plane.

    The sum of the kernel follows from the lattice: alpha 2^(D+1) from the blur, times the volume
    of a point's cell, (3/2)^(D/2) / sqrt(D+1), instead of (2 pi)^(D/2). Of its variance, 3/4 comes
    from the blur and 1/8 each from splat and slice, which is 0 for a feature on a lattice point.
    """
    side, theta, near = 41, 5.0, 7
    grid = np.array(list(itertools.product(range(side), repeat=2)), np.float32)
    features = (grid - side // 2) / theta
    (sources,) = np.nonzero((np.abs(grid - side // 2) <= near // 2).all(1))
    values = np.zeros((side**2, near**2), np.float32)
    values[sources, np.arange(near**2)] = 1
    kernels = _sum(features, values, (5.0, 5.0))
    squares = (features[:, None] - features[sources]) ** 2  # [N, near^2, 2]
    exact = np.exp(-squares.sum(-1) / 2)
    assert 0.05 < np.abs(kernels - exact).max() < 0.3
    sums = kernels.sum(0)
    expected = 2**3 / (1 + 2**-2) * 1.5 / math.sqrt(3)
    np.testing.assert_allclose(sums.mean() / theta**2, expected, rtol=0.01)
    variances = (kernels[..., None] * squares).sum(0) / sums[:, None]
    print(f"largest error {np.abs(kernels - exact).max():.3f}, variances {variances.mean():.3f}")
    np.testing.assert_allclose(variances.mean(), 1, rtol=0.03)
    np.testing.assert_allclose(variances[near**2 // 2], 7 / 8, rtol=0.01)
