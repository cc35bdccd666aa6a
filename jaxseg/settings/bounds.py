"""Valid values of the fields of an experiment, beyond their annotated types.

This is the only place for bounds. Constraints between fields are in `checks.relations`, those from
the data, the network and the devices in `training.preflight`.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jaxseg.settings.kinds import is_number


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    def fault(self, value: Any) -> str:
        """The requirement that a value violates; "" if there is none."""
        return "" if value in self.words else f"must be one of {', '.join(self.words)}"


@dataclasses.dataclass(frozen=True)
class Range:
    """From `least` to `most`, inclusive; `below` and `above` are exclusive bounds.

    If the value is a tuple, each of its numbers must be in the range.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def fault(self, value: Any) -> str:
        """The requirement that a value violates; "" if there is none."""
        numbers = value if isinstance(value, tuple | list) else (value,)
        if all(self._holds(number) for number in numbers):
            return ""
        words = [
            f"{name} {end:g}"
            for name, end in (
                ("at least", self.least),
                ("above", self.above),
                ("below", self.below),
                ("at most", self.most),
            )
            if math.isfinite(end)
        ]
        if len(words) == 1 and not is_number(value):
            words.append("finite")
        return f"must be {' and '.join(words)}"

    def _holds(self, number: float) -> bool:
        return self.least <= number <= self.most and self.above < number < self.below


_NOT_NEGATIVE = Range(least=0)
_POSITIVE = Range(least=1)  # integers
_SHARE = Range(least=0, most=1)
_SHARE_ABOVE_ZERO = Range(above=0, most=1)
_BELOW_ONE = Range(least=0, below=1)

BOUNDS: Mapping[str, OneOf | Range] = {
    "model.dropout": _BELOW_ONE,
    "model.num_classes": _NOT_NEGATIVE,
    "model.kernel_size": Range(least=1, below=256),  # each of its taps is traced separately
    "data.batch_size": _POSITIVE,
    "data.crop_size": _POSITIVE,
    "data.augment.short_side": _NOT_NEGATIVE,
    "data.augment.long_side": _NOT_NEGATIVE,
    "data.augment.scale_range": Range(least=1 / 64, most=64),
    "data.augment.scale_step": _NOT_NEGATIVE,
    "data.augment.jitter": _BELOW_ONE,
    "data.augment.rotation": Range(least=0, below=360),
    "data.augment.rotation_probability": _SHARE,
    "data.augment.elastic": Range(least=0, below=1000),
    "data.augment.blur": _SHARE,
    "data.augment.class_limit": _SHARE,
    "data.augment.class_limit_draws": Range(least=1, below=1001),
    "data.augment.border": OneOf(("mean", "zero", "mirror")),
    "data.instances.objects": _POSITIVE,
    "data.instances.short_side": _POSITIVE,
    "data.instances.long_side": _POSITIVE,
    "data.instances.jitter_range": Range(least=0.01, most=16),
    "data.instances.crop": _SHARE_ABOVE_ZERO,
    "data.instances.jitter": _BELOW_ONE,
    "data.normalisation.mean": Range(least=0, most=255),
    "data.normalisation.std": Range(least=1e-6),
    "data.threads": _NOT_NEGATIVE,
    "data.prefetch": _NOT_NEGATIVE,
    "loss.cross_entropy": _NOT_NEGATIVE,
    "loss.focal": _NOT_NEGATIVE,
    "loss.dice": _NOT_NEGATIVE,
    "loss.lovasz": _NOT_NEGATIVE,
    "loss.coarse": _NOT_NEGATIVE,
    "loss.aux_weight": _NOT_NEGATIVE,
    "loss.presence": _NOT_NEGATIVE,
    "loss.class_weights": _NOT_NEGATIVE,
    "loss.label_smoothing": _BELOW_ONE,
    "loss.hardest": _SHARE_ABOVE_ZERO,
    "loss.boundary": _NOT_NEGATIVE,
    "loss.boundary_sigma": Range(least=1e-3),
    "loss.focal_gamma": _NOT_NEGATIVE,
    "loss.reduction": OneOf(("pixels", "images")),
    "detection.objectness": _NOT_NEGATIVE,
    "detection.rpn_box": _NOT_NEGATIVE,
    "detection.classes": _NOT_NEGATIVE,
    "detection.box": _NOT_NEGATIVE,
    "detection.mask": _NOT_NEGATIVE,
    "detection.instance": _NOT_NEGATIVE,
    "detection.semantic": _NOT_NEGATIVE,
    "detection.rpn_low": _SHARE,
    "detection.rpn_high": _SHARE,
    "detection.rpn_samples": _POSITIVE,
    "detection.rpn_positive_fraction": _SHARE,
    "detection.rpn_beta": _NOT_NEGATIVE,
    "detection.box_beta": _NOT_NEGATIVE,
    "detection.normaliser": OneOf(("sampled", "slots")),
    "optim.name": OneOf(("sgd", "adamw")),
    "optim.learning_rate": _NOT_NEGATIVE,
    "optim.schedule": OneOf(("poly", "step", "constant")),
    "optim.power": _NOT_NEGATIVE,
    "optim.end_learning_rate": _NOT_NEGATIVE,
    "optim.decay_steps": _NOT_NEGATIVE,
    "optim.decay_factor": _NOT_NEGATIVE,
    "optim.warmup_steps": _NOT_NEGATIVE,
    "optim.momentum": _BELOW_ONE,
    "optim.b2": _BELOW_ONE,
    "optim.weight_decay": _NOT_NEGATIVE,
    "optim.clip_norm": _NOT_NEGATIVE,
    "train.steps": _POSITIVE,
    "train.seed": Range(least=0, below=2**32),
    "train.log_every": _POSITIVE,
    "train.eval_every": _NOT_NEGATIVE,
    "train.checkpoint_every": _POSITIVE,
    "train.keep": _POSITIVE,
    "train.accumulate": _POSITIVE,
    "train.ema_decay": _BELOW_ONE,
    "train.rows": _POSITIVE,
    "train.heartbeat_timeout": Range(least=1),
    "train.pictures": _NOT_NEGATIVE,
    "eval.batch_size": _POSITIVE,
    "eval.size": _NOT_NEGATIVE,
    "eval.rotations": Range(least=1, below=361),
    "eval.fusion": OneOf(("probabilities", "logits", "exp", "max")),
    "eval.long_side": _NOT_NEGATIVE,
    "eval.short_side": _NOT_NEGATIVE,
    "eval.crop_size": _POSITIVE,
    "eval.stride": _SHARE_ABOVE_ZERO,
    "eval.margin": _NOT_NEGATIVE,
    "eval.border": OneOf(("mean", "mirror")),
    "eval.crf_filter": OneOf(("lattice", "exact")),
    "eval.crf_normalization": OneOf(("per_pixel", "symmetric", "none")),
    "eval.examples": _NOT_NEGATIVE,
    "eval.stuff_area": _NOT_NEGATIVE,
}
_ANY_WHOLE_NUMBER = ("train.seed",)  # may exceed 2^31


def fault(path: str, value: Any) -> str:
    """The requirement that the value of a field violates; "" if there is none.

    Args:
      path: of the field, such as "optim.learning_rate".
      value: of the annotated type.
    """
    if path in BOUNDS and (words := BOUNDS[path].fault(value)):
        return words
    if path not in _ANY_WHOLE_NUMBER and not is_number(value):
        return "must be finite, and whole numbers below 2^31"
    return ""


def faults(part: Any, prefix: str) -> list[str]:
    """The faults of the fields of a dataclass that are out of bounds.

    Args:
      part: a part of an experiment without nested parts.
      prefix: its path, such as "data.augment".
    """
    found = []
    for field in dataclasses.fields(part):
        path, value = f"{prefix}.{field.name}", getattr(part, field.name)
        if words := fault(path, value):
            found.append(f"{path}={value!r} {words}")
    return found
