"""An evaluation as shown on the page of a report: classes, confusion, protocols, pictures."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from jaxseg.metrics import summarize
from jaxseg.metrics.definitions import MEANS
from jaxseg.percent import MISSING, percent
from jaxseg.reporting.chance import between_protocols, over_images
from jaxseg.reporting.run import Picture, Run, StoredDetection, StoredEvaluation

_PICTURE_WIDTH = 1280  # pixels; wider pictures are reduced to this width
_PNG_BYTES = 150_000  # a larger picture is stored as WebP instead
_WEBP_QUALITY = 88
_MATRIX_CLASSES = 40  # with more, only the largest confusions are shown
_CONFUSIONS = 8  # listed
_NO_COLOUR = (136, 136, 136)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _best_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["iou"] is None, -(row["iou"] or 0)))


def classes(evaluation: StoredEvaluation) -> list[dict[str, Any]]:
    """One row per class, the best IoU first, undefined ones last."""
    record = evaluation.record
    counts = np.asarray(record["confusion"], np.int64)
    summary = summarize(counts)
    share = counts.sum(axis=1) / max(counts.sum(), 1)
    palette = record.get("palette") or [_NO_COLOUR] * len(record["names"])
    return _best_first(
        [
            {
                "name": name,
                "color": "#{:02x}{:02x}{:02x}".format(*palette[k]),
                "iou": _defined(summary.iou[k]),
                "dice": percent(_defined(summary.dice[k]), 1),
                "precision": percent(_defined(summary.precision[k]), 1),
                "recall": percent(_defined(summary.recall[k]), 1),
                "share": percent(share[k], 2),
                "absent": k in summary.absent,
            }
            for k, name in enumerate(record["names"])
        ]
    )


def means(evaluation: StoredEvaluation) -> dict[str, float | None]:
    """All numbers of the whole confusion matrix, in the order of `results.MEANS`."""
    summary = summarize(np.asarray(evaluation.record["confusion"], np.int64))
    return {name: _defined(getattr(summary, name)) for name in MEANS}


def classes_in_training(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Like `classes`, for an evaluation during training, whose log line has only IoU."""
    absent = line.get("absent") or []
    ious = line.get("iou")
    return _best_first(
        [
            {"name": name, "color": "#888888", "iou": iou, "absent": name in absent}
            for name, iou in (ious.items() if isinstance(ious, Mapping) else ())
        ]
    )


def matrix(evaluation: StoredEvaluation) -> dict[str, Any]:
    """The row-normalised confusion matrix, and its largest entries off the diagonal.

    Returns:
      "names"; "rows" [K][K], None if there are too many classes; "largest": pairs of truth and
      prediction with their shares of the true pixels of the class and of all wrong pixels, the
      largest first.
    """
    names = evaluation.record["names"]
    counts = np.asarray(evaluation.record["confusion"], np.float64)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = counts - np.diag(np.diagonal(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    largest = [
        {
            "truth": names[i],
            "prediction": names[j],
            "share": percent(rows[i, j], 1),
            "wrong": percent(wrong[i, j] / wrong.sum(), 1),
        }
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j] > 0
    ]
    return {
        "names": names,
        "rows": rows.tolist() if len(names) <= _MATRIX_CLASSES else None,
        "largest": largest,
    }


def protocols(run: Run) -> list[dict[str, Any]]:
    """One row per evaluation of the run, the main one first.

    "same" names an evaluation above with the same counts, so that they are not repeated.
    """
    rows: list[dict[str, Any]] = []
    seen: list[tuple[Any, str]] = []
    against_first = {difference.second: difference for difference in between_protocols(run)}
    for evaluation in run.evaluations:
        record = evaluation.record
        counts = record["confusion"], record["images"]
        same = next((tag for other, tag in seen if other == counts), "")
        seen.append((counts, evaluation.tag))
        seconds = record.get("seconds") or 0
        rate = len(record["images"]) / seconds if seconds else None
        rows.append(
            {
                "tag": evaluation.tag,
                "same": same,
                "of": record.get("weights") or f"step {record.get('step')}",
                "metrics": record["metrics"],
                "interval": over_images(record["metrics"]) or MISSING,
                "difference": against_first.get(evaluation.tag),
                "images": len(record["images"]),
                "rate": f"{rate:.3g}" if rate else MISSING,
            }
        )
    return rows


def _picture(picture: Picture) -> dict[str, Any]:
    """The picture as a data URI, so that the page is self-contained."""
    with Image.open(picture.path) as opened:
        image = opened.convert("RGB")
    if image.width > _PICTURE_WIDTH:
        height = round(image.height * _PICTURE_WIDTH / image.width)
        image = image.resize((_PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    buffer, kind = io.BytesIO(), "png"
    image.save(buffer, "PNG", optimize=True)
    if buffer.tell() > _PNG_BYTES:
        buffer, kind = io.BytesIO(), "webp"
        image.save(buffer, "WEBP", quality=_WEBP_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {
        "uri": f"data:image/{kind};base64,{data}",
        "name": picture.name,
        "value": percent(picture.value, 1),
        "width": image.width,
        "height": image.height,
    }


def pictures(evaluation: StoredEvaluation | StoredDetection) -> list[dict[str, Any]]:
    """The worst and the best images as {"title", "pictures"}; unreadable ones are left out."""
    groups = []
    for kind, title in (("worst", "Worst images"), ("best", "Best images")):
        found = []
        for picture in evaluation.pictures:
            if picture.kind == kind:
                try:
                    found.append(_picture(picture))
                except (OSError, SyntaxError):  # truncated; Pillow raises both
                    continue
        if found:
            groups.append({"title": title, "pictures": found})
    return groups
