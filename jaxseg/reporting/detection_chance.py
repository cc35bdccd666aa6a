"""Differences of AP between detectors on the same images, and intervals over seeds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.metrics import ap_intervals, seed_intervals
from jaxseg.metrics.definitions import LEVEL
from jaxseg.metrics.intervals import Interval
from jaxseg.percent import interval as interval_text
from jaxseg.percent import percent
from jaxseg.reporting.chance import Difference, OverSeeds, measured_alike, other_data
from jaxseg.reporting.detection_numbers import headline, main_number, named
from jaxseg.reporting.run import Run, StoredDetection


def differences(loaded: Sequence[Run]) -> tuple[list[Difference], list[str]]:
    """AP of each run against the first one with the same data, split and protocol.

    Returns:
      The differences of boxes and masks, and the names of runs without the matches they need.
    """
    found: list[Difference] = []
    without: list[str] = []
    for measured_on, members in measured_alike(loaded, _of_classes):
        kept = [member for member in members if member[1].matches]
        without += [name for name, evaluation in members if not evaluation.matches]
        for other in kept[1:]:
            for kind in kept[0][1].matches:
                if kind in other[1].matches:
                    found.append(_difference(measured_on, kind, kept[0], other))
    return found, list(dict.fromkeys(without))


def _of_classes(run: Run) -> list[StoredDetection]:
    """Not those of proposals, which have no AP."""
    return [each for each in run.detections if not each.record.get("proposals")]


def _difference(
    measured_on: str, kind: str, one: tuple[str, StoredDetection], two: tuple[str, StoredDetection]
) -> Difference:
    interval, note = _paired(one[1], two[1], kind)
    return Difference(f"{measured_on}, {named(kind, 'AP')}", one[0], two[0], interval, note)


def _paired(one: StoredDetection, two: StoredDetection, kind: str) -> tuple[Interval | None, str]:
    """The interval of the difference, or the reason why there is none."""
    names = [[image["name"] for image in of.record["images"]] for of in (one, two)]
    if names[0] != names[1]:
        return None, "the images differ, so no difference is computed"
    if other := other_data(one.record, two.record):
        return None, f"{other}, so no difference is computed"
    if len(names[0]) < 2:
        return None, "one image gives no interval"
    try:
        found = ap_intervals.ap_difference([one.matches[kind]], [two.matches[kind]], level=LEVEL)
    except ValueError as error:  # other objects of the same images
        return None, f"{error}, so no difference is computed"
    return found, ""


def over_seeds(loaded: Sequence[Run]) -> list[OverSeeds]:
    """Mean AP and its t-interval over detectors whose configs differ only in train.seed.

    AP of masks where there are any; AR@1000 of proposals. Grouped as `chance.over_seeds` does it.
    """
    groups: dict[str, dict[Any, tuple[str, float]]] = {}
    titles: dict[str, str] = {}
    for run in loaded:
        recipe = {path: value for path, value in run.config.items() if path != "train.seed"}
        for evaluation in run.detections:
            record, seed = evaluation.record, run.config.get("train.seed")
            kind = headline(record["metrics"])
            number = main_number(record["metrics"].get(kind, {}))
            ap = record["metrics"].get(kind, {}).get(number)
            if seed is None or ap is None or record.get("weights"):
                continue
            key = _key(recipe, evaluation.tag, kind, record)
            groups.setdefault(key, {}).setdefault(seed, (run.name, ap))
            on = f"{record.get('data', '')} {evaluation.tag}".strip()
            titles[key] = f"{on}, {named(kind, number)}"
    result = []
    for key, group in groups.items():
        if len(group) < 2:
            continue
        found = seed_intervals.seed_interval([ap for _, ap in group.values()], level=LEVEL)
        text = interval_text([found.low, found.high])
        names = tuple(name for name, _ in group.values())
        result.append(OverSeeds(names, titles[key], percent(found.estimate), text, len(group)))
    return result


def _key(recipe: Mapping[str, Any], tag: str, kind: str, record: Mapping[str, Any]) -> str:
    same = [recipe, tag, kind, *map(record.get, ("data", "step", "data_digest"))]
    return json.dumps(same, sort_keys=True)
