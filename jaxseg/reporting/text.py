"""The report as Markdown, for the terminal and report.md."""

from collections.abc import Sequence
from typing import Any

from jaxseg.metrics.definitions import MEANS, PROBABILITIES, same_as_miou
from jaxseg.percent import MISSING, percent
from jaxseg.reporting import boundary as boundary
from jaxseg.reporting import chance as chance
from jaxseg.reporting import detection_text, tables
from jaxseg.reporting import evaluation as report_evaluation
from jaxseg.reporting.run import Run, StoredEvaluation, differing_fields
from jaxseg.workdir import escape

_HEADLINE = ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A table whose first `texts` columns are left-aligned; its cells are escaped."""
    cells = [[escape.markdown(cell) for cell in row] for row in rows]
    heads = [escape.markdown(head) for head in heads]
    return tables.markdown(heads, cells, left=heads[:texts])


def markdown(loaded: Sequence[Run]) -> str:
    """Tables of all evaluations, differences, means, boundaries, and config differences."""
    pixels = [run for run in loaded if run.classifies]
    objects = [run for run in loaded if run.detects]
    lines = [*_numbers(pixels), *_over_seeds(pixels), *_detectors(objects), *_trainings(loaded)]
    for run in loaded:
        if run.expected:
            lines += ["", escape.markdown(f"{run.name}, expected: {run.expected}")]
    for run in loaded:
        for note in run.notes:
            lines += ["", escape.markdown(f"{run.name}: {note}")]
    lines += _compared(pixels) + _other_means(pixels) + _boundaries(pixels)
    if len(loaded) > 1:
        different = [
            (path, *(MISSING if value is None else str(value) for value in values))
            for path, values in differing_fields(loaded)
        ]
        names = [run.name for run in loaded]
        lines += ["", _table(("field", *names), different, texts=1 + len(names))]
    return "\n".join(lines).lstrip("\n") + "\n"


def _detectors(loaded: Sequence[Run]) -> list[str]:
    """The tables of detectors, and what their numbers are."""
    lines = []
    for table in detection_text.tables(loaded):
        lines += ["", _table(table.heads, table.rows, texts=table.texts)]
    return [*lines, "", *detection_text.definitions(loaded)] if lines else []


def _trainings(loaded: Sequence[Run]) -> list[str]:
    """The number of trainings behind each run's numbers."""
    found = [(run.name, chance.trainings(run)) for run in loaded]
    told = ", ".join(f"{escape.markdown(name)} ({text})" for name, text in found if text)
    if not told:
        return []
    meaning = (
        "The interval over images does not show how much another seed would change the number."
    )
    return ["", f"Number of trainings per line: {told}. {meaning}"]


def _numbers(loaded: Sequence[Run]) -> list[str]:
    """A line per evaluation: the headline numbers and the interval of mIoU."""
    heads = ["run", "model", "measured on", "mIoU", chance.OVER_IMAGES]
    heads += ["pixel acc.", "mean acc.", "fw IoU", "images/s"]
    rows = []
    for run in loaded:
        model = str(run.config.get("model.class", MISSING))
        rate = f"{run.images_per_second:.1f}" if run.images_per_second else MISSING
        for metrics, measured_on in _measurements(run):
            first, *others = (percent(metrics.get(name)) for name in _HEADLINE)
            over = chance.over_images(metrics) or MISSING
            rows.append((run.name, model, measured_on, first, over, *others, rate))
    return [_table(heads, rows, texts=3)] if rows else []


def _over_seeds(loaded: Sequence[Run]) -> list[str]:
    """A line for each recipe that was trained with several seeds."""
    heads = ("runs", "measured on", "seeds", "mean mIoU", chance.OVER_SEEDS)
    rows = [
        (", ".join(one.runs), one.measured_on, str(one.seeds), one.mean, one.interval)
        for one in chance.over_seeds(loaded)
    ]
    return ["", _table(heads, rows, texts=2)] if rows else []


def _compared(loaded: Sequence[Run]) -> list[str]:
    """Runs against the first one of the same protocol, and protocols against a run's first one."""
    found, without = chance.differences(loaded)
    found += [one for run in loaded for one in chance.between_protocols(run)]
    lines = []
    if found:
        head = f"difference of mIoU, {chance.OVER_IMAGES}"
        rows = [
            (one.measured_on, one.second, one.first, one.verdict, one.text or MISSING)
            for one in found
        ]
        lines += ["", _table(("on", "compared", "against", "verdict", head), rows, texts=4)]
    if without:
        names = escape.markdown(", ".join(without))
        missing = "Without per-image counts, and so without an interval of the difference"
        lines += ["", f"{missing}: {names}. Evaluating again writes them."]
    return lines


def _other_means(loaded: Sequence[Run]) -> list[str]:
    """The numbers of a confusion matrix that the first table leaves out, with definitions."""
    evaluations = [(run.name, e) for run in loaded for e in run.evaluations]
    if not evaluations:
        return []
    asked = [n for n in PROBABILITIES if any(n in e.record["metrics"] for _, e in evaluations)]
    every = MEANS | {name: PROBABILITIES[name] for name in asked}
    found = [
        report_evaluation.means(one) | {n: one.record["metrics"].get(n) for n in asked}
        for _, one in evaluations
    ]
    same = same_as_miou(*found)
    others = [name for name in every if name not in _HEADLINE and name not in same]
    rows = [
        (name, _measured(one), *(percent(values[other]) for other in others))
        for (name, one), values in zip(evaluations, found, strict=True)
    ]
    heads = ("run", "measured on", *(every[name][0] for name in others))
    definitions = [
        f"- {label}: {definition}."
        for name, (label, definition) in every.items()
        if name not in same
    ]
    lines = ["", _table(heads, rows, texts=2), "", *definitions]
    if same:
        lines += ["", f"Equal to mIoU here: {'; '.join(MEANS[name][0] for name in same)}."]
    return lines


def _boundaries(loaded: Sequence[Run]) -> list[str]:
    """The means of the boundary metrics, and mIoU within the bands of the trimap."""
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
            (name, measured_on, *(one.get(head, MISSING) for head in heads))
            for (name, measured_on, _), one in zip(found, values, strict=True)
        ]
        if rows:
            lines += ["", _table(("run", texts, *heads), rows, texts=2)]
    return lines


def _measured(evaluation: StoredEvaluation) -> str:
    return f"{evaluation.record.get('data', '')} {evaluation.tag}".strip()


def _measurements(run: Run) -> list[tuple[dict[str, Any], str]]:
    """(metrics, data) of each evaluation or, if there is none, of the last one in training."""
    if not run.evaluations:
        return [(run.metrics, run.measured_on)]
    return [(one.record["metrics"], _measured(one)) for one in run.evaluations]
