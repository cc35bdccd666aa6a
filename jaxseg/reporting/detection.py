"""The evaluation of a detector as shown on the page of a report: numbers, classes, sizes."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.metrics.definitions import DETECTION_KINDS, PANOPTIC
from jaxseg.percent import MISSING, percent
from jaxseg.percent import interval as interval_text
from jaxseg.reporting.chance import OVER_IMAGES
from jaxseg.reporting.detection_numbers import (
    definitions,
    headline,
    main_number,
    metrics,
    named,
    of_proposals,
)
from jaxseg.reporting.run import Run

SIZES = {"small": "s", "medium": "m", "large": "l"}  # as in APs, ARm and ARl@100


def tiles(run: Run) -> list[tuple[str, str]]:
    """The four headline numbers, in percent, as (value, label)."""
    found = metrics(run)
    if of_proposals(found):
        names = ("AR@1000", "AR@100")
        chosen = [(kind, name) for kind in ("segm", "bbox") if kind in found for name in names]
    elif "segm" in found:
        chosen = [(kind, name) for kind in ("segm", "bbox") for name in ("AP", "AP50")]
    else:
        chosen = [("bbox", name) for name in ("AP", "AP50", "AP75", "AR100")]
    return [(percent(found.get(kind, {}).get(name)), named(kind, name)) for kind, name in chosen]


def facts(run: Run) -> list[tuple[str, str]]:
    """Counts of the main evaluation, as (label, text)."""
    if not run.detections:
        return []
    record = run.detections[0].record
    counts = record.get("counts") or {}
    words = {"objects": "objects", "detections": "detections"}
    if record.get("proposals"):
        words["detections"] = "proposals"
    found = [(word, f"{counts[name]:,}") for name, word in words.items() if name in counts]
    if "score" in record:
        found.append(("score with the highest F1, %", percent(record["score"], 1)))
    return found


def over_images(values: Mapping[str, Any], name: str = "AP") -> str:
    """The interval of a number over images in percent; "" if none is stored."""
    return interval_text(values.get(f"{name}_interval"))


def numbers(loaded: Sequence[Run], *, ranked: bool) -> list[dict[str, Any]]:
    """COCO's numbers: one table with boxes and masks of one run, or one per kind of several runs.

    Returns:
      "title", "heads" and "rows": (name, cells as (text, interval, whether it is the best),
      definition).
    """
    every = [metrics(run) for run in loaded]
    kinds = [kind for kind in DETECTION_KINDS if any(kind in found for found in every)]
    shown = definitions(every)
    if len(loaded) == 1:
        columns = [every[0][kind] for kind in kinds]
        heads = [DETECTION_KINDS[kind] for kind in kinds]
        return [_table("", heads, columns, shown, ranked=False)]
    names = [run.name for run in loaded]
    return [
        _table(
            DETECTION_KINDS[kind].capitalize(),
            names,
            [found.get(kind, {}) for found in every],
            shown,
            ranked=ranked,
        )
        for kind in kinds
    ]


def panoptic(run: Run) -> dict[str, Any]:
    """PQ by name, such as "PQ things": of the main evaluation, else of the last in training.

    Also its intervals, "PQ things_interval", where the record has them.
    """
    if run.detections:
        found = run.detections[0].record.get("panoptic") or {}
        intervals = found.get("intervals") or {}
        return {
            **(found.get("metrics") or {}),
            **{f"{name}_interval": interval for name, interval in intervals.items()},
        }
    line = run.tests[-1] if run.tests else {}
    return {name: line[name] for name in PANOPTIC if name in line}


def panoptic_numbers(loaded: Sequence[Run], *, ranked: bool) -> dict[str, Any] | None:
    """The table of PQ, SQ and RQ with a column for each run, as of `numbers`; None without any."""
    every = [panoptic(run) for run in loaded]
    there = {
        name: definition
        for name, definition in PANOPTIC.items()
        if any(name in found for found in every)
    }
    if not there:
        return None
    names = [run.name for run in loaded]
    return _table("", names, every, there, ranked=ranked and len(loaded) > 1)


def segments(run: Run) -> dict[str, Any] | None:
    """PQ of each class of things and stuff, as of `classes`; None where stuff is not judged."""
    if not run.detections or "PQ stuff" not in panoptic(run):
        return None
    record = run.detections[0].record
    objects = record.get("objects") or {}
    rows = [
        {
            "name": name,
            "color": "",
            "objects": objects.get(name, {}).get("all", MISSING),
            "ap": of.get("PQ"),
            "cells": [percent(of.get(number), 1) for number in ("PQ", "SQ", "RQ")],
        }
        for name, of in record["panoptic"]["categories"].items()
    ]
    rows.sort(key=lambda row: (row["ap"] is None, -(row["ap"] or 0)))
    return {"heads": ["PQ", "SQ", "RQ"], "rows": rows}


def _table(
    title: str,
    heads: Sequence[str],
    columns: Sequence[Mapping[str, Any]],
    definitions: Mapping[str, str],
    *,
    ranked: bool,
) -> dict[str, Any]:
    rows = []
    for name, definition in definitions.items():
        values = [column.get(name) for column in columns]
        best = best_of(values) if ranked else None
        cells = [
            (percent(value), over_images(column, name), value is not None and value == best)
            for value, column in zip(values, columns, strict=True)
        ]
        rows.append((name, cells, definition))
    return {"title": title, "heads": list(heads), "rows": rows}


def columns(loaded: Sequence[Run], *, ranked: bool) -> list[dict[str, Any]]:
    """The columns of the table of runs: "head", and "cells" as (text, whether it is the best)."""
    every = [metrics(run) for run in loaded]
    shown = definitions(every)
    found = []
    for kind in DETECTION_KINDS:
        if not any(kind in of for of in every):
            continue
        for name in (name for name in ("AP", "AP50", "AR@100", "AR@1000") if name in shown):
            values = [of.get(kind, {}).get(name) for of in every]
            best = best_of(values) if ranked else None
            cells = [(percent(value), value is not None and value == best) for value in values]
            found.append({"head": named(kind, name), "cells": cells})
            if name == "AP":
                over = [(over_images(of.get(kind, {})) or MISSING, False) for of in every]
                found.append({"head": OVER_IMAGES, "cells": over})
    return found


def best_of(values: Sequence[float | None]) -> float | None:
    """The best of the values, if several runs have one and they differ."""
    there = [value for value in values if value is not None]
    return max(there) if len(set(there)) > 1 else None


def _of_classes(run: Run) -> dict[str, dict[str, Any]]:
    """Kind -> class -> numbers, of the main evaluation or the last one during training."""
    if run.detections:
        return run.detections[0].record.get("categories") or {}
    return (run.tests[-1].get("classes") or {}) if run.tests else {}


def classes(run: Run) -> dict[str, Any] | None:
    """AP of each class, the best first; None if there is none.

    Returns:
      "heads" and "rows", each with "name", "color", "objects", "ap" for the bar, and "cells".
    """
    found = _of_classes(run)
    kinds = [kind for kind in DETECTION_KINDS if kind in found]
    if not kinds:
        return None
    record = run.detections[0].record if run.detections else {}
    names = record.get("names") or list(found[kinds[0]])
    colours = record.get("palette") or [(136, 136, 136)] * len(names)
    objects, first = record.get("objects") or {}, headline(found)
    shown = ("AP", "AP50")
    rows = [
        {
            "name": name,
            "color": "#{:02x}{:02x}{:02x}".format(*colour),
            "objects": objects.get(name, {}).get("all", MISSING),
            "ap": found[first].get(name, {}).get("AP"),
            "cells": [percent(found[k].get(name, {}).get(of), 1) for k in kinds for of in shown],
        }
        for name, colour in zip(names, colours, strict=True)
    ]
    rows.sort(key=lambda row: (row["ap"] is None, -(row["ap"] or 0)))
    heads = [named(kind, of) for kind in kinds for of in shown]
    return {"heads": heads, "rows": rows, "bar": named(first, "AP")}


def sizes(run: Run) -> dict[str, Any] | None:
    """AP and AR by the size of the objects; None without an evaluation."""
    found = metrics(run)
    kinds = [kind for kind in DETECTION_KINDS if kind in found]
    if not run.detections or not kinds:
        return None
    counts = (run.detections[0].record.get("objects") or {}).values()
    first = "AR{}@100" if of_proposals(found) else "AP{}"
    second = "AR{}@1000" if of_proposals(found) else "AR{}"
    rows = []
    for size, short in SIZES.items():
        pair = [first.format(short), second.format(short)]
        rows.append(
            {
                "name": size,
                "color": "",
                "objects": sum(of.get(size, 0) for of in counts),
                "cells": [percent(found[kind].get(of), 1) for kind in kinds for of in pair],
                "ap": found[headline(found)].get(pair[0]),
            }
        )
    names = [first.format(""), second.format("")]
    heads = [named(kind, of) for kind in kinds for of in names]
    return {"heads": heads, "rows": rows, "bar": named(headline(found), names[0])}


def side_by_side(loaded: Sequence[Run], *, ranked: bool) -> list[dict[str, Any]]:
    """AP of each class in each run, of masks where a run has them."""
    tables = [found[headline(found)] if (found := _of_classes(run)) else {} for run in loaded]
    names = list(dict.fromkeys(name for table in tables for name in table))
    rows = []
    for name in names:
        values = [table.get(name, {}).get("AP") for table in tables]
        best = best_of(values) if ranked else None
        rows.append({"name": name, "aps": values, "best": best})
    return rows


def protocols(run: Run) -> list[dict[str, Any]]:
    """One row per evaluation of the run, the main one first."""
    rows = []
    for evaluation in run.detections:
        record = evaluation.record
        number = main_number(record["metrics"].get(headline(record["metrics"]), {}))
        seconds, images = record.get("seconds") or 0, len(record["images"])
        rows.append(
            {
                "tag": evaluation.tag,
                "of": record.get("weights") or f"step {record.get('step')}",
                "images": images,
                "heads": [named(kind, number) for kind in DETECTION_KINDS],
                "cells": [
                    (percent(of.get(number)), over_images(of) or MISSING)
                    for of in (record["metrics"].get(kind, {}) for kind in DETECTION_KINDS)
                ],
                "rate": f"{images / seconds:.3g}" if seconds else MISSING,
            }
        )
    return rows
