"""A feature map inside a traced program: its row and column axes, and their receptive fields.

The rules here are for operations that move, cut, repeat or join rows and columns; the operations
that form layers are in jaxseg.inspection.layer_trace.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend import core

from jaxseg.inspection.receptive_field import (
    Span,
    repeated,
    resampled,
    sliced,
    union,
    unknown,
    window,
)
from jaxseg.layers.mirror import mirrored_pixels

# Operations that keep the shape of a map but mix its positions.
_MIXING = {"cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "fft", "sort", "top_k"}

Rule = Callable[[core.JaxprEqn, list[Any]], "Map | None"]


@dataclasses.dataclass(frozen=True)
class Map:
    """A value computed from the image. A dimension is None if a reshape has merged it."""

    dims: tuple[int | None, int | None]  # which dimensions are rows and columns
    spans: tuple[Span, Span]
    layer: int | None  # the last layer it went through

    def at(self, axis: int, dim: int | None, span: Span) -> "Map":
        """The same map with rows (axis 0) or columns (1) at `dim`, seeing `span`."""
        (row, column), (rows, columns) = self.dims, self.spans
        if axis == 0:
            return Map((dim, column), (span, columns), self.layer)
        return Map((row, dim), (rows, span), self.layer)

    def moved(self, where: Callable[[int], int | None]) -> "Map":
        """The same map with its dimensions renumbered; None: merged with others."""
        row, column = (None if dim is None else where(dim) for dim in self.dims)
        return Map((row, column), self.spans, self.layer)


def shape_of(atom: Any) -> tuple[int, ...]:
    """The shape of a variable or literal of a program."""
    return atom.aval.shape


def union_of(maps: Sequence[Map]) -> Map:
    """One map with the union of the fields of several; its axes are those of the finest grid."""
    result = max(maps, key=lambda m: (len(m.spans[0]) * len(m.spans[1]), m.dims != (None, None)))
    for other in maps:
        if other is not result:
            (rows, columns), (its_rows, its_columns) = result.spans, other.spans
            spans = union(rows, its_rows), union(columns, its_columns)
            result = dataclasses.replace(result, spans=spans)
    last = max((m.layer for m in maps if m.layer is not None), default=None)
    return dataclasses.replace(result, layer=last)


def _broadcast_in_dim(eqn: core.JaxprEqn, values: list[Any]) -> Map:
    x: Map = values[0]
    shape, dims = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    result = x.moved(lambda dim: dims[dim])
    for axis, dim in enumerate(result.dims):
        if dim is not None and len(x.spans[axis]) != shape[dim]:
            result = result.at(axis, dim, repeated(x.spans[axis], shape[dim]))
    return result


def _reshape(eqn: core.JaxprEqn, values: list[Any]) -> Map:
    """Keeps, merges and splits dimensions, including depth to space: (h, 2) -> 2 h."""
    x: Map = values[0]
    old, new = shape_of(eqn.invars[0]), shape_of(eqn.outvars[0])
    if x.dims == (None, None):
        lengths = tuple(len(span) for span in x.spans)
        found = [i for i in range(len(new) - 1) if new[i : i + 2] == lengths and max(lengths) > 1]
        return dataclasses.replace(x, dims=(found[0], found[0] + 1)) if found else x
    result = x.moved(lambda dim: None)
    for axis, dim in enumerate(x.dims):
        for i, size in enumerate(new):
            if dim is None or math.prod(new[:i]) != math.prod(old[:dim]):
                continue
            if size == old[dim]:
                result = result.at(axis, i, x.spans[axis])
            elif dim + 1 < len(old) and size == old[dim] * old[dim + 1]:
                source = np.arange(size) // old[dim + 1]
                result = result.at(axis, i, resampled(x.spans[axis], source, source))
    return result


def _transpose(eqn: core.JaxprEqn, values: list[Any]) -> Map:
    return values[0].moved(list(eqn.params["permutation"]).index)


def _squeeze(eqn: core.JaxprEqn, values: list[Any]) -> Map:
    gone = eqn.params["dimensions"]
    return values[0].moved(lambda d: None if d in gone else d - sum(g < d for g in gone))


def _slice(eqn: core.JaxprEqn, values: list[Any]) -> Map:
    x: Map = values[0]
    p, result = eqn.params, values[0]
    for axis, dim in enumerate(x.dims):
        if dim is not None:
            stride = p["strides"][dim] if p["strides"] else 1
            span = sliced(x.spans[axis], p["start_indices"][dim], p["limit_indices"][dim], stride)
            result = result.at(axis, dim, span)
    return result


def _pad(eqn: core.JaxprEqn, values: list[Any]) -> Map:
    x: Map = values[0]
    result = x
    for axis, dim in enumerate(x.dims):
        if dim is not None:
            low, _, between = eqn.params["padding_config"][dim]
            n = shape_of(eqn.outvars[0])[dim]
            span = window(x.spans[axis], n, taps=1, padding=low, upsampling=between + 1)
            result = result.at(axis, dim, span)
    return result


def _rev(eqn: core.JaxprEqn, values: list[Any]) -> Map:
    x: Map = values[0]
    result = x
    for axis, dim in enumerate(x.dims):
        if dim in eqn.params["dimensions"]:
            span = x.spans[axis]
            turned = Span(span.first[::-1], span.last[::-1], -span.step, span.whole)
            result = result.at(axis, dim, turned)
    return result


def _concatenate(eqn: core.JaxprEqn, values: list[Any]) -> Map | None:
    maps = [value for value in values if isinstance(value, Map)]
    dim = eqn.params["dimension"]
    result = union_of(maps) if dim not in maps[0].dims else None
    if result is None and len(maps) == len(values):
        axis = maps[0].dims.index(dim)
        parts = [m.spans[axis] for m in maps]
        joined = Span(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.last for part in parts]),
            parts[0].step,
            any(part.whole for part in parts),
        )
        result = maps[0].at(axis, dim, joined)
    return result


def lost(maps: list[Map]) -> Map:
    """The map after an operation without a rule: each position may see the whole image."""
    return Map((None, None), (unknown(1), unknown(1)), union_of(maps).layer)


def elementwise(eqn: core.JaxprEqn, maps: list[Map]) -> Map | None:
    """The result of an elementwise operation on maps of one grid; None if the grid changes."""
    result = union_of(maps)
    shape = shape_of(eqn.outvars[0])
    if eqn.primitive.name in _MIXING:
        return None
    for dim, span in zip(result.dims, result.spans, strict=True):
        if dim is not None and (dim >= len(shape) or shape[dim] != len(span)):
            return None
    return result


def gathered(eqn: core.JaxprEqn, x: Map, index: Any) -> Map | None:
    """Rows or columns picked by known indices, as `jnp.take` does; None: any other gather."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    rank = len(shape_of(eqn.outvars[0]))
    if not hasattr(index, "shape") or len(numbers.start_index_map) != 1:
        return None
    (taken,) = numbers.start_index_map
    if taken not in x.dims or numbers.collapsed_slice_dims != (taken,) or sizes[taken] != 1:
        return None
    new = [d for d in range(rank) if d not in numbers.offset_dims]
    if len(new) != 1:
        return None
    axis = x.dims.index(taken)
    rest = [d for d in range(len(sizes)) if d != taken]
    positions = np.asarray(index).reshape(-1).clip(0, len(x.spans[axis]) - 1)
    moved = x.moved(lambda dim: numbers.offset_dims[rest.index(dim)] if dim in rest else None)
    before = _mirrored(positions, len(x.spans[axis]))
    if before is None:
        return moved.at(axis, new[0], resampled(x.spans[axis], positions, positions))
    # Beyond its borders a map continues as inside.
    return moved.at(axis, new[0], window(x.spans[axis], len(positions), taps=1, padding=before))


def _mirrored(positions: np.ndarray, length: int) -> int | None:
    """The number of mirrored positions before the first of the `length` pixels of an axis.

    None if the axis is not mirrored. If it is mirrored several times, the middle copy counts.
    """
    found = []
    for before in np.flatnonzero(positions[: len(positions) - length + 1] == 0):
        after = len(positions) - length - int(before)
        if length > 1 and np.array_equal(positions, mirrored_pixels(length, int(before), after)):
            found.append(int(before))
    return found[len(found) // 2] if found else None


def windowed(eqn: core.JaxprEqn, x: Map) -> Map:
    """A map through max or mean pooling."""
    p, out, result = eqn.params, shape_of(eqn.outvars[0]), x
    for axis, dim in enumerate(x.dims):
        if dim is not None:
            span = window(
                x.spans[axis],
                out[dim],
                taps=p["window_dimensions"][dim],
                stride=p["window_strides"][dim],
                rate=p["window_dilation"][dim],
                padding=p["padding"][dim][0],
                upsampling=p["base_dilation"][dim],
            )
            result = result.at(axis, dim, span)
    return result


def multiplied(eqn: core.JaxprEqn, x: Map, side: int, other: Any) -> tuple[Map | None, bool]:
    """A map in a matrix product, as operand `side`.

    Returns:
      The result, and whether the product mixed rows or columns. A product that mixes them is an
      interpolation if the other operand is a known matrix; otherwise the result is None.
    """
    contracted, batch = eqn.params["dimension_numbers"]
    ranks = [len(shape_of(atom)) for atom in eqn.invars]
    free = [
        [d for d in range(ranks[s]) if d not in contracted[s] and d not in batch[s]] for s in (0, 1)
    ]
    place = {(s, d): i for s in (0, 1) for i, d in enumerate(batch[s])}  # of the output
    rest = [(s, d) for s in (0, 1) for d in free[s]]
    place |= {key: len(batch[0]) + i for i, key in enumerate(rest)}
    result = x.moved(lambda dim: place.get((side, dim)))
    mixed = [axis for axis in (0, 1) if x.dims[axis] in contracted[side]]
    if not mixed:
        return result, False
    if len(mixed) > 1 or not hasattr(other, "shape") or len(free[1 - side]) != 1 or batch[0]:
        return None, True
    reads = np.asarray(other) != 0
    if contracted[1 - side][0] == 1:
        reads = reads.T  # [inputs, outputs]
    lower, upper = reads.argmax(0), len(reads) - 1 - reads[::-1].argmax(0)
    dim = place[1 - side, free[1 - side][0]]
    return result.at(mixed[0], dim, resampled(x.spans[mixed[0]], lower, upper)), True


MOVES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _rev,
    "slice": _slice,
    "squeeze": _squeeze,
    "transpose": _transpose,
}
