"""Flags that absl accepts silently although they do not mean what they seem to.

A flag without its value takes the next flag for it; a boolean leaves the False behind it to the
program; of a flag that is given twice the last value counts, and a tuple gets the values of both; a
field of the config is set, and another field switches it off.
"""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags

from jaxseg.config import Experiment

_WORDS = ("true", "false", "yes", "no", "t", "f", "y", "n", "0", "1")  # a boolean's values
_CONFIG = "config."


def faults(
    arguments: Sequence[str], known: flags.FlagValues, booleans: Collection[str] = ()
) -> list[str]:
    """What is wrong with a command line, whatever its values mean; each with its way out.

    Args:
      arguments: the program and what follows it.
      known: the flags that the program defines.
      booleans: the fields of the config that are True or False, as "data.flip".
    """
    found: list[str] = []
    values: dict[str, list[str]] = {}
    rest = list(arguments[1:])
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            break
        if not re.match(r"--?[A-Za-z]", argument):
            continue
        given, equals, value = argument.lstrip("-").partition("=")
        name, boolean = _named(given, known, booleans)
        if not name:
            found.append(_unknown(given, known))
            continue
        follows = rest[0] if rest else ""
        if boolean and not equals:
            value = str(name == given)  # --noNAME is False
            if follows.lower() in _WORDS:
                found.append(
                    f"--{name} {follows}: a boolean takes its value with =: --{name}={follows}"
                )
                rest.pop(0)
        elif not equals:
            if not follows or re.match(r"--?[A-Za-z]", follows):
                found.append(
                    f"--{name} lacks its value: --{name}=VALUE"
                    + f" (before {follows})" * bool(follows)
                )
                continue
            value = rest.pop(0)
        values.setdefault(name, []).append(value)
    return found + [
        _twice(name, each) for name, each in values.items() if _differ(name, each, known)
    ]


def _named(given: str, known: flags.FlagValues, booleans: Collection[str]) -> tuple[str, bool]:
    """The flag's own name, "" where there is none such, and whether it is a boolean."""
    for name in (given, given.removeprefix("no")):
        if name.startswith(_CONFIG) and "config" in known:
            boolean = name.removeprefix(_CONFIG) in booleans
        elif name in known:
            boolean = known[name].boolean
        else:
            continue
        if name == given or boolean:
            return name, boolean
    return "", False


def _unknown(given: str, known: flags.FlagValues) -> str:
    near = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    hint = f": did you mean --{near[0]}?" if near else "; see --help"
    return f"--{given} is not a flag{hint}"


def _differ(name: str, values: Sequence[str], known: flags.FlagValues) -> bool:
    """Whether a flag is given several times, not only with the same value again."""
    if len(values) == 1 or (name in known and isinstance(known[name], flags.MultiFlag)):
        return False
    return name.startswith(_CONFIG) or len(set(values)) > 1


def _twice(name: str, values: Sequence[str]) -> str:
    return f"--{name} is given {len(values)} times, as {' and '.join(values)}: give it once"


# Fields that another one switches off, and the flag that switches them on.
_ON: dict[tuple[str, ...], tuple[str, ...]] = {
    ("eval.crop_size", "eval.stride"): ("eval.sliding=True",),
    ("eval.crf_filter", "eval.crf_normalization"): ("eval.crf=deeplab_v2",),
    ("eval.hausdorff",): ("eval.boundary=True",),
    ("optim.decay_factor",): ("optim.schedule=step",),
    ("optim.power", "optim.end_learning_rate"): ("optim.schedule=poly",),
    ("optim.nesterov",): ("optim.name=sgd",),
    ("optim.b2",): ("optim.name=adamw",),
    ("loss.boundary_sigma",): ("loss.boundary=10",),
    ("loss.focal_gamma",): ("loss.focal=1",),
    ("loss.dice_squared", "loss.dice_per_class"): ("loss.dice=1",),
    ("loss.per_image",): ("loss.dice=1", "loss.lovasz=1"),
    ("data.rotation_probability",): ("data.rotation=10",),
    ("data.class_limit_draws",): ("data.class_limit=0.75",),
    ("train.init_partial",): ("train.init_from=FOLDER",),
}


def _value(experiment: Any, path: str) -> Any:
    for part in path.split("."):
        experiment = getattr(experiment, part)
    return experiment


def _is_on(experiment: Experiment, switch: str) -> bool:
    path, _, value = switch.partition("=")
    now = _value(experiment, path)
    if path == "data.class_limit":
        return now < 1
    return now == value if path in ("optim.schedule", "optim.name") else bool(now)


def without_effect(
    experiment: Experiment, given: Mapping[str, Any], default: Experiment
) -> list[str]:
    """The fields that were given by a flag and change nothing, as another field has them off.

    Args:
      experiment: with these fields.
      given: field -> value, as of the command line.
      default: whose fields have their defaults.
    """
    found = []
    for fields, switches in _ON.items():
        for path in fields:
            if path not in given or _value(experiment, path) == _value(default, path):
                continue
            if not any(_is_on(experiment, switch) for switch in switches):
                way = " or ".join(f"--config.{switch}" for switch in switches)
                found.append(f"--config.{path} changes nothing by itself: set {way} as well")
    return found
