"""The text that `--help` prints about a command and its flags; imports only absl."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Sequence

from absl import flags

WIDEST = 100  # columns
LEFT = 34  # the column at which the explanations of flags begin


def text(usage: str, about: str, own: Sequence[flags.Flag], more: Sequence[str] = ()) -> str:
    """The help of one command.

    Args:
      usage: how to call it: "jaxseg train --config=FILE --workdir=FOLDER".
      about: what it does, as in its module's docstring.
      own: the flags that it reads.
      more: lines to add below.
    """
    lines = [f"usage: {usage}", "", inspect.cleandoc(about).strip(), "", "Flags:", ""]
    for flag in own:
        lines += entry(_spelling(flag), _explained(flag))
    return "\n".join([*lines, *more, "", "absl's own flags: --helpfull"])


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
    """The help of a flag, without what absl adds, and its default, if there is one."""
    text = re.sub(r"^<[^>]*>: ", "", str(flag.help))
    if isinstance(flag, flags.MultiFlag):
        return text.partition(";\n")[0] + " May be given several times."
    if flag.default in (None, "", False, []) or flag.name == "config":
        return text
    return f"{text} Default: {flag.default}."


def entry(left: str, right: str, column: int = LEFT) -> list[str]:
    """A term and its explanation, which starts at a column, or below the term if that is long."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 0)).columns)
    column = min(column, width // 2)
    indent = " " * column
    explained = textwrap.wrap(
        right, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    first = f"  {left}"
    if explained and len(first) + 2 <= column:
        first, explained = first.ljust(column) + explained[0][column:], explained[1:]
    return [first, *explained]
