"""Detects flags that absl accepts silently although they do not mean what they seem to.

A flag without a value consumes the next flag as its value; a `False` after a boolean flag is left
to the program; if a flag is given twice, the last value counts, and a tuple gets the values of
both. (The values themselves are checked by `checks.experiment`.)
"""

import difflib
import re
from collections.abc import Collection, Sequence

from absl import flags

_WORDS = ("true", "false", "yes", "no", "t", "f", "y", "n", "0", "1")  # a boolean's values
_CONFIG = "config."


def faults(
    arguments: Sequence[str], known: flags.FlagValues, booleans: Collection[str] = ()
) -> list[str]:
    """The faults of a command line that do not depend on the meaning of values, each with its fix.

    Args:
      arguments: the program and its arguments.
      known: the flags that the program defines.
      booleans: the boolean fields of the config, such as "data.augment.flip".
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
                    f"--{name} {follows}: a boolean flag takes its value after =: "
                    f"--{name}={follows}"
                )
                rest.pop(0)
        elif not equals:
            if not follows or re.match(r"--?[A-Za-z]", follows):
                before = f" (before {follows})" if follows else ""
                found.append(f"--{name} has no value: --{name}=VALUE{before}")
                continue
            value = rest.pop(0)
        values.setdefault(name, []).append(value)
    return found + [
        _twice(name, each) for name, each in values.items() if _differ(name, each, known)
    ]


def _named(given: str, known: flags.FlagValues, booleans: Collection[str]) -> tuple[str, bool]:
    """The name of the flag ("" if it is unknown), and whether it is boolean."""
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
    """Whether a flag is given several times with different values."""
    if len(values) == 1 or (name in known and isinstance(known[name], flags.MultiFlag)):
        return False
    return name.startswith(_CONFIG) or len(set(values)) > 1


def _twice(name: str, values: Sequence[str]) -> str:
    return f"--{name} is given {len(values)} times, as {' and '.join(values)}: give it once"
