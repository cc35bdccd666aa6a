"""Runs side by side: a markdown table for the terminal, and one HTML page that needs no network.

python -m jaxseg.report runs/stride16 runs/stride8
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from jaxseg import report_page, runs
from jaxseg.errors import one_line
from jaxseg.runs import Run


def percent(value: Any) -> str:
    """0.7231 -> "72.31"; "-" for what is not there or not defined."""
    return f"{100 * value:.2f}" if isinstance(value, int | float) else "-"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """A markdown table that is aligned as text too; the first `texts` columns flush left."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [heads, *rows]]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i < texts else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return [line(cells[0]), line(rule), *map(line, cells[1:])]


def markdown(loaded: Sequence[Run]) -> str:
    """Two tables: every evaluation of every run, and the config fields in which runs differ."""
    heads = ("run", "model", "measured on", "mIoU", "pixel acc.", "mean acc.", "fw IoU", "images/s")
    rows = []
    for run in loaded:
        model = str(run.config.get("model.class", "-"))
        rate = f"{run.images_per_second:.1f}" if run.images_per_second else "-"
        for metrics, measured_on in measurements(run):
            numbers = (
                percent(metrics.get(name))
                for name in ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")
            )
            rows.append((run.name, model, measured_on, *numbers, rate))
    lines = _table(heads, rows, texts=3)
    for run in loaded:
        if run.expected:
            lines += ["", f"{run.name}, expected: {run.expected}"]
    for run in loaded:
        lines += [line for note in run.notes for line in ("", f"{run.name}: {note}")]
    if len(loaded) > 1:
        different = [
            (path, *("-" if value is None else str(value) for value in values))
            for path, values in runs.differences(loaded)
        ]
        names = [run.name for run in loaded]
        lines += ["", *_table(("field", *names), different, texts=1 + len(names))]
    return "\n".join(lines) + "\n"


def measurements(run: Run) -> list[tuple[dict[str, Any], str]]:
    """(metrics, what they are of) of each evaluation; of the last one in training if none."""
    if not run.evaluations:
        return [(run.metrics, run.measured_on)]
    return [
        (e.record["metrics"], f"{e.record.get('data', '')} {e.tag}".strip())
        for e in run.evaluations
    ]


def write(folders: Sequence[pathlib.Path | str], output: pathlib.Path | str | None = None) -> str:
    """Writes report.html and report.md.

    Args:
      folders: of runs, in the order of columns.
      output: folder to write to; None: the run's own, or for several the one they lie in.

    Returns:
      The markdown.

    Raises:
      FileNotFoundError: a folder that is not a run's.
    """
    loaded = runs.with_names([runs.load(folder) for folder in folders])
    if output is None:
        output = loaded[0].folder if len(loaded) == 1 else loaded[0].folder.resolve().parent
    output = pathlib.Path(output)
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file: --output names a folder")
    output.mkdir(parents=True, exist_ok=True)
    text = markdown(loaded)
    (output / "report.md").write_text(text)
    (output / "report.html").write_text(report_page.html(loaded))
    print(f"{output / 'report.html'}", file=sys.stderr)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status is 1 when a folder is not a run's."""
    parser = argparse.ArgumentParser(prog="python -m jaxseg.report", description=__doc__)
    parser.add_argument("run", nargs="+", help="a run folder (--workdir of a training)")
    parser.add_argument("--output", help="folder for report.html and report.md")
    given = parser.parse_args(arguments)
    try:
        print(write(given.run, given.output), end="")
    except (OSError, ValueError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
