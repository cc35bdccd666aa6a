"""Building blocks of the boundary metrics: id maps with void and padding, edges, distances."""

import itertools
import math
import numbers
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Int32, Integer, Num

from jaxseg.types import Array, ArrayLike

FAR = 1 << 29  # the squared distance that means "none"; above any within _LONGEST pixels
VOID, OUTSIDE = -1, -2  # ids of pixels that are not counted and of those outside the image
_LONGEST = 1 << 14  # most rows or columns of an image, so that squares fit in int32


def id_maps(
    labels: Integer[ArrayLike, "b h w"],
    predictions: Integer[ArrayLike, "b h w"],
    num_classes: int,
    sizes: Integer[ArrayLike, "b 2"] | None,
) -> Int32[Array, "2 b h w"]:
    """Stacks truth and prediction: ids in 0..K-1, both VOID where either is another value.

    Args:
      labels: train ids.
      predictions: train ids.
      num_classes: K.
      sizes: heights and widths of the images before padding; both maps are OUTSIDE beyond them.
        None means that no image was padded.

    Raises:
      ValueError: the shapes do not match.
    """
    shape = np.shape(labels)
    if shape != np.shape(predictions) or len(shape) != 3:
        raise ValueError(
            f"labels {shape} and predictions {np.shape(predictions)} must both be [B, H, W]"
        )
    maps = jnp.stack([jnp.asarray(ids).astype(jnp.int32) for ids in (labels, predictions)])
    counted = ((maps >= 0) & (maps < num_classes)).all(axis=0)
    maps = jnp.where(counted, maps, VOID)
    if sizes is None:
        return maps
    if np.shape(sizes) != (shape[0], 2):
        raise ValueError(f"sizes {list(np.shape(sizes))}: must be [B, 2], height and width")
    heights, widths = jnp.asarray(sizes).T[:, :, None, None]
    inside = (jnp.arange(shape[1])[:, None] < heights) & (jnp.arange(shape[2]) < widths)
    return jnp.where(inside, maps, OUTSIDE)


def squared_diagonals(
    shape: Sequence[int], sizes: Integer[ArrayLike, "b 2"] | None
) -> Float32[Array, " {shape[0]}"]:
    """height^2 + width^2 of each image, in pixels, for a batch of shape [B, H, W]."""
    if sizes is None:
        return jnp.full(shape[0], float(shape[1] ** 2 + shape[2] ** 2))
    return jnp.square(jnp.asarray(sizes, jnp.float32)).sum(axis=1)


def edges(ids: Integer[Array, "*n h w"], *, frame: bool) -> Bool[Array, "*n h w"]:
    """Marks pixels that have a 4-neighbour with another id.

    Args:
      ids: from `id_maps`. VOID does not count as another id.
      frame: whether a neighbour outside the image counts as another id.
    """
    height, width = ids.shape[-2:]
    around = [(0, 0)] * (ids.ndim - 2) + [(1, 1), (1, 1)]
    padded = jnp.pad(ids, around, constant_values=OUTSIDE)
    found = jnp.zeros(ids.shape, bool)
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = padded[..., y : y + height, x : x + width]
        found |= (beside != ids) & (beside >= 0)
        if frame:
            found |= beside == OUTSIDE
    return found & (ids >= 0)


def near_another(
    maps: Int32[Array, "2 b h w"], num_classes: int, distance: Int32[Array, " b"]
) -> Bool[Array, "2 b h w"]:
    """Marks pixels with another id, or the image border, within a chessboard distance.

    These are the pixels whose id is not both the minimum and the maximum of the square around them.
    Merging three copies of a square that are s apart extends it by s on each side, for s up to its
    width: radius 40 takes the four steps 1, 3, 9 and 27 instead of 40 steps of one pixel.

    Args:
      maps: from `id_maps`.
      num_classes: K.
      distance: of each image, in pixels.
    """
    *_, height, width = maps.shape
    below = -num_classes - 2  # less than every id and every negated id
    outside = maps == OUTSIDE
    least = jnp.where(outside, below, jnp.where(maps >= 0, maps, num_classes))
    least_negative = jnp.where(outside, below, jnp.where(maps >= 0, -maps, 1))
    powers = [3**i for i in range(10) if 3**i <= max(height, width)]
    # Ascending powers while they fit, then the rest of the distance in base 3.
    steps = jnp.asarray(powers + sorted(powers * 2, reverse=True), jnp.int32)
    rim = powers[-1]

    def beside(values: Array, step: Array, axis: int) -> Array:
        gaps = [(0, 0)] * values.ndim
        gaps[axis] = (rim, rim)
        padded = jnp.pad(values, gaps, constant_values=below)
        size = values.shape[axis]
        before = jax.lax.dynamic_slice_in_dim(padded, rim - step, size, axis)
        return jnp.minimum(before, jax.lax.dynamic_slice_in_dim(padded, rim + step, size, axis))

    def grow(state: tuple[Array, Array], step: Array) -> tuple[tuple[Array, Array], None]:
        radius, values = state
        chosen = (step <= 2 * radius + 1) & (radius + step <= distance)

        def merged(values: Array) -> Array:
            grown = values
            for axis in (3, 4):
                grown = jnp.minimum(grown, beside(grown, step, axis))
            return jnp.where(chosen[:, None, None], grown, values)

        values = jax.lax.cond(chosen.any(), merged, lambda values: values, values)
        return (radius + step * chosen, values), None

    extremes = jnp.stack([least, least_negative]).astype(jnp.int16)  # [2, 2, B, H, W]
    start = jnp.zeros_like(distance), extremes
    extremes = jax.lax.scan(grow, start, steps)[0][1].astype(jnp.int32)
    return (maps >= 0) & ((extremes[0] != maps) | (extremes[1] != -maps))


def squared_distances(
    seeds: Bool[ArrayLike, "b h w"],
    *,
    reach: int | None = None,
    queried: Bool[ArrayLike, "b h w"] | None = None,
    metric: str = "euclidean",
) -> Int32[Array, "b h w"]:
    """Exact squared distance of each pixel to the nearest seed of its image.

    It takes two passes: the distance within the column, then the minimum of g(x + i)^2 + i^2 over
    columns (Saito and Toriwaki, 1994). The second stops once i exceeds every distance found, so the
    number of steps is the largest queried distance rather than the width.

    Args:
      seeds: the pixels to which distances are measured.
      reach: in pixels; larger distances become FAR and are not computed.
      queried: where distances are needed; elsewhere they may be too large.
      metric: "euclidean" or "chessboard" (the distance of dilation by 3x3 squares).

    Returns:
      The squared distances in pixels, FAR where there is no seed.

    Raises:
      ValueError: `seeds` is not [B, H, W] or has more than 16384 rows or columns; `metric` is
        unknown.
    """
    if np.ndim(seeds) != 3 or max(np.shape(seeds)[1:]) > _LONGEST:
        raise ValueError(
            f"seeds {list(np.shape(seeds))}: must be [B, H, W] with sides up to {_LONGEST}"
        )
    if metric not in ("euclidean", "chessboard"):
        raise ValueError(f"metric {metric!r}: must be euclidean or chessboard")
    seeds = jnp.asarray(seeds, bool)
    _, height, width = seeds.shape
    last = width - 1 if reach is None else min(reach, width - 1)
    rows = jnp.arange(height, dtype=jnp.int32)[:, None]
    above = jax.lax.cummax(jnp.where(seeds, rows, -_LONGEST), axis=1)
    below = jax.lax.cummin(jnp.where(seeds, rows, 2 * _LONGEST), axis=1, reverse=True)
    column = jnp.minimum(rows - above, below - rows)
    column = jnp.where(column < _LONGEST, column**2, FAR)
    padded = jnp.pad(column, ((0, 0), (0, 0), (last, last)), constant_values=FAR)
    asked = seeds.any(axis=(1, 2), keepdims=True)  # without a seed the loop would not end
    asked = asked if queried is None else asked & jnp.asarray(queried, bool)

    def unfinished(state: tuple[Array, Array]) -> Array:
        step, best = state
        return (step <= last) & (step**2 < jnp.max(jnp.where(asked, best, 0)))

    def widen(state: tuple[Array, Array]) -> tuple[Array, Array]:
        step, best = state
        for start in (last - step, last + step):
            beside = jax.lax.dynamic_slice_in_dim(padded, start, width, axis=2)
            far = beside + step**2 if metric == "euclidean" else jnp.maximum(beside, step**2)
            best = jnp.minimum(best, far)
        return step + 1, best

    best = jax.lax.while_loop(unfinished, widen, (jnp.int32(1), column))[1]
    limit = FAR if reach is None else min(reach, 2 * _LONGEST) ** 2
    return jnp.where(best <= limit, best, FAR)


def squared_distances_in_class(
    own: Integer[Array, "n b h w"], other: Integer[Array, "n b h w"], limit: int
) -> Int32[Array, "n b h w"]:
    """Squared Euclidean distance of each pixel to the nearest one with its id in the other map.

    It tries all offsets within the limit for all classes at once. This is for short distances, for
    which one distance transform per class would cost more.

    Args:
      own: ids, VOID where no distance is needed.
      other: ids, VOID where there is no target.
      limit: the largest squared distance of interest.

    Returns:
      The squared distances in pixels, FAR where they exceed the limit.
    """
    reach = math.isqrt(limit)
    inside = [
        (y * y + x * x, y + reach, x + reach)
        for y in range(-reach, reach + 1)
        for x in range(-reach, reach + 1)
        if y * y + x * x <= limit
    ]
    offsets = jnp.asarray(
        sorted(inside, reverse=True), jnp.int32
    )  # the nearest one is written last
    rim = (reach, reach)
    padded = jnp.pad(other, ((0, 0), (0, 0), rim, rim), constant_values=VOID)

    def visit(nearest: Array, offset: Array) -> tuple[Array, None]:
        square, y, x = offset
        beside = jax.lax.dynamic_slice(padded, (0, 0, y, x), other.shape)
        return jnp.where(beside == own, square, nearest), None

    nearest = jax.lax.scan(visit, jnp.full(own.shape, FAR, jnp.int32), offsets)[0]
    return jnp.where(own >= 0, nearest, FAR)


def percentile_of_roots(
    squares: Int32[Array, "b h w"], part: int | Int32[Array, ""]
) -> Float32[Array, " b"]:
    """Percentile of distances given by their squares, interpolated as in numpy.percentile.

    The two adjacent ranks are found by bisection of the squares, which is exact because these are
    integers, and faster than sorting a map in which few pixels count.

    Args:
      squares: squared distances; negative values do not count.
      part: the percentile, in hundredths of a percent.

    Returns:
      The percentile of each image; undefined if no pixel counts.
    """
    counted = squares >= 0
    gaps = counted.sum(axis=(1, 2), dtype=jnp.int32) - 1  # from the first rank to the last
    whole, rest = gaps // 10_000, gaps % 10_000  # the full product may overflow int32
    rank = whole * part + rest * part // 10_000
    beyond = (rest * part % 10_000) / 10_000

    def up_to(limit: Array) -> Array:
        return (counted & (squares <= limit[:, None, None])).sum(axis=(1, 2), dtype=jnp.int32)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) // 2
        enough = up_to(middle) > rank
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    zero = jnp.zeros_like(rank)
    here = jax.lax.fori_loop(0, FAR.bit_length(), halve, (zero, zero + FAR))[0]
    above = jnp.min(jnp.where(squares > here[:, None, None], squares, FAR), axis=(1, 2))
    after = jnp.where(up_to(here) > rank + 1, here, above)
    near, far = (jnp.sqrt(square.astype(jnp.float32)) for square in (here, after))
    return jnp.where(beyond > 0, near + beyond * (far - near), near)


def first_within(
    squares: Int32[Array, "*shape"], limits: Sequence[Num[ArrayLike, "..."] | int]
) -> Int32[Array, "*shape"]:
    """Counts how many of the ascending limits each squared distance exceeds: its ring."""
    rings = jnp.zeros(squares.shape, jnp.int32)
    for limit in limits:
        rings += squares > limit
    return rings


def check_ascending(name: str, values: Sequence[float]) -> None:
    """Raises a ValueError unless `values` are one or more positive numbers in ascending order."""
    rising = all(low < high for low, high in itertools.pairwise(values))
    if not values or not rising or not all(isinstance(v, numbers.Real) and v > 0 for v in values):
        raise ValueError(f"{name} {tuple(values)}: must be positive numbers in ascending order")
