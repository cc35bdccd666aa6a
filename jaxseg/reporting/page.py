"""The HTML page of a report: the values for the template report.html."""

import datetime
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jinja2

from jaxseg.metrics.definitions import MEANS, PROBABILITIES, same_as_miou
from jaxseg.percent import MISSING, percent
from jaxseg.reporting import (
    boundary,
    chance,
    comparable,
    detection,
    detection_chance,
    detection_numbers,
    evaluation,
    figures,
    plots,
    provenance,
)
from jaxseg.reporting.run import Run, differing_fields


def _tiles(run: Run) -> list[tuple[str, str]]:
    """The headline numbers of a run, in percent, as (value, label)."""
    if run.detects:
        return detection.tiles(run)
    names = {
        "miou": "mIoU",
        "pixel_accuracy": "pixel accuracy",
        "mean_accuracy": "mean accuracy",
        "fwiou": "frequency-weighted IoU",
    }
    return [(percent(run.metrics.get(name)), label) for name, label in names.items()]


def _facts(run: Run) -> list[tuple[str, str]]:
    """Further facts about a run, as (label, text)."""
    images = len(run.main.record["images"]) if run.main else 0
    facts = [
        *_intervals(run),
        ("trainings", chance.trainings(run)),
        ("training steps", f"{run.steps:,}" if run.train else ""),
        ("from first to last log line", provenance.duration(run.seconds) if run.train else ""),
        ("images per second in training", provenance.rate(run) if run.train else ""),
        ("batch", provenance.shown(run.config.get("data.batch_size")) if run.train else ""),
        ("devices", provenance.devices(provenance.environment_of(run))),
        ("images evaluated", f"{images:,}" if images else ""),
        *detection.facts(run),
        *([("mIoU of its classes, %", percent(run.metrics.get("miou")))] * _both(run)),
    ]
    facts += [
        (f"{label}, %", percent(run.metrics[name]))
        for name, (label, _) in PROBABILITIES.items()
        if name in run.metrics
    ]
    return [(label, text) for label, text in facts if text]


def _both(run: Run) -> bool:
    """Whether a detector was also evaluated as a semantic segmentation."""
    return run.detects and bool(run.evaluations)


def _intervals(run: Run) -> list[tuple[str, str]]:
    """The intervals of the headline numbers over images, as (label, text)."""
    if not run.detects:
        return [(f"mIoU, {chance.OVER_IMAGES}", chance.over_images(run.metrics))]
    return [
        (f"{detection_numbers.named(kind, 'AP')}, {chance.OVER_IMAGES}", interval)
        for kind, values in detection_numbers.metrics(run).items()
        if (interval := detection.over_images(values))
    ]


def _classes(run: Run) -> list[dict[str, Any]]:
    if run.evaluations:
        return evaluation.classes(run.evaluations[0])
    return evaluation.classes_in_training(run.tests[-1]) if run.tests else []


def _details(run: Run, index: int) -> dict[str, Any]:
    main = run.evaluations[0] if run.evaluations else None
    return {
        "name": run.name,
        "number": index + 1,
        "detects": run.detects,
        "objects": _objects(run) if run.detects else None,
        "series": index % 6,
        "folder": str(run.folder),
        "model": run.config.get("model.class", "unknown model"),
        "measured_on": run.measured_on,
        "metrics": run.metrics,
        "expected": run.expected,
        "notes": run.notes,
        "tiles": _tiles(run),
        "facts": _facts(run),
        "interval": chance.over_images(run.metrics) or MISSING,
        "protocols": evaluation.protocols(run),
        "boundary": boundary.section(run),
        "classes": _classes(run),
        "matrix": evaluation.matrix(main) if main else None,
        "pictures": evaluation.pictures(run.main) if run.main else [],
        "ranked_by": "F1" if run.detects else "mIoU",
        "config": provenance.config_parts(run),
        "environment": provenance.environment_rows(run),
        "reproduction": provenance.reproduction(run),
        "steps": f"{run.steps:,}" if run.train else "–",
        "duration": provenance.duration(run.seconds if run.train else None),
        "rate": provenance.rate(run),
    }


def _objects(run: Run) -> dict[str, Any]:
    """The sections of a detector."""
    return {
        "metrics": detection_numbers.metrics(run),
        "protocols": detection.protocols(run),
        "classes": detection.classes(run),
        "sizes": detection.sizes(run),
        "segments": detection.segments(run),
    }


def _detectors(loaded: Sequence[Run], details: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The comparison of the detectors among the runs, and their numbers; None without any."""
    chosen = [run for run in loaded if run.detects]
    if not chosen:
        return None
    own = [run for run in details if run["detects"]]
    not_ranked = comparable.why_not(chosen, objects=True)
    compared, without = detection_chance.differences(chosen)
    return {
        "runs": own,
        "in_common": _in_common(own),
        "columns": detection.columns(chosen, ranked=not not_ranked),
        "not_ranked": not_ranked,
        "over_seeds": detection_chance.over_seeds(chosen),
        "compared": compared,
        "without": without,
        "numbers": detection.numbers(chosen, ranked=not not_ranked),
        "panoptic": detection.panoptic_numbers(chosen, ranked=not not_ranked),
        "classes": detection.side_by_side(chosen, ranked=not not_ranked) if len(own) > 1 else [],
    }


def _side_by_side(details: Sequence[dict[str, Any]], *, ranked: bool) -> list[dict[str, Any]]:
    """IoU of each class in each run; classes in the order of the first run that has them."""
    tables = [{row["name"]: row for row in run["classes"]} for run in details]
    names = list(dict.fromkeys(name for table in tables for name in table))
    rows = []
    for name in names:
        ious = [table.get(name, {}).get("iou") for table in tables]
        color = next(table[name]["color"] for table in tables if name in table)
        best = _ranked(ious) if ranked else None
        rows.append({"name": name, "color": color, "ious": ious, "best": best})
    return rows


def _means(loaded: Sequence[Run]) -> tuple[list[tuple[str, list[float | None], str]], list[str]]:
    """All numbers of each run's main evaluation except those per class.

    Returns:
      (label, values, definition) of each number; and the labels of the numbers that are left out
      because they equal mIoU in all runs.
    """
    found = [evaluation.means(run.evaluations[0]) if run.evaluations else {} for run in loaded]
    evaluated = [values for values in found if values]
    if not evaluated:
        return [], []
    same = same_as_miou(*evaluated)
    rows = [
        (label, [values.get(name) for values in found], definition)
        for name, (label, definition) in MEANS.items()
        if name not in same
    ]
    return rows, [MEANS[name][0] for name in same]


def _ranked(values: Sequence[float | None]) -> float | None:
    """The best of the values, if several runs have one and they differ."""
    there = [value for value in values if value is not None]
    return max(there) if len(set(there)) > 1 else None


def _best(details: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """The best of each headline number."""
    names = ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")
    return {name: _ranked([run["metrics"].get(name) for run in details]) for name in names}


def _in_common(details: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Values that all rows of the table of runs share, by column; "" where rows differ."""
    columns = {"model": "{}", "measured_on": "{}", "steps": "{} steps"}
    return {
        name: text.format(of[0]) if len(of := list({run[name] for run in details})) == 1 else ""
        for name, text in columns.items()
    }


@functools.cache  # compiling it takes longer than rendering it
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent}
    return environment.get_template("page.html")


def html(loaded: Sequence[Run]) -> str:
    """The page for one run, or for a comparison of several."""
    details = [_details(run, i) for i, run in enumerate(loaded)]
    differing = [
        (path, [provenance.shown(value) for value in values])
        for path, values in differing_fields(loaded)
    ]
    pixels = [run for run in loaded if run.classifies]
    own = [
        of | {"measured_on": run.classified_on}
        for of, run in zip(details, loaded, strict=True)
        if run.classifies
    ]
    compared, without = chance.differences(pixels)
    means, equal_to_miou = _means(pixels)
    not_ranked = comparable.why_not(pixels)
    return _template().render(
        runs=details,
        pixels=own,
        detectors=_detectors(loaded, details),
        in_common=_in_common(own),
        over_images=chance.OVER_IMAGES,
        over_seeds=chance.over_seeds(pixels),
        seeds_head=chance.OVER_SEEDS,
        compared=compared,
        without_counts=without,
        means=means,
        equal_to_miou=equal_to_miou,
        not_ranked=not_ranked,
        best={} if not_ranked else _best(own),
        plots=figures.plots(loaded),
        about_losses=figures.about_losses(loaded),
        light=plots.LIGHT,
        dark=plots.DARK,
        differences=differing,
        classes=_side_by_side(own, ranked=not not_ranked) if len(own) > 1 else [],
        written=datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
    )
