"""Tries every situation, prints one line for each, and writes the table.

    python -m experiments.robustness.field_reports --workdir=runs/field_reports
    python -m experiments.robustness.field_reports --workdir=runs/field_reports --only=C,D

Each situation is created in its own folder below --workdir, which must be new or empty. The line
gives its outcome: a right value, a clear line, or a fault. Exit status: 0 if there is no fault,
otherwise 1.
"""

import json
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TQDM_DISABLE", "1")

from absl import app, flags

from experiments.robustness.field_reports import every, situation
from experiments.robustness.field_reports.situation import Situation
from jaxseg import whole_file

_WORKDIR = flags.DEFINE_string("workdir", None, "A new folder.", required=True)
_ONLY = flags.DEFINE_list("only", [], "Letters of the situations to try; default: all.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write with the outcomes.")
# Not "table": jaxseg.data.prepare, which situations call in this process, has such a flag.
_PAGE = flags.DEFINE_string(
    "markdown", None, "Markdown file to write with the table, such as docs/field_reports.md."
)


def outcome_of(one: Situation, folder: pathlib.Path) -> tuple[str, str]:
    """(outcome, text) of a situation tried in a new folder; raises nothing."""
    folder.mkdir(parents=True)
    try:
        seen = one.run(folder)
    except situation.Fault as fault:
        return situation.FAULT, str(fault)
    except Exception as error:
        return situation.FAULT, f"{type(error).__name__}: {error}"
    return seen.outcome, seen.text


def main(arguments: Sequence[str]) -> int:
    folder = pathlib.Path(_WORKDIR.value)
    if folder.exists() and any(folder.iterdir()):
        print(f"--workdir={folder} is not empty: it needs a new folder", file=sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    for number, one in enumerate(every.situations()):
        if _ONLY.value and one.letter not in _ONLY.value:
            continue
        began = time.monotonic()
        scratch = folder.resolve() / f"{number:03d}"
        outcome, text = outcome_of(one, scratch)
        text = text.replace(str(scratch), "FOLDER")
        seconds = time.monotonic() - began
        print(f"{one.letter} {one.name}: {outcome}: {text} ({seconds:.1f} s)", flush=True)
        rows.append(
            {
                "letter": one.letter,
                "name": one.name,
                "source": one.source,
                "before": one.before,
                "outcome": outcome,
                "text": text,
                "test": one.test,
            }
        )
    if _OUTPUT.value:
        whole_file.write_text(_OUTPUT.value, json.dumps(rows, indent=1) + "\n")
    if _PAGE.value:
        whole_file.write_text(_PAGE.value, every.page(rows))
    faults = sum(row["outcome"] == situation.FAULT for row in rows)
    print(f"{len(rows)} situations, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    app.run(main)
