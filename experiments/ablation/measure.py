"""Collects the finished runs of a sweep into one record with the results of each row.

Semantic networks are compared by mIoU, with intervals over images and over seeds; detectors by one
of COCO's numbers, with intervals over seeds.

mIoU is averaged over the classes that occur in the ground truth. In the papers' data sets every
class occurs, so it equals theirs; in a drawn data set that lacks classes the usual rule would count
a class as 0 because of a single predicted pixel.
"""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from experiments.ablation import ablation, code_version, job_folder
from experiments.ablation.recorded import MIOU, key_of, values_of
from jaxseg.metrics import image_intervals, intervals, seed_intervals
from jaxseg.metrics.definitions import LEVEL
from jaxseg.metrics.intervals import Interval
from jaxseg.percent import percent
from jaxseg.workdir import environment, log, per_image
from jaxseg.workdir.per_image import PerImage


@dataclasses.dataclass(frozen=True)
class _Run:
    """One evaluation of one training."""

    seed: int
    value: float  # of the table's metric
    classes: dict[str, float | None]  # IoU; of a detector none
    counts: PerImage | None  # of a semantic network
    outcome: dict[str, Any]
    images_per_second: float | None


def measure(
    table: ablation.Ablation,
    name: str,
    size: str,
    jobs: Sequence[ablation.Job],
    folder: pathlib.Path,
) -> dict[str, Any]:
    """The record of a table, as JSON values; rows without a finished run have no results.

    Args:
      table: the ablation.
      name: of its file, such as "deeplab_v3/table1".
      size: one of ablation.SIZES.
      jobs: from `ablation.plan`; runs of different code, data or settings are not among them.
      folder: of the sweep, which contains their run folders.

    Raises:
      ValueError: two runs were not evaluated on the same images.
    """
    rows = ablation.rows_of(table, size)
    metric = table.metric
    runs = {row.name: _runs(row.name, jobs, folder, metric) for row in rows}
    base = runs[rows[0].name]
    measured = [
        _row(row, metric, runs[row.name], base if row is not rows[0] else []) for row in rows
    ]
    named = {} if metric == MIOU else {"metric": metric}
    return named | {
        "ablation": name,
        "size": size,
        "title": table.title,
        "source": table.source,
        "cause": table.cause,
        "rows": measured,
        "agreement": agreement(measured),
        "seeds": sorted({one.seed for one in jobs}),
        "code": sorted({code_version.of(one.experiment) for one in jobs}),
        "unfinished": sorted(one.name for one in jobs if finished(one, folder) is None),
        "stale": stale(jobs, folder),
        "environment": environment.environment(),
    }


def stale(jobs: Sequence[ablation.Job], folder: pathlib.Path) -> list[str]:
    """Run folders of a sweep whose code, data or settings differ from the plan's."""
    planned = {one.name for one in jobs}
    found = (path.parent.name for path in folder.glob(f"*/{job_folder.JOB}"))
    return sorted(set(found) - planned)


def finished(
    one: ablation.Job, folder: pathlib.Path, rows: Sequence[str] | None = None
) -> dict[str, Any] | None:
    """The outcome of a job in the folder of its sweep, if all or some of its rows are finished."""
    wanted = {row: one.protocols[row] for row in (one.protocols if rows is None else rows)}
    return job_folder.outcome(folder / one.name, job_folder.tags(one.experiment, wanted))


def _runs(row: str, jobs: Sequence[ablation.Job], folder: pathlib.Path, metric: str) -> list[_Run]:
    runs = []
    for one in jobs:
        outcome = finished(one, folder, [row]) if row in one.protocols else None
        if outcome is None:
            continue
        lines = log.read_lines(folder / one.name / "metrics.jsonl")
        rates = [rate for line in lines if (rate := line.get("images_per_second"))]
        rate = statistics.median(rates) if rates else None
        if metric != MIOU:
            runs.append(_Run(one.seed, _score(outcome, metric), {}, None, outcome, rate))
            continue
        path = folder / one.name / "eval" / outcome["tags"][row]
        record = json.loads(path.with_name(f"{path.name}.json").read_text())["metrics"]
        counts = per_image.read(path.with_name(f"{path.name}.npz"))
        runs.append(_Run(one.seed, record["miou_truth"], record["iou"], counts, outcome, rate))
    return runs


def _score(outcome: dict[str, Any], metric: str) -> float:
    if metric not in outcome["scores"]:
        known = ", ".join(outcome["scores"])
        raise ValueError(f"the table compares {metric!r}, the evaluation has: {known}")
    return outcome["scores"][metric]


def _row(
    row: ablation.Row, metric: str, runs: Sequence[_Run], base: Sequence[_Run]
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": row.name,
        "change": {path: ablation.text_of(value) for path, value in row.change.items()},
        "paper": row.paper,
        "seeds": [run.seed for run in runs],
        key_of(metric): [run.value for run in runs],
    }
    if not runs:
        return values
    found = values_of(values)
    interval = _ends(seed_intervals.seed_interval(found, level=LEVEL)) if runs[1:] else None
    costs = {
        "parameters": runs[0].outcome["parameters"],
        "multiply_adds": runs[0].outcome["multiply_adds"][row.name],
    }
    speed = {"images_per_second": _middle([run.images_per_second for run in runs])}
    gain = _gain(base, runs) if base else {}
    values |= {"mean": statistics.mean(found), "interval": interval}
    if metric != MIOU:
        return values | {"scores": _mean_scores(runs)} | costs | speed | gain
    classes = {name: _mean([run.classes[name] for run in runs]) for name in runs[0].classes}
    memory = {"memory": runs[0].outcome["memory"]}
    return values | {"classes": classes} | costs | memory | speed | gain


def _mean_scores(runs: Sequence[_Run]) -> dict[str, float]:
    """The mean over seeds of all of COCO's numbers."""
    every = [run.outcome["scores"] for run in runs]
    there = [name for name in every[0] if all(name in scores for scores in every)]
    return {name: statistics.mean(scores[name] for scores in every) for name in there}


def _gain(base: Sequence[_Run], runs: Sequence[_Run]) -> dict[str, Any]:
    """The mean minus that of the base row, with intervals over seeds, and of mIoU over images."""
    found = [[run.value for run in group] for group in (base, runs)]
    values: dict[str, Any] = {"gain": statistics.mean(found[1]) - statistics.mean(found[0])}
    counts = [[run.counts for run in group if run.counts is not None] for group in (base, runs)]
    if counts[0]:
        if len({one.names for group in counts for one in group}) > 1:
            raise ValueError(
                "runs of one table were evaluated on different images; delete their eval/"
            )
        classes = [[one.class_counts() for one in group] for group in counts]
        images = image_intervals.paired_mean_difference(*classes, level=LEVEL, absent="truth")
        values = {"gain": images.estimate, "gain_over_images": _ends(images)}
    if base[1:] and runs[1:]:
        values["gain_over_seeds"] = _ends(seed_intervals.seed_difference(*found, level=LEVEL))
    return values


def _middle(rates: Sequence[float | None]) -> float | None:
    """The median; None if no log could be read."""
    known = [rate for rate in rates if rate is not None]
    return statistics.median(known) if known else None


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def agreement(rows: Sequence[dict[str, Any]]) -> str:
    """Whether rows differ in the paper's direction from the first row with a value of the paper.

    A difference is significant if its interval over seeds excludes zero. Rows with fewer than two
    seeds, without a value of the paper, or with the same value as the first are not counted.
    """
    known = [row for row in rows if row["paper"] is not None and len(values_of(row)) > 1]
    kinds: dict[str, list[str]] = {"agrees": [], "opposite": [], "not distinguishable": []}
    for row in known[1:]:
        paper = row["paper"] - known[0]["paper"]
        if paper == 0:
            continue
        found = seed_intervals.seed_difference(*map(values_of, (known[0], row)), level=LEVEL)
        text = f"{row['name']} ({percent(found.estimate, 1, '+')}, the paper {paper:+.1f})"
        if not intervals.distinguishable(found):
            kinds["not distinguishable"].append(text)
        else:
            kinds["agrees" if found.estimate * paper > 0 else "opposite"].append(text)
    total = sum(map(len, kinds.values()))
    if not total:
        return "No row can be compared with a value of the paper."
    first = (
        f"{len(kinds['agrees'])} of {total} differences from {known[0]['name']} agree in direction"
    )
    agreeing = f": {'; '.join(kinds['agrees'])}" if kinds["agrees"] else ""
    parts = [f"{first} with the paper{agreeing}"]
    if kinds["not distinguishable"]:
        parts.append(f"Not distinguishable over seeds: {'; '.join(kinds['not distinguishable'])}")
    if kinds["opposite"]:
        parts.append(f"The other way round: {'; '.join(kinds['opposite'])}")
    return ". ".join(parts) + "."
