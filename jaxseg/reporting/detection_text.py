"""The tables of detectors as Markdown cells, for the terminal and report.md."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxseg.metrics.definitions import DETECTION, DETECTION_KINDS, PANOPTIC, PROPOSALS
from jaxseg.percent import MISSING, percent
from jaxseg.reporting import chance, detection_chance, detection_numbers
from jaxseg.reporting.detection import over_images, panoptic
from jaxseg.reporting.detection_numbers import headline, metrics, named
from jaxseg.reporting.run import Run


class Table(NamedTuple):
    """A table of texts that are not escaped yet, of which the first columns are words."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int


def tables(loaded: Sequence[Run]) -> list[Table]:
    """COCO's numbers of each evaluation, differences between runs, and AP of the classes.

    Args:
      loaded: the runs of detectors.
    """
    found = [
        _numbers([run for run in loaded if not _proposes(run)]),
        _recalls([run for run in loaded if _proposes(run)]),
        _panoptic(loaded),
        _seeds(loaded),
        _differences(loaded),
        _classes(loaded),
    ]
    return [table for table in found if table.rows]


def definitions(loaded: Sequence[Run]) -> list[str]:
    """A line for each number that the runs have."""
    segments = {name for run in loaded for name in panoptic(run)}
    shown = detection_numbers.definitions([metrics(run) for run in loaded])
    shown |= {name: PANOPTIC[name] for name in PANOPTIC if name in segments}
    return [f"- {name}: {definition}." for name, definition in shown.items()]


def _proposes(run: Run) -> bool:
    return detection_numbers.of_proposals(metrics(run))


def _recalls(loaded: Sequence[Run]) -> Table:
    """A line for boxes and one for masks of each evaluation of proposals."""
    heads = ["run", "model", "measured on", "of", *PROPOSALS]
    rows = []
    for run in loaded:
        model = str(run.config.get("model.class", MISSING))
        for of, measured_on in _measured(run):
            for kind in [kind for kind in DETECTION_KINDS if kind in of]:
                values = (percent(of[kind].get(name)) for name in PROPOSALS)
                rows.append((run.name, model, measured_on, DETECTION_KINDS[kind], *values))
    return Table(heads, rows, 4)


def _measured(run: Run) -> list[tuple[dict[str, dict[str, Any]], str]]:
    """The numbers of each evaluation and what they were measured on, or those of training."""
    return [
        (each.record["metrics"], f"{each.record.get('data', '')} {each.tag}".strip())
        for each in run.detections
    ] or [(metrics(run), run.measured_on.strip())]


def _numbers(loaded: Sequence[Run]) -> Table:
    """A line for boxes and one for masks of each evaluation."""
    heads = ["run", "model", "measured on", "of", "AP", chance.OVER_IMAGES, *list(DETECTION)[1:]]
    rows = []
    for run in loaded:
        model = str(run.config.get("model.class", MISSING))
        for of, measured_on in _measured(run):
            for kind in [kind for kind in DETECTION_KINDS if kind in of] or [headline(of)]:
                values = of.get(kind, {})
                first, *others = (percent(values.get(name)) for name in DETECTION)
                over = over_images(values) or MISSING
                words = (run.name, model, measured_on, DETECTION_KINDS[kind])
                rows.append((*words, first, over, *others))
    return Table(heads, rows, 4)


def _panoptic(loaded: Sequence[Run]) -> Table:
    """PQ, SQ and RQ of each run that has them, PQ with its interval over images."""
    every = {run.name: found for run in loaded if (found := panoptic(run))}
    names = [name for name in PANOPTIC if any(name in found for found in every.values())]
    rows = [
        (run, *(f"{percent(of.get(name))} {over_images(of, name)}".strip() for name in names))
        for run, of in every.items()
    ]
    return Table(("run", *names), rows, 1)


def _seeds(loaded: Sequence[Run]) -> Table:
    heads = ("runs", "measured on", "seeds", "mean AP", chance.OVER_SEEDS)
    rows = [
        (", ".join(one.runs), one.measured_on, str(one.seeds), one.mean, one.interval)
        for one in detection_chance.over_seeds(loaded)
    ]
    return Table(heads, rows, 2)


def _differences(loaded: Sequence[Run]) -> Table:
    head = f"difference of AP, {chance.OVER_IMAGES}"
    rows = [
        (one.measured_on, one.second, one.first, one.verdict, one.text or MISSING)
        for one in detection_chance.differences(loaded)[0]
    ]
    return Table(("on", "compared", "against", "verdict", head), rows, 4)


def _classes(loaded: Sequence[Run]) -> Table:
    """AP of each class in each run's main evaluation, of masks where there are any."""
    chosen = [run for run in loaded if run.detections]
    columns = []
    for run in chosen:
        categories = run.detections[0].record.get("categories") or {}
        columns.append(categories.get(headline(categories), {}))
    names = list(dict.fromkeys(name for column in columns for name in column))
    heads = [
        f"class, {named('segm', 'AP')} or {named('bbox', 'AP')}",
        *(run.name for run in chosen),
    ]
    rows = [
        (name, *(percent(column.get(name, {}).get("AP")) for column in columns)) for name in names
    ]
    return Table(heads, rows, 1)
