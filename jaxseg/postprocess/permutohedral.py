"""Sums weighted by a Gaussian of the distance of features, in time linear in their number: "Fast
high-dimensional filtering using the permutohedral lattice" (Adams, Baek and Davis, 2010).

Values are splatted onto the corners of the simplex that contains a feature, blurred along each of
the D + 1 axes of the lattice with (1/2, 1, 1/2), and sliced, that is, interpolated with the same
barycentric weights. The factor alpha = 1 / (1 + 2^-D) normalises the blur at its centre to 1.

The lattice's points are sorted along each axis in turn, so that neighbours along it are adjacent:
a blur is then a shift, and one gather of rows goes from the order of an axis to that of the next.
All shapes are static: `capacity` is the maximum number of points.

It is an approximation, for three reasons:
- Splat, blur and slice have the Gaussian's variance (1/8 + 3/4 + 1/8) only on average: for a
  feature on a lattice point, splat and slice add none. Shifting all features changes the result.
- If all points exist, the sum of the kernel is alpha 2^(D+1) (3/2)^(D/2) / sqrt(D+1). Relative to
  the Gaussian's (2 pi)^(D/2) that is 0.88 at D = 2 and 0.71 at D = 5. Normalisation removes this.
- Only points that some feature touches exist, so the blur loses what it would carry across missing
  ones; the sparser the features, the more.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxseg.types import Array, ArrayLike

_WORD = np.uint32(2**32 - 1)  # the largest number, which means that there is no point
_LANES = 32  # channels of a vectorised loop
_STEPS = 4  # steps per doubling when a counted capacity is rounded up


class Simplices(NamedTuple):
    """The simplices of N features; contributions are their corners, sorted by lattice point."""

    coordinates: Array  # int32 [N, D+1]: the corner of remainder 0, over D + 1
    ranks: Array  # int32 [N, D+1]: of the differences to it, 0 for the largest
    weights: Array  # [N, D+1]: barycentric, of the corner of each remainder
    sources: Array  # int32 [(D+1) N]: feature * (D+1) + remainder of each contribution
    points: Array  # int32 [(D+1) N]: the lattice point of each contribution, 0, 1, ...
    fits: Array  # bool []: all features are within the bounds


class Lattice(NamedTuple):
    """M lattice points in D + 1 orders, in each of which neighbours along an axis are adjacent."""

    weights: Array  # [N, D+1]
    corners: Array  # int32 [N, D+1]: rows in the last order
    features: Array  # int32 [(D+1) N]: of each contribution; these are in the first order
    shares: Array  # [(D+1) N]: its barycentric weight
    points: Array  # int32 [(D+1) N]: its row in the first order
    forward: Array  # int32 [D, M]: from each order to the next
    backward: Array  # int32 [D, M]: from each order except the first to the previous one
    to_last: Array  # int32 [M]: from the first order to the last
    adjacent: Array  # bool [D+1, M]: whether the next row of an order is the neighbour
    fits: Array  # bool []: whether bounds and capacity were large enough


def _embedding(dimensions: int) -> np.ndarray:
    """Returns the map [D+1, D] of features to the plane of sum 0, scaled to the blur's width."""
    matrix = np.zeros((dimensions + 1, dimensions))
    for i in range(dimensions):
        matrix[: i + 1, i] = 1
        matrix[i + 1, i] = -(i + 1)
        matrix[:, i] *= math.sqrt(2 / 3) * (dimensions + 1) / math.sqrt((i + 1) * (i + 2))
    return matrix


def _reach(bounds: tuple[float, ...]) -> list[int]:
    """Returns the largest |coordinate| / (D + 1) of a lattice point, along each axis."""
    axes = len(bounds) + 1
    reach = np.abs(_embedding(len(bounds))) @ np.array(bounds)
    return [int(r / axes) + 3 for r in reach]


def _radices(reach: Sequence[Any], axis: int) -> list[Any]:
    """Returns the number of values of each digit of `_words`, as numbers or arrays."""
    first, *others = (a for a in range(len(reach)) if a != axis)
    sizes = [2 * (reach[a] + reach[first]) + 1 for a in others]
    return [*sizes, len(reach) * (2 * reach[first] + 1) + 1]


def _breaks(reach: list[int]) -> tuple[int, ...]:
    """Returns how many digits of `_words` go into the first of the two words, for each axis.

    This is the only property of the bounds that a program depends on, and it hardly varies.
    """
    breaks = []
    for axis in range(len(reach)):
        sizes = _radices(reach, axis)
        rest = next(i for i in range(len(sizes) + 1) if math.prod(sizes[i:]) < int(_WORD))
        if math.prod(sizes[:rest]) >= int(_WORD):
            raise ValueError(f"bounds: up to {max(reach)} lattice cells, too many for 64 bits")
        breaks.append(rest)
    return tuple(breaks)


def _words(
    q: list[Array], remainder: Array, axis: int, reach: Array, breaks: tuple[int, ...]
) -> tuple[Array, Array]:
    """Returns two uint32 sort keys of points along an axis; neighbours differ by 1 in the second.

    A step along the axis adds 1 to all other coordinates, so their differences identify the line
    and one of them the position on it. Coordinates are (D+1) q + remainder, with one remainder.
    """
    first, *others = (a for a in range(len(q)) if a != axis)
    digits = [q[a] - q[first] + reach[a] + reach[first] for a in others]
    digits.append(len(q) * (q[first] + reach[first]) + remainder)
    words = [jnp.zeros_like(remainder, jnp.uint32)] * 2
    for i, (digit, radix) in enumerate(zip(digits, _radices(list(reach), axis), strict=True)):
        word = int(i >= breaks[axis])
        words[word] = words[word] * radix.astype(jnp.uint32) + digit.astype(jnp.uint32)
    return words[0], words[1]


def _corners(coordinates: Array, ranks: Array, remainder: ArrayLike) -> list[Array]:
    """Returns q of the corner with a remainder, one array per axis."""
    axes = coordinates.shape[-1]
    lower = ranks > axes - 1 - jnp.asarray(remainder)[..., None]
    return [(coordinates - lower)[..., a] for a in range(axes)]


@functools.partial(jax.jit, static_argnums=3)
def _embed(features: Array, bounds: Array, reach: Array, breaks: tuple[int, ...]) -> Simplices:
    count, dimensions = features.shape
    axes = dimensions + 1
    matrix = jnp.asarray(_embedding(dimensions), features.dtype)
    elevated = jnp.dot(features, matrix.T, precision="highest") / axes  # [N, D+1]
    nearest = jnp.round(elevated)
    away = elevated - nearest
    ahead = np.tri(axes, k=-1, dtype=bool)  # of two equal ones, the earlier axis comes first
    larger = (away[:, None] > away[:, :, None]) | ((away[:, None] == away[:, :, None]) & ahead)
    coordinates = nearest.astype(jnp.int32)
    ranks = jnp.sum(larger, axis=2, dtype=jnp.int32) + jnp.sum(coordinates, axis=1, keepdims=True)
    wrap = (ranks < 0).astype(jnp.int32) - (ranks > dimensions).astype(jnp.int32)
    ranks, coordinates = ranks + axes * wrap, coordinates + wrap
    away = elevated - coordinates
    ordered = jnp.stack(
        [jnp.sum(jnp.where(ranks == r, away, 0), axis=1) for r in range(axes)], axis=1
    )
    between = (ordered[:, :-1] - ordered[:, 1:])[:, ::-1]
    weights = jnp.concatenate([1 + ordered[:, -1:] - ordered[:, :1], between], axis=1)

    remainders = np.arange(axes, dtype=np.int32)
    q = [x.reshape(-1) for x in _corners(coordinates[:, None], ranks[:, None], remainders)]
    sources = jnp.arange(count * axes, dtype=jnp.int32)
    words = _words(q, sources % axes, 0, reach, breaks)
    high, low, sources = jax.lax.sort((*words, sources), num_keys=2)
    starts = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    points = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(starts, dtype=jnp.int32)])
    fits = jnp.all(jnp.abs(features) <= bounds * (1 + 1e-5) + 1e-5)
    return Simplices(coordinates, ranks, weights, sources, points, fits)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _connect(simplices: Simplices, reach: Array, breaks: tuple[int, ...], capacity: int) -> Lattice:
    coordinates, ranks, weights, sources, points, fits = simplices
    axes = coordinates.shape[1]
    features, remainders = sources // axes, sources % axes
    starts = jnp.concatenate([jnp.ones(1, bool), points[1:] != points[:-1]])
    (first,) = jnp.nonzero(starts, size=capacity, fill_value=0)
    there = jnp.arange(capacity) <= points[-1]
    corner = _corners(coordinates[features[first]], ranks[features[first]], remainders[first])

    row = jnp.arange(capacity, dtype=jnp.int32)
    orders, places, adjacent = [row], [row], []
    for axis in range(axes):
        words = _words(corner, remainders[first], axis, reach, breaks)
        high, low = (jnp.where(there, word, _WORD) for word in words)
        if axis:  # the first order is that of the contributions
            high, low, order = jax.lax.sort((high, low, row), num_keys=2)
            orders.append(order)
            places.append(jnp.zeros_like(row).at[order].set(row, unique_indices=True))
        following = (high[1:] == high[:-1]) & (low[1:] == low[:-1] + 1) & (low[1:] != _WORD)
        adjacent.append(jnp.concatenate([following, jnp.zeros(1, bool)]))
    last = places[-1].at[points].get(mode="clip")
    return Lattice(
        weights=weights,
        corners=jnp.zeros_like(sources)
        .at[sources]
        .set(last, unique_indices=True)
        .reshape(-1, axes),
        features=features,
        shares=weights.reshape(-1)[sources],
        points=points,
        forward=jnp.stack([places[a - 1][orders[a]] for a in range(1, axes)]),
        backward=jnp.stack([places[a][orders[a - 1]] for a in range(1, axes)]),
        to_last=orders[-1],
        adjacent=jnp.stack(adjacent),
        fits=fits & (points[-1] < capacity),
    )


def _rounded(points: int, count: int) -> int:
    """Rounds a number of points of `count` features up to one of few capacities."""
    steps = math.ceil(_STEPS * math.log2(points / count))
    return max(points, math.ceil(count * 2 ** (steps / _STEPS)))


def build_lattice(
    features: Float[ArrayLike, "n d"], bounds: tuple[float, ...], capacity: int | None = None
) -> Lattice:
    """Builds the lattice of some features, for `lattice_sum`.

    Args:
      features: in units of the kernel's standard deviation.
      bounds: upper bounds of |features|, one for each of the D dimensions.
      capacity: the maximum number of points, to which the time of a sum is proportional. None
        counts the points and rounds up by less than a fifth, so that features of one shape need few
        programs; if the features are traced, it is (D+1) N, the largest possible number.

    Returns:
      A pytree; if bounds or capacity were too small, its sums are NaN.

    Raises:
      ValueError: the bounds are too large for the keys of lattice points.
    """
    features = jnp.asarray(features)
    features = features.astype(jnp.promote_types(features.dtype, jnp.float32))
    count, dimensions = features.shape
    cells = _reach(bounds)
    reach, breaks = jnp.array(cells, jnp.int32), _breaks(cells)
    simplices = _embed(features, jnp.array(bounds, features.dtype), reach, breaks)
    most = count * (dimensions + 1)
    if capacity is None and isinstance(features, jax.core.Tracer):
        capacity = most
    elif capacity is None:
        capacity = _rounded(int(simplices.points[-1]) + 1, count)
    return _connect(simplices, reach, breaks, min(capacity, most))


def _blur(x: Array, adjacent: Array) -> Array:
    """Adds to each row of [M, C] half of its two neighbours, the rows before and after it."""
    half = adjacent.astype(x.dtype)[:, None] / 2
    around = jnp.pad(x, ((1, 1), (0, 0)))
    before = jnp.pad(half[:-1], ((1, 0), (0, 0)))
    return x + half * around[2:] + before * around[:-2]


def _lanes(channels: int) -> int:
    """Returns the channels to blur: on a CPU, 32 take two thirds of the time of 21."""
    fill = -channels % _LANES if jax.default_backend() == "cpu" else 0
    return channels + fill if channels > fill else channels


def _sum(lattice: Lattice, values: Array, transposed: bool) -> Array:
    gather = functools.partial(jnp.take, axis=0, mode="clip")
    splatted = gather(values, lattice.features) * lattice.shares[:, None]
    size = lattice.to_last.shape[0]
    x = jax.ops.segment_sum(splatted, lattice.points, size, indices_are_sorted=True)  # [M, C]
    x = jnp.pad(x, ((0, 0), (0, _lanes(values.shape[1]) - values.shape[1])))
    axes = lattice.adjacent.shape[0]
    if transposed:  # blurs do not commute if points are missing
        x = _blur(gather(x, lattice.to_last), lattice.adjacent[-1])
        for axis in reversed(range(axes - 1)):
            x = _blur(gather(x, lattice.backward[axis]), lattice.adjacent[axis])
        x = gather(x, lattice.to_last)
    else:
        x = _blur(x, lattice.adjacent[0])
        for axis in range(1, axes):
            x = _blur(gather(x, lattice.forward[axis - 1]), lattice.adjacent[axis])
    corners = [gather(x, lattice.corners[:, i]) * lattice.weights[:, i, None] for i in range(axes)]
    sliced = sum(corners, jnp.zeros((), x.dtype))[:, : values.shape[1]]
    alpha = 1 / (1 + 2.0 ** (1 - axes))
    return jnp.where(lattice.fits, alpha, jnp.nan).astype(x.dtype) * sliced


@jax.custom_vjp
def lattice_sum(lattice: Lattice, values: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """Approximates sum_j exp(-|f_i - f_j|^2 / 2) v_j for each i, including j = i.

    It is differentiable in the values by reverse mode; the gradient with respect to the features is
    0.

    Args:
      lattice: of the N features.
      values: of each feature.
    """
    return _sum(lattice, values, transposed=False)


def _forward(lattice: Lattice, values: Array) -> tuple[Array, Lattice]:
    return lattice_sum(lattice, values), lattice


def _backward(lattice: Lattice, cotangent: Array) -> tuple[None, Array]:
    return None, _sum(lattice, cotangent, transposed=True)


lattice_sum.defvjp(_forward, _backward)
