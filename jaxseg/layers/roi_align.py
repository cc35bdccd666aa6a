"""RoIAlign of Mask R-CNN (arXiv 1703.06870, section 3), and RoIWarp and RoIPool of its table 2.

The map of a level has cells `stride` pixels apart. An RoI is divided into size x size bins, and a
bin's value is the mean, or the maximum, of the features in it: RoIAlign interpolates them at
regular positions, RoIWarp does so after rounding the RoI to cells, and RoIPool rounds the bins too
and takes the cells themselves.

Each takes a list of maps and, for each RoI, the place of its map in the list (`boxes.levels_of`).
The gradient goes to the maps alone: an RoI is a constant, as in the papers, which train the network
that proposes it by its own loss.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.fast.forms import use_fast
from jaxseg.layers.fast.roi_align import Samples, sampled_fast
from jaxseg.layers.pool import max_pool
from jaxseg.types import Array

_REDUCTIONS = ("mean", "max")
_MOST_UNROLLED = 16  # samples of a bin


class _Axis(NamedTuple):
    """Where RoIs lie along an axis of their map, in cells; all [B, N]."""

    start: Array
    side: Array
    cells: Array  # of the map


class _Bins(NamedTuple):
    """What is taken from each RoI; see `roi_align`."""

    size: int
    sampling: int
    aligned: bool
    reduce: str


def _axes(
    maps: Sequence[Array], strides: Sequence[float], rois: Array, level: Array, *, rounded: bool
) -> list[_Axis]:
    """Rows and columns; `rounded`: from the first cell to the last one, as RoIPool has them."""
    rois = jax.lax.stop_gradient(rois.astype(jnp.promote_types(rois.dtype, jnp.float32)))
    scale = jnp.asarray([1 / stride for stride in strides], rois.dtype)[level]
    axes = []
    for axis in (1, 0):
        start, end = rois[..., axis] * scale, rois[..., axis + 2] * scale
        if rounded:  # halves away from zero, as C's round
            start, end = (jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5) for x in (start, end))
        side = jnp.maximum(end - start + 1, 1) if rounded else end - start
        axes.append(_Axis(start, side, jnp.asarray([x.shape[2 - axis] for x in maps])[level]))
    return axes


def _bin_side(side: Array, size: int) -> Array:
    """The quotient, rounded once, so that 3 cells in 7 bins do not reach into a fourth cell.

    XLA takes a division by a constant, also behind a barrier, for a product with 1 / size.
    """
    return side / (size + 0 * side)


def _samples(axis: _Axis, size: int, sampling: int, most: int) -> Samples:
    """The positions of an axis; an adaptive number of them (0) is `most` at most."""
    start, side, cells = (x[..., None, None] for x in axis)
    each = _bin_side(side, size)
    if sampling:
        count = jnp.full_like(side, sampling)
        of_bin = jnp.arange(sampling)
    else:
        count = jnp.ceil(each)
        of_bin = jnp.arange(most)
    here = start + jnp.arange(size)[:, None] * each
    at = here + (of_bin + 0.5) * each / jnp.maximum(count, 1)  # [B, N, size, S]
    seen = (at >= -1) & (at <= cells) & (of_bin < count)
    share = jnp.where(seen, 1 / jnp.maximum(count, 1), 0)
    return Samples(jnp.where(seen, jnp.clip(at, 0, cells - 1), 0), share)


def _cells(maps: Sequence[Array], level: Array) -> tuple[Array, list[Array]]:
    """All cells [B, T, C]; of each RoI's map the first one, height and width, [B, N, 1] each."""
    cells = jnp.concatenate([x.reshape(x.shape[0], -1, x.shape[3]) for x in maps], axis=1)
    sizes = jnp.asarray([x.shape[1:3] for x in maps])  # [L, 2]
    first = jnp.cumsum(sizes.prod(-1)) - sizes.prod(-1)
    return cells, [x[level][..., None] for x in (first, sizes[:, 0], sizes[:, 1])]


@jax.vmap
def _read(cells: Array, at: Array) -> Array:
    """[B, T, C] at [B, ...], which is known to be among the T: [B, ..., C]."""
    return cells.at[at].get(mode="promise_in_bounds")


def _sampled(maps: Sequence[Array], level: Array, rows: Samples, columns: Samples) -> Array:
    """The definition: the mean over samples of what lies between their four cells."""
    cells, (first, height, width) = _cells(maps, level)
    cells = cells.astype(accumulator(cells))  # its gradient is a sum

    def add(total: Array, sample: tuple[Samples, Samples]) -> tuple[Array, None]:
        row, column = sample  # [B, N, P] each
        for y, y_share in row.neighbours(height):
            for x, x_share in column.neighbours(width):
                at = (first + y * width)[..., None] + x[..., None, :]  # [B, N, P, P]
                share = y_share[..., None] * x_share[..., None, :]
                total += _read(cells, at) * share[..., None].astype(cells.dtype)
        return total, None

    # Both axes' samples in pairs, in front: [S S, B, N, P].
    row, column = (jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), s) for s in (rows, columns))
    several, others = len(row.position), len(column.position)
    row = jax.tree.map(lambda x: jnp.repeat(x, others, axis=0), row)
    column = jax.tree.map(lambda x: jnp.concatenate([x] * several), column)
    bins = rows.position.shape[-2]
    zeros = jnp.zeros((*level.shape, bins, bins, cells.shape[-1]), cells.dtype)
    # Unrolled, it is one loop over the result that reads 4 S^2 cells for each.
    unroll = several * others if several * others <= _MOST_UNROLLED else 1
    return jax.lax.scan(add, zeros, (row, column), unroll=unroll)[0].astype(maps[0].dtype)


def _pooled(
    maps: Sequence[Array],
    strides: Sequence[float],
    rois: Array,
    level: Array,
    bins: _Bins,
    *,
    rounded: bool,
    form: str,
) -> Array:
    """RoIAlign, or RoIWarp with `rounded`."""
    size, sampling, aligned, reduce = bins
    if reduce not in _REDUCTIONS:
        raise ValueError(f"reduce is {reduce!r}: it must be one of {', '.join(_REDUCTIONS)}")
    if reduce == "max":
        if sampling < 1:
            raise ValueError(f"sampling is {sampling}: a maximum needs a fixed number of samples")
        # Bins of one sample each, at the same positions, and the maximum over sampling x sampling.
        finer = _Bins(size * sampling, 1, aligned, "mean")
        y = _pooled(maps, strides, rois, level, finer, rounded=rounded, form=form)
        y = max_pool(y.reshape(-1, *y.shape[2:]), sampling, sampling, form=form)
        return y.reshape(*level.shape, size, size, -1)
    samples = []
    for n, (start, side, cells) in enumerate(_axes(maps, strides, rois, level, rounded=rounded)):
        axis = (start - 0.5, side) if aligned else (start, jnp.maximum(side, 1))
        most = max(-(-x.shape[1 + n] // size) + 1 for x in maps)
        samples.append(_samples(_Axis(*axis, cells), size, sampling, most))
    if use_fast(form, auto=True):
        return sampled_fast(tuple(maps), level, *samples, _sampled if sampling else None)
    return _sampled(maps, level, *samples)


def roi_align(
    features: Sequence[Float[Array, "b _ _ c"]],
    strides: Sequence[float],
    rois: Float[Array, "b n 4"],
    level: Integer[Array, "b n"],
    size: int,
    *,
    sampling: int = 2,
    aligned: bool = False,
    reduce: str = "mean",
    form: str = "auto",
) -> Float[Array, "b n {size} {size} c"]:
    """RoIAlign: bilinear samples at regular positions of each bin, nothing rounded.

    Args:
      features: the maps of some levels.
      strides: of each map, in pixels of the canvas.
      rois: x1, y1, x2, y2 on the canvas. One without area gives finite numbers; what of one lies
        outside its map counts as zeros.
      level: the place of each RoI's map in `features`.
      size: bins along each side.
      sampling: samples along each side of a bin. 0: as many as the bin has cells, rounded up; the
        RoI must then not be larger than the canvas.
      aligned: a cell's value stands at its centre. False: at its corner, and an RoI is at least one
        cell wide, as in the first implementations.
      reduce: "mean" or "max" of a bin's samples; Mask R-CNN finds them equal (table 2c).
      form: "auto", "plain" or "fast"; all give the same numbers. The fast form has reverse-mode
        derivatives only, and neither it nor its gradient scatters.

    Raises:
      ValueError: `reduce` is unknown, or a maximum over an adaptive number of samples.
    """
    bins = _Bins(size, sampling, aligned, reduce)
    return _pooled(features, strides, rois, level, bins, rounded=False, form=form)


def roi_warp(
    features: Sequence[Float[Array, "b _ _ c"]],
    strides: Sequence[float],
    rois: Float[Array, "b n 4"],
    level: Integer[Array, "b n"],
    size: int,
    *,
    sampling: int = 2,
    aligned: bool = False,
    reduce: str = "mean",
    form: str = "auto",
) -> Float[Array, "b n {size} {size} c"]:
    """RoIWarp: as `roi_align`, of the RoI from its first to its last cell, rounded as RoIPool does.

    So Mask R-CNN describes it (section 4.2): its gain over RoIPool is that of the interpolation.
    """
    bins = _Bins(size, sampling, aligned, reduce)
    return _pooled(features, strides, rois, level, bins, rounded=True, form=form)


_Best = tuple[Array, Array]  # the largest value, and its place among all cells


def roi_pool(
    features: Sequence[Float[Array, "b _ _ c"]],
    strides: Sequence[float],
    rois: Float[Array, "b n 4"],
    level: Integer[Array, "b n"],
    size: int,
    *,
    sampling: int = 2,
    aligned: bool = False,
    reduce: str = "max",
    form: str = "auto",
) -> Float[Array, "b n {size} {size} c"]:
    """RoIPool (Fast R-CNN, arXiv 1504.08083, section 2.1): the largest cell of each bin.

    The RoI goes from its first to its last cell, rounded; its bins overlap by the cells that they
    share. The gradient goes to the first of equal cells, row by row. A bin without cells is 0.

    Args:
      features: as of `roi_align`, like those below.
      strides: of each map.
      rois: x1, y1, x2, y2 on the canvas.
      level: the place of each RoI's map.
      size: bins along each side.
      sampling: RoIPool takes no samples; like the arguments after it, this is here so that the
        three operations can take each other's place.
      aligned: without effect.
      reduce: without effect.
      form: without effect, there is one.
    """
    bin_of = jnp.arange(size)
    edges = []
    for start, side, cells in _axes(features, strides, rois, level, rounded=True):
        each = _bin_side(side[..., None], size)
        begin, end = jnp.floor(bin_of * each), jnp.ceil((bin_of + 1) * each)
        edges += [jnp.clip(start[..., None] + x, 0, cells[..., None]) for x in (begin, end)]
    top, bottom, left, right = (x.astype(jnp.int32) for x in edges)  # [B, N, P]
    cells, (first, _, width) = _cells(features, level)
    values = jax.lax.stop_gradient(cells)

    def row(i: Array, best: _Best) -> _Best:
        def cell(j: Array, best: _Best) -> _Best:
            y, x = jnp.minimum(top + i, bottom - 1), jnp.minimum(left + j, right - 1)
            at = jnp.maximum(first + y * width, 0)[..., None] + jnp.maximum(x, 0)[..., None, :]
            inside = (top + i < bottom)[..., None] & (left + j < right)[..., None, :]
            value, at = _read(values, at), at[..., None]
            larger = inside[..., None] & (value > best[0])
            return jnp.where(larger, value, best[0]), jnp.where(larger, at, best[1])

        return jax.lax.fori_loop(0, (right - left).max(), cell, best)

    shape = (*top.shape, size, cells.shape[-1])
    nothing = jnp.full(shape, -jnp.inf, cells.dtype), jnp.full(shape, -1)
    _, place = jax.lax.fori_loop(0, (bottom - top).max(), row, nothing)
    flat = jnp.maximum(place, 0).reshape(shape[0], -1, shape[-1])
    largest = jnp.take_along_axis(cells, flat, axis=1, mode="promise_in_bounds").reshape(shape)
    return jnp.where(place < 0, 0, largest)
