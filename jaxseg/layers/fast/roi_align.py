"""Bilinear samples of many regions without a scatter.

The mean over a grid of bilinear samples is a product: rows of weights, times the map, times columns
of weights. On a CPU the values are gathered, and the gradient goes through the tiles of the map
that an RoI covers: each is read, added to and written in place, so that the work goes by the area
of the RoIs and the sum has one order. On accelerators the whole map is multiplied, for some RoIs at
a time; a GPU gathers the values of few samples. Their choice follows public reports and was not
measured here: scatters are slow on them, and gathers on a TPU.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.layers.accumulator import accumulator
from jaxseg.types import Array

_TILE = 16  # cells along a side; 8 and 32 are slower by a tenth
_AT_ONCE = 32  # RoIs of an image that a product of matrices takes, which bounds its memory


class Samples(NamedTuple):
    """Of one axis: S samples in each of P bins, and their share of the bin's mean."""

    position: Array  # [..., P, S] in cells, within the map
    share: Array  # [..., P, S]; 0: not a sample

    def neighbours(self, cells: Array) -> Iterator[tuple[Array, Array]]:
        """(cell, share of it) before and after each position, of a map of so many cells."""
        low = jnp.floor(self.position)
        after = self.position - low
        index = low.astype(jnp.int32)
        yield index, self.share * (1 - after)
        yield jnp.minimum(index + 1, cells - 1), self.share * after

    def weights(self, cells: Array) -> Array:
        """What each of some cells gives to each bin: [..., P, cells]."""
        near = jnp.maximum(0, 1 - jnp.abs(cells - self.position[..., None]))
        return (near * self.share[..., None]).sum(-2)

    def reach(self) -> tuple[Array, Array]:
        """The first cell that is seen, and how many from there on; 0 if there is none."""
        low = jnp.floor(self.position)
        first = jnp.where(self.share > 0, low, jnp.inf).min((-2, -1))
        last = jnp.where(self.share > 0, low, -jnp.inf).max((-2, -1)) + 1
        seen = last >= first
        count = jnp.where(seen, last - first + 1, 0)
        return jnp.where(seen, first, 0).astype(jnp.int32), count.astype(jnp.int32)


Maps = tuple[Array, ...]
Definition = Callable[[Sequence[Array], Array, Samples, Samples], Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def sampled_fast(
    maps: Maps, level: Array, rows: Samples, columns: Samples, gathered: Definition | None
) -> Array:
    """The mean of each bin: [B, N, P, P, C].

    Args:
      maps: [B, h, w, C] of each level.
      level: [B, N], whose map an RoI is read from.
      rows: [B, N, P, S].
      columns: likewise.
      gathered: the definition, by gathers, which is the fastest for few samples; None: there are
        many.
    """
    if gathered is None:
        return lax.platform_dependent(
            maps, level, rows, columns, cpu=_by_tiles, default=_by_matrices
        )
    return lax.platform_dependent(
        maps,
        level,
        rows,
        columns,
        tpu=_by_matrices,
        cpu=functools.partial(_apart, gathered),
        default=gathered,
    )


def _apart(
    gathered: Definition, maps: Maps, level: Array, rows: Samples, columns: Samples
) -> Array:
    """The definition, computed once, whatever reads it.

    XLA:CPU fuses the gathers with what follows, such as the padding before a convolution, and then
    interpolates again for every element that this reads: 70 ms instead of 5 for 400 RoIs of 14 x
    14 x 64. A branch is not fused. Its condition always holds, but that is known only at run time;
    `lax.optimization_barrier` does not help, since XLA removes it before it fuses.
    """
    shape = (*rows.position.shape[:-1], columns.position.shape[-2], maps[0].shape[-1])
    zeros = functools.partial(jnp.zeros, shape, maps[0].dtype)
    arguments = maps, level, rows, columns
    return lax.cond(jnp.any(level >= 0), gathered, lambda *_: zeros(), *arguments)


def _forward(
    maps: Maps, level: Array, rows: Samples, columns: Samples, gathered: Definition | None
) -> tuple:
    # Empty arrays carry the maps' sizes and dtype to the gradient.
    empty = tuple(jnp.zeros((0, *x.shape[1:3]), x.dtype) for x in maps)
    return sampled_fast(maps, level, rows, columns, gathered), (empty, level, rows, columns)


def _backward(gathered: Definition | None, residuals: tuple, dy: Array) -> tuple:
    empty, level, rows, columns = residuals
    sizes = [x.shape[1:] for x in empty]
    wide = dy.astype(accumulator(dy))
    gradients = lax.platform_dependent(
        wide,
        level,
        rows,
        columns,
        cpu=functools.partial(_gradient_by_tiles, sizes=sizes),
        default=functools.partial(_gradient_by_matrices, sizes=sizes),
    )
    return tuple(d.astype(x.dtype) for d, x in zip(gradients, empty, strict=True)), None, None, None


sampled_fast.defvjp(_forward, _backward)


class _Tile(NamedTuple):
    """What an RoI sees of a tile of its map."""

    roi: Array  # its place among all RoIs
    corner: tuple[Array, Array, Array, Array]  # of the tile in [B, h, w, C]
    rows: Array  # weights [P, tile]
    columns: Array


def _over_tiles(
    level: Array,
    rows: Samples,
    columns: Samples,
    sizes: Sequence[Sequence[int]],
    start: Callable[[int], Array],
    visit: Callable[[int, _Tile, Array], Array],
) -> list[Array]:
    """Visits the tiles of all RoIs, level by level.

    Args:
      level: [B, N].
      rows: [B, N, P, S].
      columns: likewise.
      sizes: of the maps.
      start: the result of a level before its first tile.
      visit: (level, tile, result) -> the result after it.
    """
    batch, count = level.shape
    flat = level.ravel()
    order = jnp.argsort(flat).astype(jnp.int32)  # RoIs of one level follow each other
    rows, columns = jax.tree.map(lambda x: x.reshape(batch * count, *x.shape[2:]), (rows, columns))
    (top, tall), (left, wide) = rows.reach(), columns.reach()
    down, across = -(-tall // _TILE), -(-wide // _TILE)
    results = []
    for k, size in enumerate(sizes):
        sides = [min(_TILE, n) for n in size]

        def of_axis(samples: Samples, first: Array, side: int, cells: int) -> tuple[Array, Array]:
            corner = jnp.clip(first, 0, cells - side)  # dynamic slices stay within the map
            cell = corner + jnp.arange(side)
            return corner, jnp.where(cell >= first, samples.weights(cell), 0)

        def of_roi(i: Array, result: Array, k=k, size=size, sides=sides) -> Array:
            roi = order[i]
            these, those = jax.tree.map(lambda x: x[roi], (rows, columns))

            def of_tile(t: Array, result: Array) -> Array:
                below, beside = t // across[roi], t % across[roi]
                y, y_weights = of_axis(these, top[roi] + _TILE * below, sides[0], size[0])
                x, x_weights = of_axis(those, left[roi] + _TILE * beside, sides[1], size[1])
                corner = roi // count, y, x, jnp.zeros_like(roi)
                return visit(k, _Tile(roi, corner, y_weights, x_weights), result)

            return lax.fori_loop(0, down[roi] * across[roi], of_tile, result)

        begin = (flat < k).sum()
        end = begin + (flat == k).sum()
        results.append(lax.fori_loop(begin, end, of_roi, start(k)))
    return results


_product = functools.partial(jnp.einsum, precision="highest")


def _narrow_product(x: Array, y: Array) -> Array:
    """[k, n] and [m, k, c] -> [m, n, c], of so few k that their sum is fused with what follows."""
    return functools.reduce(jnp.add, (w[:, None] * y[:, k, None] for k, w in enumerate(x)))


def _by_tiles(maps: Maps, level: Array, rows: Samples, columns: Samples) -> Array:
    batch, count, bins, _ = rows.position.shape
    channels = maps[0].shape[-1]
    wide = accumulator(maps[0])

    def start(k: int) -> Array:
        return jnp.zeros((batch * count, bins, bins, channels), wide)

    def visit(k: int, tile: _Tile, result: Array) -> Array:
        sides = tile.rows.shape[1], tile.columns.shape[1]
        cells = lax.dynamic_slice(maps[k], tile.corner, (1, *sides, channels))[0].astype(wide)
        y, x = (w.astype(wide) for w in (tile.rows, tile.columns))
        part = _narrow_product(x.T, _product("ph,hwc->pwc", y, cells))
        return lax.dynamic_update_index_in_dim(result, result[tile.roi] + part, tile.roi, 0)

    sizes = [x.shape[1:3] for x in maps]
    results = _over_tiles(level, rows, columns, sizes, start, visit)
    return (
        functools.reduce(jnp.add, results)
        .reshape(batch, count, bins, bins, channels)
        .astype(maps[0].dtype)
    )


def _gradient_by_tiles(
    dy: Array, level: Array, rows: Samples, columns: Samples, *, sizes: Sequence[Sequence[int]]
) -> list[Array]:
    batch, channels = dy.shape[0], dy.shape[-1]
    flat = dy.reshape(-1, *dy.shape[2:])

    def start(k: int) -> Array:
        return jnp.zeros((batch, *sizes[k], channels), dy.dtype)

    def visit(k: int, tile: _Tile, result: Array) -> Array:
        sides = tile.rows.shape[1], tile.columns.shape[1]
        y, x = (w.astype(dy.dtype) for w in (tile.rows, tile.columns))
        part = _narrow_product(x, _product("ph,pqc->hqc", y, flat[tile.roi]))
        before = lax.dynamic_slice(result, tile.corner, (1, *sides, channels))
        return lax.dynamic_update_slice(result, before + part, tile.corner)

    return _over_tiles(level, rows, columns, sizes, start, visit)


def _chunks(level: Array, *arrays: Array) -> tuple[Array, ...]:
    """[B, N, ...] -> [chunks, B, n, ...]; the level of what is added is -1."""
    count = level.shape[1]
    size = min(_AT_ONCE, count)

    def of(x: Array, fill: int = 0) -> Array:
        edges = [(0, 0), (0, -count % size), *[(0, 0)] * (x.ndim - 2)]
        x = jnp.pad(x, edges, constant_values=fill)
        return jnp.moveaxis(x.reshape(x.shape[0], -1, size, *x.shape[2:]), 1, 0)

    return of(level, -1), *(of(x) for x in arrays)


def _matrices(
    k: int, size: Sequence[int], level: Array, rows: Samples, columns: Samples, dtype: jnp.dtype
) -> tuple[Array, Array]:
    """Weights [B, n, P, h] and [B, n, P, w] of all cells of a map; zeros for RoIs of others."""
    height, width = size
    here = (level == k)[..., None, None]
    y = jnp.where(here, rows.weights(jnp.arange(height)), 0)
    return y.astype(dtype), columns.weights(jnp.arange(width)).astype(dtype)


def _by_matrices(maps: Maps, level: Array, rows: Samples, columns: Samples) -> Array:
    batch, count, bins, _ = rows.position.shape
    wide = accumulator(maps[0])

    def of_chunk(chunk: tuple[Array, ...]) -> Array:
        level, *samples = chunk
        both = Samples(*samples[:2]), Samples(*samples[2:])
        total = jnp.zeros((), wide)
        for k, x in enumerate(maps):
            y_weights, x_weights = _matrices(k, x.shape[1:3], level, *both, wide)
            part = _product("bnph,bhwc->bnpwc", y_weights, x.astype(wide))
            total += _product("bnqw,bnpwc->bnpqc", x_weights, part)
        return total.astype(maps[0].dtype)

    y = lax.map(of_chunk, _chunks(level, *rows, *columns))  # [chunks, B, n, P, P, C]
    return jnp.moveaxis(y, 0, 1).reshape(batch, -1, bins, bins, y.shape[-1])[:, :count]


def _gradient_by_matrices(
    dy: Array, level: Array, rows: Samples, columns: Samples, *, sizes: Sequence[Sequence[int]]
) -> list[Array]:
    batch, channels = dy.shape[0], dy.shape[-1]

    def of_chunk(totals: list[Array], chunk: tuple[Array, ...]) -> tuple[list[Array], None]:
        level, dy, *samples = chunk
        both = Samples(*samples[:2]), Samples(*samples[2:])
        after = []
        for k, (size, total) in enumerate(zip(sizes, totals, strict=True)):
            y_weights, x_weights = _matrices(k, size, level, *both, dy.dtype)
            part = _product("bnqw,bnpqc->bnpwc", x_weights, dy)
            after.append(total + _product("bnph,bnpwc->bhwc", y_weights, part))
        return after, None

    start = [jnp.zeros((batch, *size, channels), dy.dtype) for size in sizes]
    return lax.scan(of_chunk, start, _chunks(level, dy, *rows, *columns))[0]
