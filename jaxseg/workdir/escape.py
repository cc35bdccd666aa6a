"""Escapes names of runs, images and classes for Markdown, LaTeX, CSV and the terminal.

Names come from untrusted files and folders, and must not be interpreted as markup or commands of an
output format. HTML is escaped by Jinja.
"""

import re
import unicodedata
from collections.abc import Sequence

_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NOT_TEXT = ("Cc", "Cs", "Zl", "Zp")  # categories: control, surrogate, line and paragraph
_FORMULA = ("=", "+", "-", "@")  # characters that begin a formula in a spreadsheet
_PLACEHOLDER = "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    """The text on one line: line breaks become spaces, control characters U+FFFD."""
    text = re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _PLACEHOLDER if c in _BIDI or unicodedata.category(c) in _NOT_TEXT else c for c in text
    )


def markdown(text: str) -> str:
    """The text escaped for Markdown: cells, tags, entities, links, code and emphasis."""
    text = re.sub(r"([\\|`*])", r"\\\1", plain(text))
    text = re.sub(r"&(?=[#\w])", "&amp;", text).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\](?=[(\[:])", r"\\]", text)


def csv_row(values: Sequence[object]) -> list[object]:
    """The values of a row; texts that a spreadsheet would evaluate get a leading apostrophe."""
    return [_csv_cell(value) if isinstance(value, str) else value for value in values]


def _csv_cell(text: str) -> str:
    text = plain(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
