"""Lists of names and tables in the doctor's text."""

import textwrap
from collections.abc import Sequence

import tabulate

SHOWN = 12  # names or objects listed per problem


def names_of(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def table(rows: Sequence[Sequence[str]], heads: Sequence[str], first: Sequence[str]) -> str:
    """An indented text table; `first` aligns its first columns, and numbers are right-aligned."""
    align = [*first, *["right"] * (len(rows[0]) - len(first))] if rows else None
    made = tabulate.tabulate(rows, heads, "plain", colalign=align, disable_numparse=True)
    return textwrap.indent(made, "  ")
