"""What `--help` prints: a command, its flags and, where an experiment is named, its fields."""

import inspect
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

from jaxseg import config
from jaxseg.cli import fields
from jaxseg.cli.config_check import flag as flag_of_field

_WIDEST = 100  # columns
_LEFT = 34  # of them, where the explanations begin


def text(usage: str, about: str, own: Sequence[flags.Flag], experiment: Any = None) -> str:
    """The help of one command.

    Args:
      usage: how it is called: "jaxseg train --config=FILE --workdir=FOLDER".
      about: what it does, its module's docstring.
      own: the flags that it reads.
      experiment: the fields of which are listed; None: where `own` has --config, a line says how
        to see them.
    """
    lines = [f"usage: {usage}", "", inspect.cleandoc(about).strip(), "", "Flags:", ""]
    for flag in own:
        lines += _entry(_spelling(flag), _explained(flag))
    if experiment is not None:
        lines += ["", *_fields(experiment)]
    elif any(flag.name == "config" for flag in own):
        lines += _entry("--config.FIELD=VALUE", "Any field of the experiment: --config=FILE --help "
                        "lists them, with their values.")  # fmt: skip
    return "\n".join([*lines, "", "absl's own flags: --helpfull"])


def _spelling(flag: flags.Flag) -> str:
    """How a flag is written on a command line: --[no]memory, --mode=train|evaluate."""
    if flag.boolean:
        return f"--[no]{flag.name}"
    if isinstance(flag, flags.EnumFlag):
        return f"--{flag.name}={'|'.join(flag.parser.enum_values)}"
    if flag.name == "config":
        return "--config=FILE"
    kind = flag.flag_type()
    if "list" in kind:
        return f"--{flag.name}=A,B,..."
    return f"--{flag.name}={ {'int': 'N', 'float': 'X'}.get(kind, 'TEXT') }"


def _explained(flag: flags.Flag) -> str:
    default = flag.default
    if isinstance(flag, flags.MultiFlag):
        return f"{flag.help} May be given several times."
    if default in (None, "", False, []) or flag.name == "config":
        return str(flag.help)
    return f"{flag.help} Default: {default}."


def _fields(experiment: Any) -> list[str]:
    """Each field as the flag that gives it the value that it has, part by part."""
    lines = ["Fields of the experiment, each a flag; the values are those that it has:"]
    for part in fields.parts(experiment):
        if part.fields:
            about = (inspect.getdoc(part.cls) or "").partition("\n")[0]
            lines += ["", f"{part.path or 'experiment'}: {part.cls.__name__}. {about}", ""]
        for field in part.fields:
            lines += _entry(flag_of_field(field.path, field.value), field.meaning)
    return lines


def _entry(left: str, right: str) -> list[str]:
    """What is explained, and beside it, or below where it is long, the explanation."""
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 0)).columns)
    column = min(_LEFT, width // 3)
    indent = " " * column
    explained = textwrap.wrap(
        right, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    first = f"  {left}"
    if explained and len(first) + 2 <= column:
        first, explained = first.ljust(column) + explained[0][column:], explained[1:]
    return [first, *explained]
