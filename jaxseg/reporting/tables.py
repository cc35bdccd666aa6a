"""Tables in Markdown, aligned as text too."""

from collections.abc import Collection, Sequence

import tabulate


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str]) -> str:
    """The table.

    Args:
      heads: of the columns.
      rows: cells in Markdown: names of others' are escaped before (`escape.markdown`).
      left: heads of the columns of text, which are flush left; numbers are flush right.
    """
    align = ["left" if head in left else "right" for head in heads]
    return tabulate.tabulate(
        rows, heads, tablefmt="pipe", colalign=align, disable_numparse=True, missingval=""
    )
