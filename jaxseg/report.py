"""Runs side by side: a markdown table for the terminal, and one HTML page that needs no network.

python -m jaxseg.report runs/stride16 runs/stride8
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxseg import whole_file
from jaxseg.errors import one_line
from jaxseg.evaluation.record import MEANS, PROBABILITIES
from jaxseg.reporting import boundary, chance, page, run_folder
from jaxseg.reporting import evaluation as report_evaluation
from jaxseg.reporting.run_folder import Run
from jaxseg.workdir import escape

_HEADLINE = ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")


def percent(value: Any) -> str:
    """0.7231 -> "72.31"; "-" for what is not there or not defined."""
    return f"{100 * value:.2f}" if isinstance(value, int | float) else "-"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """A markdown table that is aligned as text too; the first `texts` columns flush left."""
    cells = [[escape.markdown(cell) for cell in row] for row in [heads, *rows]]
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
    """Tables: every evaluation, differences, all means, boundaries, and what differs in configs."""
    lines = _numbers(loaded)
    lines += _trainings(loaded)
    for run in loaded:
        if run.expected:
            lines += ["", escape.markdown(f"{run.name}, expected: {run.expected}")]
    for run in loaded:
        for note in run.notes:
            lines += ["", escape.markdown(f"{run.name}: {note}")]
    lines += _compared(loaded) + _other_means(loaded) + _boundaries(loaded)
    if len(loaded) > 1:
        different = [
            (path, *("-" if value is None else str(value) for value in values))
            for path, values in run_folder.differing_fields(loaded)
        ]
        names = [run.name for run in loaded]
        lines += ["", *_table(("field", *names), different, texts=1 + len(names))]
    return "\n".join(lines) + "\n"


def _trainings(loaded: Sequence[Run]) -> list[str]:
    """Of how many trainings each run's numbers are."""
    found = [(run.name, chance.trainings(run)) for run in loaded]
    told = ", ".join(f"{escape.markdown(name)} ({text})" for name, text in found if text)
    if not told:
        return []
    meaning = "The interval over images does not say how another seed would move the number."
    return ["", f"Trainings behind a line: {told}. {meaning}"]


def _numbers(loaded: Sequence[Run]) -> list[str]:
    """A line each evaluation: the headline numbers, the intervals in columns of their own."""
    seeds = chance.over_seeds(loaded)
    heads = ["run", "model", "measured on", "mIoU", chance.OVER_IMAGES]
    heads += [chance.OVER_SEEDS] * bool(seeds)
    heads += ["pixel acc.", "mean acc.", "fw IoU", "images/s"]
    rows = []
    for run in loaded:
        model = str(run.config.get("model.class", "-"))
        rate = f"{run.images_per_second:.1f}" if run.images_per_second else "-"
        for metrics, measured_on, tag in measurements(run):
            over = [chance.over_images(metrics) or "-"]
            over += [seeds.get((run.folder, tag), "-")] * bool(seeds)
            first, *others = (percent(metrics.get(name)) for name in _HEADLINE)
            rows.append((run.name, model, measured_on, first, *over, *others, rate))
    return _table(heads, rows, texts=3)


def _compared(loaded: Sequence[Run]) -> list[str]:
    """Runs against the first one of the same protocol, and protocols against a run's first one."""
    found, without = chance.differences(loaded)
    found += [one for run in loaded for one in chance.between_protocols(run)]
    lines = []
    if found:
        head = f"difference of mIoU, {chance.OVER_IMAGES}"
        rows = [
            (one.measured_on, one.second, one.first, one.verdict, one.text or "-") for one in found
        ]
        lines += ["", *_table(("on", "compared", "against", "verdict", head), rows, texts=4)]
    if without:
        names = escape.markdown(", ".join(without))
        lines += ["", "Without counts of single images, so without the interval of a difference: "
                  f"{names}. Evaluating again writes them."]  # fmt: skip
    return lines


def _other_means(loaded: Sequence[Run]) -> list[str]:
    """What the first table leaves out of the numbers of a confusion matrix, and what they are."""
    evaluations = [(run.name, e) for run in loaded for e in run.evaluations]
    if not evaluations:
        return []
    asked = [n for n in PROBABILITIES if any(n in e.record["metrics"] for _, e in evaluations)]
    every = MEANS | {name: PROBABILITIES[name] for name in asked}
    others = [name for name in every if name not in _HEADLINE]
    rows = []
    for name, evaluation in evaluations:
        metrics = evaluation.record["metrics"]
        values = report_evaluation.means(evaluation) | {n: metrics.get(n) for n in asked}
        rows.append((name, _measured(evaluation), *(percent(values[other]) for other in others)))
    heads = ("run", "measured on", *(every[name][0] for name in others))
    definitions = [f"- {label}: {definition}." for label, definition in every.values()]
    return ["", *_table(heads, rows, texts=2), "", *definitions]


def _boundaries(loaded: Sequence[Run]) -> list[str]:
    """The means of the boundary suite, and mIoU within the trimap's bands."""
    found = [
        (run.name, _measured(evaluation), suite)
        for run in loaded
        for evaluation, suite in boundary.measured(run)
    ]
    lines = []
    for numbers, texts in (
        (boundary.means, "boundaries of"),
        (boundary.trimap, "mIoU near boundaries of"),
    ):
        values = [numbers(suite) for _, _, suite in found]
        heads = list(dict.fromkeys(head for one in values for head in one))
        rows = [
            (name, measured_on, *(one.get(head, "-") for head in heads))
            for (name, measured_on, _), one in zip(found, values, strict=True)
        ]
        if rows:
            lines += ["", *_table(("run", texts, *heads), rows, texts=2)]
    return lines


def _measured(evaluation: run_folder.StoredEvaluation) -> str:
    return f"{evaluation.record.get('data', '')} {evaluation.tag}".strip()


def measurements(run: Run) -> list[tuple[dict[str, Any], str, str]]:
    """(metrics, what they are of, tag) of each evaluation; of the last one in training if none."""
    if not run.evaluations:
        return [(run.metrics, run.measured_on, "")]
    return [(e.record["metrics"], _measured(e), e.tag) for e in run.evaluations]


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
    loaded = run_folder.with_names([run_folder.load(folder) for folder in folders])
    if output is None:
        output = loaded[0].folder if len(loaded) == 1 else loaded[0].folder.resolve().parent
    output = pathlib.Path(output)
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file: --output names a folder")
    output.mkdir(parents=True, exist_ok=True)
    text = markdown(loaded)
    whole_file.sweep(output)
    whole_file.write_text(output / "report.html", page.html(loaded))
    whole_file.write_text(output / "report.md", text)
    print(f"{output / 'report.html'}", file=sys.stderr)
    return text


def start(arguments: Sequence[str]) -> NoReturn:
    """`jaxseg report`."""
    sys.exit(main(arguments, "jaxseg report"))


def main(arguments: Sequence[str] | None = None, name: str = "python -m jaxseg.report") -> int:
    """The command line; the exit status is 1 when a folder is not a run's."""
    parser = argparse.ArgumentParser(prog=name, description=__doc__)
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
