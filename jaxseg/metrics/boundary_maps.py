"""What the boundary metrics are built from: maps that tell void from frame, edges, distances."""

import itertools
import math
import numbers
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Int32, Integer, Num

from jaxseg.types import Array, ArrayLike

FAR = 1 << 29  # the squared distance that stands for "none"; above any within _LONGEST pixels
VOID, OUTSIDE = -1, -2  # ids of what is not counted and of what is beyond the image
_LONGEST = 1 << 14  # rows or columns of an image, so that squares fit in int32


def id_maps(
    labels: Integer[ArrayLike, "b h w"],
    predictions: Integer[ArrayLike, "b h w"],
    num_classes: int,
    sizes: Integer[ArrayLike, "b 2"] | None,
) -> Int32[Array, "2 b h w"]:
    """Truth and prediction: ids in 0..K-1, both VOID where either is not one.

    Args:
      labels: train ids.
      predictions: train ids.
      num_classes: K.
      sizes: heights and widths of the images in their frames; both OUTSIDE beyond them.
        None: no image was padded.

    Raises:
      ValueError: shapes that are not these.
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
        raise ValueError(f"sizes {list(np.shape(sizes))}: a height and a width an image, [B, 2]")
    heights, widths = jnp.asarray(sizes).T[:, :, None, None]
    inside = (jnp.arange(shape[1])[:, None] < heights) & (jnp.arange(shape[2]) < widths)
    return jnp.where(inside, maps, OUTSIDE)


def squared_diagonals(
    shape: Sequence[int], sizes: Integer[ArrayLike, "b 2"] | None
) -> Float32[Array, " {shape[0]}"]:
    """height^2 + width^2 of each image of a batch of that shape, [B, H, W], in pixels."""
    if sizes is None:
        return jnp.full(shape[0], float(shape[1] ** 2 + shape[2] ** 2))
    return jnp.square(jnp.asarray(sizes, jnp.float32)).sum(axis=1)


def edges(ids: Integer[Array, "*n h w"], *, frame: bool) -> Bool[Array, "*n h w"]:
    """Where a pixel with an id has a 4-neighbour with another one.

    Args:
      ids: of `id_maps`. VOID does not count as another id.
      frame: whether a neighbour beyond the image is one.
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
    """Pixels with an id that have another one, or the frame's end, within a chessboard distance.

    They are those whose id is not both the least and the greatest of the square about them. The
    square grows by s on each side as its three copies s apart are merged, for s up to the square's
    own width: radius 40 takes the four steps 1, 3, 9, 27, where one pixel a step takes 40.

    Args:
      maps: of `id_maps`.
      num_classes: K.
      distance: of each image.
    """
    *_, height, width = maps.shape
    below = -num_classes - 2  # less than every id and every negative id
    outside = maps == OUTSIDE
    least = jnp.where(outside, below, jnp.where(maps >= 0, maps, num_classes))
    least_negative = jnp.where(outside, below, jnp.where(maps >= 0, -maps, 1))
    powers = [3**i for i in range(10) if 3**i <= max(height, width)]
    # Up while the next power fits, then what is left to the distance in digits of base 3.
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

    In two passes: the distance within the column, then the least of g(x + i)^2 + i^2 over columns
    (Saito and Toriwaki, 1994). The second stops once i exceeds every distance found, so it costs
    as many steps as the largest distance asked for, not as the width.

    Args:
      seeds: to which distances are taken.
      reach: in pixels; greater distances become FAR, and cost nothing.
      queried: where distances matter; elsewhere they may be too large.
      metric: "euclidean", or "chessboard" (as squares grow by dilation with 3x3).

    Returns:
      FAR where there is none.

    Raises:
      ValueError: not [B, H, W]; more than 16384 rows or columns; an unknown metric.
    """
    if np.ndim(seeds) != 3 or max(np.shape(seeds)[1:]) > _LONGEST:
        raise ValueError(f"seeds {list(np.shape(seeds))}: [B, H, W], no side above {_LONGEST}")
    if metric not in ("euclidean", "chessboard"):
        raise ValueError(f"metric {metric!r}: euclidean or chessboard")
    seeds = jnp.asarray(seeds, bool)
    _, height, width = seeds.shape
    last = width - 1 if reach is None else min(reach, width - 1)
    rows = jnp.arange(height, dtype=jnp.int32)[:, None]
    above = jax.lax.cummax(jnp.where(seeds, rows, -_LONGEST), axis=1)
    below = jax.lax.cummin(jnp.where(seeds, rows, 2 * _LONGEST), axis=1, reverse=True)
    column = jnp.minimum(rows - above, below - rows)
    column = jnp.where(column < _LONGEST, column**2, FAR)
    padded = jnp.pad(column, ((0, 0), (0, 0), (last, last)), constant_values=FAR)
    asked = seeds.any(axis=(1, 2), keepdims=True)  # an image without a seed would never stop
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

    All classes at once, by the offsets within the limit: for short distances, where one transform a
    class would cost more.

    Args:
      own: ids, VOID where nothing is asked.
      other: ids, VOID where there is nothing to find.
      limit: the largest squared distance that matters.

    Returns:
      FAR where there is none within the limit.
    """
    reach = math.isqrt(limit)
    inside = [
        (y * y + x * x, y + reach, x + reach)
        for y in range(-reach, reach + 1)
        for x in range(-reach, reach + 1)
        if y * y + x * x <= limit
    ]
    offsets = jnp.asarray(sorted(inside, reverse=True), jnp.int32)  # the nearest is written last
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
    """Percentile of the distances whose squares these are, interpolated as numpy.percentile does.

    Its two neighbours in rank are found by halving the range of squares, which is exact as these
    are whole numbers, and quicker than sorting a map of which few pixels count.

    Args:
      squares: negative ones do not count.
      part: the percentile, in hundredths of a percent.

    Returns:
      For each image; without meaning where nothing counts.
    """
    counted = squares >= 0
    gaps = counted.sum(axis=(1, 2), dtype=jnp.int32) - 1  # between the first rank and the last
    whole, rest = gaps // 10_000, gaps % 10_000  # in parts, as their product may not fit in int32
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
    """How many of the ascending limits each squared distance exceeds: its ring."""
    rings = jnp.zeros(squares.shape, jnp.int32)
    for limit in limits:
        rings += squares > limit
    return rings


def check_ascending(name: str, values: Sequence[float]) -> None:
    """Refuses, with a ValueError, anything but one or more positive numbers in rising order."""
    rising = all(low < high for low, high in itertools.pairwise(values))
    if not values or not rising or not all(isinstance(v, numbers.Real) and v > 0 for v in values):
        raise ValueError(f"{name} {tuple(values)}: positive numbers, ascending")
