"""All situations, and their table."""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

import tabulate

import experiments.robustness.field_reports as package
from experiments.robustness.field_reports.situation import Situation

_NOT_SITUATIONS = ("__main__", "every", "situation")

SUBJECTS = {
    "A": "A run knows its classes and its data",
    "B": "The result of an image does not depend on other images",
    "C": "Finding and pairing files",
    "D": "Class files",
    "E": "Pixels never lose precision silently",
    "F": "Training and prediction read the same pixels",
    "G": "Meaningless settings",
    "H": "Numbers and recipes",
    "I": "Disks, kills and interruptions",
    "J": "Untrusted files",
    "K": "Reports of other libraries",
}

_HEADS = ("situation", "before", "now", "test")
_INTRODUCTION = """\
# Situations from bug reports

Bugs that users of segmentation libraries have reported, reproduced and tried by one command:

```bash
python -m experiments.robustness.field_reports --workdir=runs/field_reports
```

Each ends in a right value or in one clear line; anything else is a fault. "Before" is the
outcome before this code was fixed, "right" if it was never wrong; the last column names the test
that covers the situation. FOLDER stands for the folder in which it was tried.
"""


def situations() -> list[Situation]:
    """The situations of all modules of this package, by letter."""
    found: list[Situation] = []
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        if module not in _NOT_SITUATIONS:
            found += importlib.import_module(f"{package.__name__}.{module}").SITUATIONS
    return sorted(found, key=lambda one: one.letter)


def cell(text: str) -> str:
    """The text as a cell of a Markdown table."""
    escaped = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'")
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


def _breakable(test: str) -> str:
    """The name of a test as code that may break after "::" and "_" in a narrow column."""
    return f"<code>{test.replace('::', '::<wbr>').replace('_', '_<wbr>')}</code>"


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The outcomes in Markdown, with a table for each subject.

    Args:
      rows: of each situation "letter", "name", "source", "before", "outcome", "text" and "test".
    """
    parts = [_INTRODUCTION]
    for letter, subject in SUBJECTS.items():
        lines = []
        for row in rows:
            if row["letter"] != letter:
                continue
            name = row["name"] + (f" ({row['source']})" if row["source"] else "")
            now = f"{row['outcome']}: {row['text']}"
            test = _breakable(row["test"].removeprefix("tests/"))
            lines.append([*map(cell, (name, row["before"], now)), test])
        if lines:
            # Columns are not aligned: some cells are as long as a paragraph.
            table = tabulate.tabulate(lines, _HEADS, "pipe", stralign=None, disable_numparse=True)
            parts.append(f"## {letter}. {subject}\n\n{table}\n")
    return "\n".join(parts)
