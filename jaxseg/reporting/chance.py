"""Statistics of a report: intervals over images, over seeds, and of differences between runs.

Intervals over images and over seeds answer different questions and are shown in separate tables;
see `jaxseg.metrics.intervals`.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from jaxseg.metrics import image_intervals, intervals, seed_intervals
from jaxseg.metrics.definitions import LEVEL
from jaxseg.metrics.intervals import Interval
from jaxseg.percent import interval as interval_text
from jaxseg.percent import percent
from jaxseg.reporting.run import Run, StoredDetection, StoredEvaluation
from jaxseg.workdir.per_image import PerImage

_Stored = TypeVar("_Stored", StoredEvaluation, StoredDetection)

OVER_IMAGES = f"{percent(LEVEL, 0)} % over images"
OVER_SEEDS = f"{percent(LEVEL, 0)} % over seeds"
# Fields in which evaluations may differ and still be compared: those of the protocol.
_SAME = ("data", "split", "step", "weights", "data_digest")


def over_images(metrics: Mapping[str, Any]) -> str:
    """The interval of mIoU over images in percent, "[70.1, 74.4]"; "" if none is stored."""
    interval = metrics.get("miou_interval")
    return interval_text(interval) if isinstance(interval, list) and len(interval) == 2 else ""


class OverSeeds(NamedTuple):
    """One recipe over its seeds."""

    runs: tuple[str, ...]  # names
    measured_on: str
    mean: str  # in percent
    interval: str
    seeds: int


def over_seeds(loaded: Sequence[Run]) -> list[OverSeeds]:
    """Mean mIoU and its t-interval over runs whose configs differ only in train.seed.

    Evaluations are grouped if their data, tag and step are also the same. Evaluations of weight
    files are left out, since they have no seed. Of several runs with one seed, the first counts.
    """
    groups: dict[str, dict[Any, list[tuple[str, str, float]]]] = {}
    for run in loaded:
        recipe = {path: value for path, value in run.config.items() if path != "train.seed"}
        for evaluation in run.evaluations:
            record, seed = evaluation.record, run.config.get("train.seed")
            miou = record["metrics"].get("miou")
            if seed is None or miou is None or record.get("weights"):
                continue
            same = [recipe, evaluation.tag, *map(record.get, ("data", "step", "data_digest"))]
            group = groups.setdefault(json.dumps(same, sort_keys=True), {})
            on = f"{record.get('data', '')} {evaluation.tag}".strip()
            group.setdefault(seed, []).append((run.name, on, miou))
    result = []
    for group in groups.values():
        if len(group) < 2:
            continue
        firsts = [of[0] for of in group.values()]
        found = seed_intervals.seed_interval([miou for *_, miou in firsts], level=LEVEL)
        text = interval_text([found.low, found.high])
        names = tuple(name for name, *_ in firsts)
        result.append(OverSeeds(names, firsts[0][1], percent(found.estimate), text, len(group)))
    return result


def trainings(run: Run) -> str:
    """The number of trainings behind a run's numbers: "1, seed 0"; "" if there is no training."""
    seed = run.config.get("train.seed")
    return f"1, seed {seed}" if run.train and seed is not None else ""


@dataclasses.dataclass(frozen=True)
class Difference:
    """mIoU or AP of one evaluation minus that of the first, on the same images."""

    measured_on: str
    first: str  # name of the run, or tag
    second: str
    interval: Interval | None
    note: str  # why there is no interval

    @property
    def text(self) -> str:
        """In percentage points, "+1.20 [+0.40, +2.10]"; "" without an interval."""
        if self.interval is None:
            return ""
        points = (self.interval.estimate, self.interval.low, self.interval.high)
        estimate, low, high = (percent(value, sign="+") for value in points)
        return f"{estimate} [{low}, {high}]"

    @property
    def verdict(self) -> str:
        """Which one is better, "not distinguishable", or the note."""
        if self.interval is None:
            return self.note
        verdict = intervals.verdict(self.interval)
        better = {"first": self.first, "second": self.second}
        return f"{better[verdict]} is better" if verdict in better else verdict


def measured_alike(
    loaded: Sequence[Run], evaluations_of: Callable[[Run], Sequence[_Stored]]
) -> list[tuple[str, list[tuple[str, _Stored]]]]:
    """The evaluations on the same data, split and protocol, where there are at least two.

    Returns:
      What they were measured on, and the (name of the run, evaluation) of each.
    """
    groups: dict[str, list[tuple[str, _Stored]]] = {}
    for run in loaded:
        for evaluation in evaluations_of(run):
            data = evaluation.record.get("data") or run.config.get("data.name", "")
            groups.setdefault(f"{data} {evaluation.tag}", []).append((run.name, evaluation))
    return [(on, members) for on, members in groups.items() if len(members) > 1]


def differences(loaded: Sequence[Run]) -> tuple[list[Difference], list[str]]:
    """Each run against the first one that was evaluated on the same data, split and protocol.

    Returns:
      The differences, and the names of runs without the per-image counts that they need.
    """
    found: list[Difference] = []
    without: list[str] = []
    for measured_on, members in measured_alike(loaded, lambda run: run.evaluations):
        kept = [member for member in members if member[1].per_image]
        without += [name for name, evaluation in members if not evaluation.per_image]
        found += [_difference(measured_on, kept[0], other) for other in kept[1:]]
    return found, list(dict.fromkeys(without))


def between_protocols(run: Run) -> list[Difference]:
    """Each evaluation of a run against its main one, if weights, data and images are the same."""
    if not run.evaluations:
        return []
    main, *others = run.evaluations
    same = [main.record.get(name) for name in _SAME]
    found = [
        _difference(
            f"{run.name}, {main.record.get('data', '')}", (main.tag, main), (other.tag, other)
        )
        for other in others
        if [other.record.get(name) for name in _SAME] == same
    ]
    return [difference for difference in found if difference.interval]


def _difference(
    measured_on: str, first: tuple[str, StoredEvaluation], second: tuple[str, StoredEvaluation]
) -> Difference:
    one, two = first[1].per_image, second[1].per_image
    if one is None or two is None or one.names != two.names:
        interval, note = None, "the images differ, so no difference is computed"
    elif other := other_data(first[1].record, second[1].record):
        interval, note = None, f"{other}, so no difference is computed"
    else:
        interval, note = _paired(one, two)
    return Difference(measured_on, first[0], second[0], interval, note)


def other_data(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """The difference in the data of two evaluations with the same image names; "" if none."""
    if one["names"] != two["names"]:
        return "other classes"
    digests = [record.get("data_digest") for record in (one, two)]
    return "other images of the same names" if None not in digests and len(set(digests)) > 1 else ""


@functools.lru_cache(maxsize=512)  # the page and the Markdown text need the same
def _paired(one: PerImage, two: PerImage) -> tuple[Interval | None, str]:
    """The interval of the difference, or the reason why there is none."""
    if one.num_classes != two.num_classes:
        return (
            None,
            f"{two.num_classes} classes, not {one.num_classes}, so no difference is computed",
        )
    if len(one.names) < 2:
        return None, "one image gives no interval"
    counts = one.class_counts(), two.class_counts()
    if (counts[0][1] != counts[1][1]).any():
        return None, "the labels of the images differ, so no difference is computed"
    return image_intervals.paired_difference(*counts, level=LEVEL), ""
