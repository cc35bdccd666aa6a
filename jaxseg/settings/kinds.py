"""The types of values in the annotations of an experiment's fields."""

import math
import types
import typing
from typing import Any

_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    types.NoneType: "None",
}


def is_number(value: Any) -> bool:
    """Whether all numbers in a value are usable: finite, and integers within 32 bits."""
    if isinstance(value, tuple | list):
        return all(map(is_number, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 2**31


def fits(value: Any, kind: Any) -> bool:
    """Whether a value has the annotated type; always true for types that configs do not use."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple | list):
            return False
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(value) == len(kinds) and all(map(fits, value, kinds))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)


def in_words(kind: Any) -> str:
    """An annotated type in words."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return " or ".join(map(in_words, arguments))
    if typing.get_origin(kind) is not tuple:
        return _KINDS.get(kind, kind.__name__)
    if arguments[-1] is Ellipsis:
        return f"a list of values, each {in_words(arguments[0])}"
    if len(set(arguments)) == 1:
        return f"{len(arguments)} values, each {in_words(arguments[0])}"
    return f"{len(arguments)} values: {', '.join(map(in_words, arguments))}"
