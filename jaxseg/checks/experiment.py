"""Validates an experiment; every command calls this before it starts.

It checks the type and the bounds of each field (`settings`), the constraints between fields
(`relations`, `schedule`, `protocol`), and fields that were set without effect (`effect`). All
faults are reported together, each with the flag that fixes it. Whatever depends on the data, the
traced network or the devices is checked by `training.preflight`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn

from jaxseg.checks import effect, network_fields, relations
from jaxseg.checks.protocol import protocol_faults
from jaxseg.checks.schedule import optimiser_faults
from jaxseg.config import Experiment
from jaxseg.data.augment.settings import scale_faults
from jaxseg.errors import together
from jaxseg.settings import bounds
from jaxseg.settings.kinds import fits, in_words
from jaxseg.settings.tree import fields_of, is_part

_READS_DATA = ("train", "evaluate", "predict", "summary")  # for the number of classes


def flag(path: str, value: Any) -> str:
    """The flag that sets a field: --config.data.crop_size=513,513."""
    if not isinstance(value, tuple | list):
        return f"--config.{path}={value}"
    if not value or any(isinstance(part, tuple | list) for part in value):
        return f'--config.{path}="{tuple(value)!r}"'
    return f"--config.{path}={','.join(map(str, value))}"


def _fault(path: str, value: Any, kind: Any, task: str) -> str:
    """The fault of the value of a field of a part; "" if there is none."""
    if not fits(value, kind):
        return f"must be {in_words(kind)}"
    if is_part(value):
        return ""
    return network_fields.fault(path, value, task) or bounds.fault(path, value)


def _default(field: dataclasses.Field, path: str) -> Any:
    """A valid value for the field; MISSING if none is known."""
    if path == "model.num_classes":
        return 2
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _examined(node: Any, prefix: str, faults: list[str]) -> Any:
    """The tree with each invalid value replaced by a valid one; MISSING if there is none."""
    changes: dict[str, Any] = {}
    task = getattr(node, "task", "semantic")
    for field in fields_of(node):
        path, value = f"{prefix}{field.name}", getattr(node, field.name)
        if fault := _fault(path, value, field.type, task):
            changes[field.name] = possible = _default(field, path)
            way = f": set {flag(path, possible)}"
            if possible is dataclasses.MISSING or is_part(possible):
                way = ""
            faults.append(f"{path}={repr(value)[:200]} {fault}{way}")
        elif is_part(value):
            inner = _examined(value, f"{path}.", faults)
            changes |= {} if inner is value else {field.name: inner}
    if any(value is dataclasses.MISSING for value in changes.values()):
        return dataclasses.MISSING
    if not changes:
        return node
    if isinstance(node, nn.Module):
        return node.clone(**changes)
    return dataclasses.replace(node, **changes)


def examine(
    experiment: Any, mode: str, given: Mapping[str, Any] | None = None
) -> tuple[list[str], Experiment | None]:
    """Finds all faults in the fields of an experiment, independently of the data.

    The flag parser does not catch them: it accepts `6,x` as a tuple of numbers, and tuples of any
    length.

    Args:
      experiment: a tree of dataclasses.
      mode: "train", "evaluate", "predict", "summary", or another command, which does not read the
        number of classes of the data (model.num_classes=0).
      given: field -> value, as given on the command line; each must have an effect.

    Returns:
      The faults, each with the field, its value, the requirement and the flag that fixes it; and
      the experiment with each invalid value replaced by a valid one, so that the remaining checks
      can run, or None if that is not possible.
    """
    faults: list[str] = []
    usable = _examined(experiment, "", faults)
    if usable is dataclasses.MISSING or not isinstance(usable, Experiment):
        return faults, None
    if given:
        faults = effect.without_effect(usable, given, Experiment(usable.model)) + faults
    faults += relations.pixel_faults(usable.data.normalisation)
    faults += scale_faults(usable.data.augment)
    faults += relations.side_faults(usable) + relations.decay_faults(usable.optim.decayed)
    if mode == "train":
        faults += optimiser_faults(usable) + relations.training_faults(usable)
    if mode in ("train", "evaluate", "predict"):
        faults += protocol_faults(usable.eval)
    if mode not in _READS_DATA and getattr(usable.model, "num_classes", None) == 0:
        faults.append(
            "model.num_classes=0 stands for the number of classes of the data, which this command "
            "does not read: set --config.model.num_classes=K"
        )
    return faults, usable


def check(experiment: Any, mode: str = "") -> None:
    """Raises the faults that `examine` finds.

    Raises:
      ValueError: with all faults.
    """
    refuse(examine(experiment, mode)[0])


def refuse(faults: Sequence[str]) -> None:
    """Raises all faults as one ValueError; does nothing if there are none."""
    if faults:
        raise ValueError(together(faults))
