"""Which values the fields of an experiment may have, beyond what their annotations say."""

import dataclasses
import math
import types
import typing
from typing import Any

from jaxseg.config import fields_of

_DTYPES = ("float32", "bfloat16", "float16")  # to compute in
_INFINITE = float("inf")
_CHOICES = {
    "loss.reduction": ("pixels", "images"),
    "data.border": ("mean", "zero", "mirror"),
    "eval.border": ("mean", "mirror"),
    "eval.fusion": ("probabilities", "logits", "max"),
    "eval.crf_filter": ("lattice", "exact"),
    "eval.crf_normalization": ("per_pixel", "symmetric", "none"),
}
_SHARES = ("data.rotation_probability", "data.blur", "data.class_limit")  # 0 to 1, both included
_BOUNDS = {  # at least, and below
    "model.dropout": (0.0, 1.0),
    "model.num_classes": (1, _INFINITE),
    "data.batch_size": (1, _INFINITE),
    "data.crop_size": (1, _INFINITE),
    "data.std": (1e-6, _INFINITE),
    "data.jitter": (0.0, 1.0),
    "data.rotation": (0.0, 360.0),
    "data.elastic": (0.0, 1000.0),
    "data.class_limit_draws": (1, _INFINITE),
    "loss.label_smoothing": (0.0, 1.0),
    "loss.boundary_sigma": (1e-3, _INFINITE),
    "optim.momentum": (0.0, 1.0),
    "optim.b2": (0.0, 1.0),
    "train.seed": (0, 2**32),
    "train.accumulate": (1, _INFINITE),
    "train.keep": (1, _INFINITE),
    "train.rows": (1, _INFINITE),
    "train.peer_timeout": (1.0, _INFINITE),
    "eval.batch_size": (1, _INFINITE),
    "eval.rotations": (1, 361),
} | dict.fromkeys(
    (
        *("data.threads", "data.prefetch", "loss.class_weights", "loss.cross_entropy"),
        *("loss.focal", "loss.dice", "loss.lovasz", "loss.coarse", "loss.aux_weight"),
        *("loss.presence", "loss.focal_gamma", "loss.boundary", "optim.learning_rate"),
        *("optim.power", "optim.end_learning_rate", "optim.decay_factor", "optim.decay_steps"),
        *("optim.weight_decay", "optim.clip_norm", "train.eval_every", "train.pictures"),
        *("eval.size", "eval.examples", "eval.long_side", "eval.margin"),
    ),
    (0, _INFINITE),
)
_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    types.NoneType: "None",
}


def _is_number(value: Any) -> bool:
    """Whether all numbers in a value can be computed with: finite, and whole ones in 32 bits."""
    if isinstance(value, tuple | list):
        return all(map(_is_number, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 2**31


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the annotated kind; of kinds that no config value has, anything is."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple | list):
            return False
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)


def _kind(kind: Any) -> str:
    """An annotated kind in words."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_kind, arguments))
    if typing.get_origin(kind) is not tuple:
        return _KINDS.get(kind, kind.__name__)
    if arguments[-1] is Ellipsis:
        return f"a list, each of it {_kind(arguments[0])}"
    if len(set(arguments)) == 1:
        return f"{len(arguments)} values, each {_kind(arguments[0])}"
    return f"{len(arguments)} values: {', '.join(map(_kind, arguments))}"


def check(node: Any, prefix: str = "") -> None:
    """Refuses a config tree with a value of another kind than its field declares, or out of range.

    The command line cannot see it: it takes `6,x` for a tuple of numbers, and any number of them;
    a flag that is given twice makes one long tuple.

    Raises:
      ValueError: the field, its value and what it must be.
    """
    for field in fields_of(node):
        path, value = f"{prefix}{field.name}", getattr(node, field.name)
        if not _fits(value, field.type):
            raise ValueError(f"{path}={repr(value)[:200]} must be {_kind(field.type)}")
        elif dataclasses.is_dataclass(value):
            check(value, f"{path}.")
        elif field.name == "dtype" and value not in _DTYPES:
            raise ValueError(f"{path}={value!r} must be one of {', '.join(_DTYPES)}")
        elif path in _CHOICES and value not in _CHOICES[path]:
            raise ValueError(f"{path}={value!r} must be one of {', '.join(_CHOICES[path])}")
        elif path in _SHARES and not 0 <= value <= 1:
            raise ValueError(f"{path}={value!r} must be at least 0 and at most 1")
        elif path in _BOUNDS:
            least, end = _BOUNDS[path]
            numbers = value if isinstance(value, tuple | list) else (value,)
            if not all(least <= number < end for number in numbers):
                finite = " and finite" * (not _is_number(value))
                below = f" and below {end:g}" if end < _INFINITE else finite
                raise ValueError(f"{path}={value!r} must be at least {least:g}{below}")
        if path != "train.seed" and not _is_number(value):
            raise ValueError(f"{path}={value!r} must be finite, and whole numbers below 2^31")
