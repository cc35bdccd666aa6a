"""Which values the fields of an experiment may have, beyond what their annotations say.

All faults are reported together, each with the flag that fixes it. What depends on the
data, the network or the devices as well is looked at by `train_check`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxseg.cli.config_kinds import fits, in_words, is_number
from jaxseg.config import DECAYED, Data, Experiment, fields_of
from jaxseg.errors import together
from jaxseg.layers import compute, norm
from jaxseg.layers.fast.forms import FORMS

_DTYPES = ("float32", "bfloat16", "float16")  # to compute in
_INFINITE = float("inf")
_CHOICES = {
    "loss.reduction": ("pixels", "images"),
    "optim.name": ("sgd", "adamw"),
    "optim.schedule": ("poly", "step", "constant"),
    "data.border": ("mean", "zero", "mirror"),
    "eval.border": ("mean", "mirror"),
    "eval.fusion": ("probabilities", "logits", "exp", "max"),
    "eval.crf_filter": ("lattice", "exact"),
    "eval.crf_normalization": ("per_pixel", "symmetric", "none"),
}
_CHOICES_OF_PARTS = {  # of networks, whichever holds them
    "norm.kind": norm.KINDS,
    "compute.form": FORMS,
} | {f"compute.{kind}": ("", *FORMS) for kind in compute.KINDS}
_SHARES = ("data.rotation_probability", "data.blur", "data.class_limit")  # 0 to 1, both included
_ABOVE_ZERO = ("loss.hardest", "eval.stride")  # and at most 1
_BOUNDS = {  # at least, and below
    "model.dropout": (0.0, 1.0),
    "model.num_classes": (0, _INFINITE),
    "model.kernel_size": (1, 256),  # each tap is traced by itself, and there are its square
    "data.batch_size": (1, _INFINITE),
    "data.crop_size": (1, _INFINITE),
    "data.mean": (0.0, 255.0 + 1e-9),
    "data.std": (1e-6, _INFINITE),
    "data.scale_range": (1 / 64, 64.0 + 1e-9),
    "data.jitter": (0.0, 1.0),
    "data.rotation": (0.0, 360.0),
    "data.elastic": (0.0, 1000.0),
    "data.class_limit_draws": (1, 1001),
    "loss.label_smoothing": (0.0, 1.0),
    "loss.boundary_sigma": (1e-3, _INFINITE),
    "optim.momentum": (0.0, 1.0),
    "optim.b2": (0.0, 1.0),
    "train.seed": (0, 2**32),
    "train.steps": (1, _INFINITE),
    "train.log_every": (1, _INFINITE),
    "train.checkpoint_every": (1, _INFINITE),
    "train.ema_decay": (0.0, 1.0),
    "train.accumulate": (1, _INFINITE),
    "train.keep": (1, _INFINITE),
    "train.rows": (1, _INFINITE),
    "train.heartbeat_timeout": (1.0, _INFINITE),
    "eval.batch_size": (1, _INFINITE),
    "eval.rotations": (1, 361),
} | dict.fromkeys(
    (
        *("data.threads", "data.prefetch", "loss.class_weights", "loss.cross_entropy"),
        *("loss.focal", "loss.dice", "loss.lovasz", "loss.coarse", "loss.aux_weight"),
        *("loss.presence", "loss.focal_gamma", "loss.boundary", "optim.learning_rate"),
        *("optim.power", "optim.end_learning_rate", "optim.decay_factor", "optim.decay_steps"),
        *("optim.warmup_steps", "data.scale_step"),
        *("optim.weight_decay", "optim.clip_norm", "train.eval_every", "train.pictures"),
        *("eval.size", "eval.examples", "eval.long_side", "eval.margin"),
        *("eval.short_side", "data.short_side", "data.long_side"),
    ),
    (0, _INFINITE),
)


def _dtypes() -> tuple[str, ...]:
    """Those that can be computed in; float64 only where JAX was told so: it would be float32."""
    wide = jax.dtypes.canonicalize_dtype("float64") == "float64"
    return (*_DTYPES, "float64") if wide else _DTYPES


def flag(path: str, value: Any) -> str:
    """The flag that sets a field: --config.data.crop_size=513,513."""
    if not isinstance(value, tuple | list):
        return f"--config.{path}={value}"
    if not value or any(isinstance(part, tuple | list) for part in value):
        return f'--config.{path}="{tuple(value)!r}"'
    return f"--config.{path}={','.join(map(str, value))}"


def _fault(path: str, value: Any, kind: Any) -> str:
    """What is wrong with the value of one field: "" where nothing is."""
    if not fits(value, kind):
        return f"must be {in_words(kind)}"
    if dataclasses.is_dataclass(value):
        return ""
    if path.rpartition(".")[2] == "dtype" and value not in _dtypes():
        return f"must be one of {', '.join(_dtypes())}"
    part_and_field = ".".join(path.split(".")[-2:])
    if value not in (known := _CHOICES_OF_PARTS.get(part_and_field, (value,))):
        return f"must be one of {', '.join(name or repr(name) for name in known)}"
    if path in _CHOICES and value not in _CHOICES[path]:
        return f"must be one of {', '.join(_CHOICES[path])}"
    if path in _SHARES and not 0 <= value <= 1:
        return "must be at least 0 and at most 1"
    if path in _ABOVE_ZERO and not 0 < value <= 1:
        return "must be above 0 and at most 1"
    if path in _BOUNDS:
        least, end = _BOUNDS[path]
        numbers = value if isinstance(value, tuple | list) else (value,)
        if not all(least <= number < end for number in numbers):
            finite = " and finite" * (not is_number(value))
            below = f" and below {end:g}" if end < _INFINITE else finite
            return f"must be at least {least:g}{below}"
    if path != "train.seed" and not is_number(value):
        return "must be finite, and whole numbers below 2^31"
    if path == "model.num_classes" and value == 1:
        return (
            "must be at least 2, as the ground is a class too: with one class every prediction is "
            "right and nothing is learned"
        )
    return ""


def _default(field: dataclasses.Field, path: str) -> Any:
    """A value that the field may have; MISSING where none is known."""
    if path == "model.num_classes":
        return 2
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING and path in _BOUNDS:
        return _BOUNDS[path][0]
    return field.default


def _examined(node: Any, prefix: str, faults: list[str]) -> Any:
    """The tree with a possible value in place of each impossible one; MISSING: there is none."""
    changes: dict[str, Any] = {}
    for field in fields_of(node):
        path, value = f"{prefix}{field.name}", getattr(node, field.name)
        if fault := _fault(path, value, field.type):
            changes[field.name] = _default(field, path)
            known = changes[field.name] is not dataclasses.MISSING
            way = f": set {flag(path, changes[field.name])}" if known else ""
            if dataclasses.is_dataclass(changes[field.name]):
                way = ""
            faults.append(f"{path}={repr(value)[:200]} {fault}{way}")
        elif dataclasses.is_dataclass(value):
            inner = _examined(value, f"{path}.", faults)
            changes |= {} if inner is value else {field.name: inner}
    if any(value is dataclasses.MISSING for value in changes.values()):
        return dataclasses.MISSING
    if not changes:
        return node
    return (
        node.clone(**changes)
        if isinstance(node, nn.Module)
        else dataclasses.replace(node, **changes)
    )


def _of_pixels(data: Data) -> list[str]:
    """Mean and deviation that are not in the units of the pixels, 0 to 255."""
    faults = []
    for name, low in (("mean", any(data.mean) and max(data.mean) < 1), ("std", max(data.std) < 1)):
        values = getattr(data, name)
        if low:
            right = tuple(round(255 * value, 3) for value in values)
            faults.append(
                f"data.{name}={values} is for pixels of 0 to 1, and they are 0 to 255 here: set "
                f"{flag(f'data.{name}', right)}"
            )
    return faults


def _of_scales(data: Data) -> list[str]:
    """A range of scales that is reversed, or that no whole number of steps fills."""
    low, high = data.scale_range
    if low > high:
        return [
            f"data.scale_range={data.scale_range} must be the smallest and the largest scale: set "
            f"{flag('data.scale_range', (high, low))}"
        ]
    if not data.scale_step or low == high:
        return []
    if data.scale_step < 1e-3:
        return [
            f"data.scale_step={data.scale_step} must be 0, or at least 0.001: set "
            "--config.data.scale_step=0"
        ]
    steps = (high - low) / data.scale_step
    if steps < 1 - 1e-6 or abs(steps - round(steps)) > 1e-3:
        fitting = round((high - low) / max(1, round(steps)), 6)
        return [
            f"data.scale_step={data.scale_step} does not lead from {low} to {high} in whole steps: "
            f"set --config.data.scale_step={fitting}, or 0 for any scale between them"
        ]
    return []


def _of_sides(experiment: Experiment) -> list[str]:
    """Images cannot be brought to a long side and to a short one."""
    return [
        f"{name}.short_side={part.short_side} and {name}.long_side={part.long_side} exclude each "
        f"other: set --config.{name}.short_side=0 or --config.{name}.long_side=0"
        for name, part in (("data", experiment.data), ("eval", experiment.eval))
        if part.short_side and part.long_side
    ]


def _of_decay(decayed: Sequence[str]) -> list[str]:
    """Kinds of parameters that there are not."""
    if unknown := [kind for kind in decayed if kind not in (*DECAYED, "all")]:
        return [
            f"optim.decayed: {', '.join(map(repr, unknown))} must be of {', '.join(DECAYED)}, or "
            "all: set --config.optim.decayed=kernels"
        ]
    return []


def examine(
    experiment: Any, *, classes_of_data: bool = True
) -> tuple[list[str], Experiment | None]:
    """All that is wrong with the fields of an experiment, whatever the data.

    The command line cannot see it: it takes `6,x` for a tuple of numbers, and any number of them.

    Args:
      experiment: a tree of dataclasses.
      classes_of_data: whether model.num_classes=0, "as many as the data has", may stand.

    Returns:
      The faults, each with the field, its value, what it must be and the flag that fixes it; and
      the experiment with a possible value in place of each impossible one, so that the rest can be
      looked at as well, or None where that cannot be.
    """
    faults: list[str] = []
    usable = _examined(experiment, "", faults)
    if usable is dataclasses.MISSING or not isinstance(usable, Experiment):
        return faults, None
    faults += _of_pixels(usable.data) + _of_scales(usable.data)
    faults += _of_sides(usable) + _of_decay(usable.optim.decayed)
    if not classes_of_data and getattr(usable.model, "num_classes", None) == 0:
        faults.append(
            "model.num_classes=0 stands for as many as the data has, which this command does not "
            "read: set --config.model.num_classes=K"
        )
    return faults, usable


def check(experiment: Any) -> None:
    """Refuses what `examine` finds, of a command that takes no number of classes from the data.

    Raises:
      ValueError: all faults together.
    """
    refuse(examine(experiment, classes_of_data=False)[0])


def refuse(faults: Sequence[str]) -> None:
    """Raises all faults as one error.

    Raises:
      ValueError: there is one.
    """
    if faults:
        raise ValueError(together(faults))
