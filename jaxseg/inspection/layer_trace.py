"""The layers that a model computes, read from its traced program (jaxpr).

Nothing is executed, and models need not describe themselves: every operation of the program is
followed, together with the rows and columns of each map and the pixels that they see. Operations on
constants are evaluated, so that interpolation matrices and gather indices are known.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from jaxseg.inspection.feature_map import (
    MOVES,
    Map,
    elementwise,
    gathered,
    lost,
    multiplied,
    shape_of,
    union_of,
    windowed,
)
from jaxseg.inspection.layer_table import Layer, LayerTable, Weight
from jaxseg.inspection.receptive_field import image_span, pooled, unknown, window
from jaxseg.shape_trace import trace_shapes

_FOLDED = 1 << 22  # larger constants are not evaluated; no index table is so large


def trace(model: nn.Module, size: tuple[int, int]) -> tuple[list[Layer], int]:
    """The layers of a model for one image of `size`, in the order of computation.

    Args:
      model: takes images [1, H, W, 3]; should use plain forms.
      size: (height, width).

    Returns:
      The layers, and the total number of parameters, including those that no layer uses.
    """
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    apply = lambda variables, x: model.apply(variables, x, train=False)  # noqa: E731
    _, variables = trace_shapes(model, size)
    program = jax.make_jaxpr(apply)(variables, image)
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    sizes = {
        name: math.prod(leaf.shape)
        for name, (_, leaf) in zip(names, leaves, strict=True)
        if name.startswith("params/")
    }
    table = LayerTable(sizes)
    inputs: list[Any] = [Weight(frozenset([name])) for name in names]
    inputs.append(Map((1, 2), (image_span(size[0]), image_span(size[1])), None))
    _Walk(table).run(program.jaxpr, program.consts, inputs, "")
    return table.layers, sum(sizes.values())


def _scope(prefix: str, eqn: core.JaxprEqn) -> str:
    inner = str(eqn.source_info.name_stack)
    return "/".join(part for part in (prefix, inner) if part)


def _module_path(scope: str) -> str:
    """The path of the module, without the class name of the model and function names."""
    parts = [part for part in scope.split("/")[1:] if part.replace("_", "a").isalnum()]
    return "/".join(parts)


def _path(operand: Any, scope: str) -> str:
    """The module that owns a kernel; for any other operand, the scope of the operation."""
    if isinstance(operand, Weight):
        return "/".join(min(operand.leaves).split("/")[1:-1])
    return _module_path(scope)


def _inner(eqn: core.JaxprEqn) -> tuple[Any, Sequence[Any]] | None:
    """The jaxpr inside a call, and its constants."""
    if eqn.primitive.name in ("scan", "while", "cond"):
        return None
    for value in eqn.params.values():
        if isinstance(value, core.ClosedJaxpr):
            return value.jaxpr, value.consts
        if isinstance(value, core.Jaxpr):
            return value, ()
    return None


class _Walk:
    """Follows a program; a table of its layers grows."""

    def __init__(self, table: LayerTable) -> None:
        self._table = table

    def run(
        self, jaxpr: Any, consts: Iterable[Any], inputs: Iterable[Any], scope: str
    ) -> list[Any]:
        """Values of the outputs: Map, Weight, an array (a known constant) or None (unknown)."""
        known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        known |= dict(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else known.get(atom)

        for eqn in jaxpr.eqns:
            values = [read(atom) for atom in eqn.invars]
            known.update(zip(eqn.outvars, self._step(eqn, values, scope), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _step(self, eqn: core.JaxprEqn, values: list[Any], scope: str) -> list[Any]:
        maps = [value for value in values if isinstance(value, Map)]
        weights = [value for value in values if isinstance(value, Weight)]
        scope = _scope(scope, eqn)
        inner = _inner(eqn)
        if inner:
            return self.run(*inner, values, scope)
        if maps:
            result = self._through(eqn, values, maps, weights, scope)
            return [result or lost(maps)] * len(eqn.outvars)
        if weights:
            leaves = frozenset().union(*(weight.leaves for weight in weights))
            return [Weight(leaves)] * len(eqn.outvars)
        elements = sum(math.prod(shape_of(var)) for var in eqn.outvars)
        if any(value is None for value in values) or elements > _FOLDED:
            return [None] * len(eqn.outvars)
        found = eqn.primitive.bind(*values, **eqn.params)
        return list(found) if eqn.primitive.multiple_results else [found]

    def _through(
        self,
        eqn: core.JaxprEqn,
        values: list[Any],
        maps: list[Map],
        weights: list[Weight],
        scope: str,
    ) -> Map | None:
        """The result of an operation on the maps that it reads; None: there is no rule for it."""
        name = eqn.primitive.name
        if name == "conv_general_dilated":
            return self._conv(eqn, values, scope)
        if name == "dot_general":
            return self._dot(eqn, values, scope)
        self._table.count(maps, weights)
        if name == "gather":
            return self._gather(eqn, values, scope)
        if name.startswith("reduce_window"):
            return self._pool(eqn, values, scope)
        if name.startswith(("reduce_", "arg")) and "axes" in eqn.params:
            return self._reduce(eqn, values, scope)
        return MOVES[name](eqn, values) if name in MOVES else elementwise(eqn, maps)

    def _conv(self, eqn: core.JaxprEqn, values: list[Any], scope: str) -> Map | None:
        x, kernel = values[:2]
        if not isinstance(x, Map):
            return None
        p, out = eqn.params, shape_of(eqn.outvars[0])
        numbers = p["dimension_numbers"]
        kernel_shape = shape_of(eqn.invars[1])
        taps = [kernel_shape[dim] for dim in numbers.rhs_spec[2:]]
        result = x
        for axis in (0, 1):
            dim, span = numbers.out_spec[2 + axis], x.spans[axis]
            followed = len(span) == shape_of(eqn.invars[0])[numbers.lhs_spec[2 + axis]]
            seen = window(
                span if followed else unknown(1),
                out[dim],
                taps=taps[axis],
                stride=p["window_strides"][axis],
                rate=p["rhs_dilation"][axis],
                padding=p["padding"][axis][0],
                upsampling=p["lhs_dilation"][axis],
            )
            result = result.at(axis, dim, seen)
        groups, channels = p["feature_group_count"], kernel_shape[numbers.rhs_spec[0]]
        kind = "conv"
        if groups > 1:
            kind = "depthwise" if kernel_shape[numbers.rhs_spec[1]] == 1 else "grouped"
        if max(p["lhs_dilation"]) > 1:
            kind = "transposed"
        return self._table.add(
            result,
            _path(kernel, scope),
            f"{kind} {taps[0]}x{taps[1]}",
            math.prod(out),
            kernel if isinstance(kernel, Weight) else None,
            rate=max(p["rhs_dilation"]) if max(taps) > 1 else 1,
            multiply_adds=math.prod(out) * math.prod(kernel_shape) // channels,
        )

    def _dot(self, eqn: core.JaxprEqn, values: list[Any], scope: str) -> Map | None:
        side = 0 if isinstance(values[0], Map) else 1
        other = values[1 - side]
        result, mixed = multiplied(eqn, values[side], side, other)
        out = shape_of(eqn.outvars[0])
        if mixed or result is None:
            return result and self._table.add(result, _module_path(scope), "resize", math.prod(out))
        if isinstance(other, Map):
            result = union_of([result, dataclasses.replace(other, dims=(None, None))])
        contracted, _ = eqn.params["dimension_numbers"]
        depth = math.prod(shape_of(eqn.invars[0])[d] for d in contracted[0])
        weight = other if isinstance(other, Weight) else None
        return self._table.add(
            result,
            _path(other, scope),
            "dense" if weight else "product",
            math.prod(out),
            weight,
            multiply_adds=math.prod(out) * depth,
        )

    def _gather(self, eqn: core.JaxprEqn, values: list[Any], scope: str) -> Map | None:
        if not isinstance(values[0], Map):
            return None
        result = gathered(eqn, values[0], values[1])
        elements = math.prod(shape_of(eqn.outvars[0]))
        return result and self._table.add(result, _module_path(scope), "resize", elements)

    def _pool(self, eqn: core.JaxprEqn, values: list[Any], scope: str) -> Map:
        x: Map = values[0]
        taps = [eqn.params["window_dimensions"][dim] for dim in x.dims if dim is not None]
        name = "max" if "max" in eqn.primitive.name else "mean"
        kind = f"{name} pool {'x'.join(map(str, taps))}"
        elements = math.prod(shape_of(eqn.outvars[0]))
        return self._table.add(windowed(eqn, x), _module_path(scope), kind, elements)

    def _reduce(self, eqn: core.JaxprEqn, values: list[Any], scope: str) -> Map:
        x: Map = values[0]
        gone = eqn.params["axes"]
        result = x
        for axis in (0, 1):
            if x.dims[axis] in gone:
                result = result.at(axis, None, pooled(x.spans[axis]))
        result = result.moved(lambda dim: dim - sum(d < dim for d in gone))
        path = _module_path(scope)
        if set(x.dims) & set(gone) and "norm" not in path:
            shape = shape_of(eqn.outvars[0])
            return self._table.add(result, path, "global pool", math.prod(shape))
        return result
