"""Text tables: evaluations for the terminal, and Markdown."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tabulate

from jaxseg.errors import counted
from jaxseg.metrics import summarize
from jaxseg.metrics.definitions import (
    DETECTION,
    DETECTION_KINDS,
    LEVEL,
    MEANS,
    PANOPTIC_GROUPS,
    PROPOSALS,
    same_as_miou,
)
from jaxseg.percent import interval as interval_text
from jaxseg.percent import percent
from jaxseg.workdir import escape


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str]) -> str:
    """The table.

    Args:
      heads: of the columns.
      rows: cells in Markdown; names must already be escaped (`escape.markdown`).
      left: heads of the text columns, which are left-aligned; numbers are right-aligned.
    """
    align = ["left" if head in left else "right" for head in heads]
    return tabulate.tabulate(
        rows, heads, tablefmt="pipe", colalign=align, disable_numparse=True, missingval=""
    )


def evaluation(
    confusion: np.ndarray, names: Sequence[str], interval: Sequence[float] | None = None
) -> str:
    """One aligned line per class, with its share of the true pixels; then the means.

    All numbers are percentages; "-" marks undefined ones.

    Args:
      confusion: integers [K, K].
      names: of the classes.
      interval: of mIoU over images, as (low, high).
    """
    summary = summarize(confusion)
    share = confusion.sum(axis=1) / max(confusion.sum(), 1)
    names = [escape.plain(name) for name in names]
    columns = (summary.iou, summary.dice, summary.precision, summary.recall, share)
    rows = [
        [name, *map(percent, values)]
        for name, *values in zip(names, *(column.tolist() for column in columns), strict=True)
    ]
    heads = ["class", "IoU", "Dice", "precision", "recall", "share"]
    means = {name: getattr(summary, name) for name in MEANS}
    same = same_as_miou(means)
    over = f"{interval_text(interval)} ({percent(LEVEL, 0)} %, over images)" if interval else ""
    texts = [
        [MEANS[name][0], percent(means[name]), over if name == "miou" else ""]
        for name in MEANS
        if name not in same
    ]
    lines = [aligned(rows, heads), "", aligned(texts)]
    if same:
        lines += ["", f"equal to mIoU here: {'; '.join(MEANS[name][0] for name in same)}"]
    if summary.absent:
        lines += ["", f"absent from the truth: {', '.join(names[k] for k in summary.absent)}"]
    return "\n".join(lines)


def detections(record: Mapping[str, Any]) -> str:
    """COCO's numbers of boxes and masks, with the intervals of AP; one line per class; and PQ.

    All numbers are percentages.

    Args:
      record: of `instance_record.to_json`, also as read from its file.
    """
    metrics = record["metrics"]
    kinds = [kind for kind in DETECTION_KINDS if kind in metrics]
    over = f"[{percent(LEVEL, 0)} % over images]"
    heads = ["", *(head for kind in kinds for head in (DETECTION_KINDS[kind], over))]
    rows = []
    for name in DETECTION:
        cells = [
            (percent(metrics[kind].get(name)), interval_text(metrics[kind].get(f"{name}_interval")))
            for kind in kinds
        ]
        rows.append([name, *(cell for pair in cells for cell in pair)])
    shown = ("AP", "AP50", "AP75")
    class_heads = ["class", "objects"]
    class_heads += [f"{DETECTION_KINDS[kind]} {name}" for kind in kinds for name in shown]
    classes = [
        [
            escape.plain(name),
            str(record["objects"][name]["all"]),
            *(percent(record["categories"][kind][name][of]) for kind in kinds for of in shown),
        ]
        for name in record["names"]
    ]
    missing = [escape.plain(name) for name in record["names"] if not record["objects"][name]["all"]]
    lines = [aligned(rows, heads), "", aligned(classes, class_heads)]
    if found := record.get("panoptic"):
        lines += ["", _panoptic(found)]
    if missing:
        lines += ["", f"absent from the truth: {', '.join(missing)}"]
    return "\n".join(lines)


def proposals(record: Mapping[str, Any]) -> str:
    """COCO's recalls of proposals of boxes and masks, in percent.

    Args:
      record: of `instance_record.to_json`, also as read from its file.
    """
    metrics, counts = record["metrics"], record["counts"]
    kinds = [kind for kind in DETECTION_KINDS if kind in metrics]
    rows = [[name, *(percent(metrics[kind].get(name)) for kind in kinds)] for name in PROPOSALS]
    about = (
        f"{counted(counts['detections'], 'proposal')} for {counted(counts['objects'], 'object')}"
    )
    return "\n\n".join([aligned(rows, ["", *(DETECTION_KINDS[kind] for kind in kinds)]), about])


def _panoptic(found: Mapping[str, Any]) -> str:
    """PQ, SQ and RQ of groups of classes, PQ with its interval; with stuff, of each class too."""
    metrics, intervals = found["metrics"], found.get("intervals", {})
    rows = []
    for group in PANOPTIC_GROUPS:
        names = [f"{name} {group}".strip() for name in ("PQ", "SQ", "RQ")]
        if names[0] in metrics:
            pq, *factors = (percent(metrics.get(name)) for name in names)
            over = interval_text(intervals.get(names[0]))
            rows.append([group or "things and stuff", pq, over, *factors])
    if "PQ stuff" in metrics:
        for category, of in found["categories"].items():
            pq, *factors = (percent(of[name]) for name in ("PQ", "SQ", "RQ"))
            rows.append([escape.plain(category), pq, "", *factors])
    return aligned(rows, ["segments", "PQ", f"[{percent(LEVEL, 0)} % over images]", "SQ", "RQ"])


def aligned(rows: Sequence[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """A text table: the first column flush left, the numbers right.

    Args:
      rows: cells.
      heads: of the columns; without them there is no rule, and the last column is flush left too.
    """
    align = ["left", *["right"] * (len(rows[0]) - 1)]
    if not heads:
        align[-1] = "left"
    return tabulate.tabulate(
        rows, heads, "simple" if heads else "plain", colalign=align, disable_numparse=True
    )
