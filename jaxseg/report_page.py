"""The HTML page of a report: what report.html is filled with."""

import base64
import datetime
import io
import pathlib
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from jaxseg import report_plots, runs
from jaxseg.metrics import summarize
from jaxseg.runs import Evaluation, Picture, Run

_PICTURE_WIDTH = 1280  # pixels; wider pictures are shrunk to it
_PNG_BYTES = 150_000  # a larger picture is stored as WebP instead
_WEBP_QUALITY = 88
_MATRIX_CLASSES = 40  # with more, a matrix cannot be read: the largest confusions stand for it
_CONFUSIONS = 8  # listed


def percent(value: Any, digits: int = 2) -> str:
    """0.7231 -> "72.31"; "–" for what is not there or not defined."""
    return f"{100 * value:.{digits}f}" if isinstance(value, int | float) else "–"


def duration(seconds: float | None) -> str:
    """3725 -> "1 h 2 min"."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def shown(value: Any) -> str:
    """A config value as text."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(shown, value)) if value else "none"
    if isinstance(value, str):
        return value or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _picture(picture: Picture) -> dict[str, str]:
    """The picture as a data URI, so that the page stands alone."""
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
        "miou": percent(picture.miou, 1),
        "size": f"{image.width}x{image.height}",
    }


def _pictures(evaluation: Evaluation) -> list[dict[str, Any]]:
    groups = []
    for kind, title in (("worst", "Worst images"), ("best", "Best images")):
        found = []
        for picture in evaluation.pictures:
            if picture.kind == kind:
                try:
                    found.append(_picture(picture))
                except OSError:
                    continue  # a picture that was cut short; the numbers stand without it
        if found:
            groups.append({"title": title, "pictures": found})
    return groups


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a class, the best IoU first, absent ones last."""
    record = evaluation.record
    counts = np.asarray(record["confusion"], np.int64)
    summary = summarize(counts)
    share = counts.sum(axis=1) / max(counts.sum(), 1)
    palette = record.get("palette") or [[136, 136, 136]] * len(record["names"])
    rows = [
        {
            "name": name,
            "color": "#{:02x}{:02x}{:02x}".format(*palette[k]),
            "iou": None if np.isnan(summary.iou[k]) else float(summary.iou[k]),
            "precision": percent(_defined(summary.precision[k]), 1),
            "recall": percent(_defined(summary.recall[k]), 1),
            "share": percent(share[k], 2),
            "absent": k in summary.absent,
        }
        for k, name in enumerate(record["names"])
    ]
    return sorted(rows, key=lambda row: (row["iou"] is None, -(row["iou"] or 0)))


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _matrix(evaluation: Evaluation) -> dict[str, Any]:
    """The row-normalised confusion matrix, and its largest entries off the diagonal."""
    names = evaluation.record["names"]
    counts = np.asarray(evaluation.record["confusion"], np.float64)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    off = rows - np.diag(np.diagonal(rows))
    order = np.argsort(-off, axis=None)[:_CONFUSIONS]
    largest = [
        {"truth": names[i], "prediction": names[j], "share": percent(off[i, j], 1)}
        for i, j in zip(*np.unravel_index(order, off.shape), strict=True)
        if off[i, j] > 0
    ]
    return {
        "names": names,
        "rows": rows.tolist() if len(names) <= _MATRIX_CLASSES else None,
        "largest": largest,
    }


def _tiles(run: Run) -> list[dict[str, str]]:
    """The headline numbers of a run."""
    metrics = run.metrics
    tiles = [
        {"value": percent(metrics.get("miou")), "label": "mIoU", "unit": "%"},
        {"value": percent(metrics.get("pixel_accuracy")), "label": "pixel accuracy", "unit": "%"},
        {"value": percent(metrics.get("mean_accuracy")), "label": "mean accuracy", "unit": "%"},
        {"value": percent(metrics.get("fwiou")), "label": "frequency-weighted IoU", "unit": "%"},
    ]
    if run.train:
        tiles.append({"value": f"{run.steps:,}", "label": "training steps", "unit": ""})
        tiles.append({"value": duration(run.seconds), "label": "training and evaluation"})
    if run.images_per_second:
        value = f"{run.images_per_second:.3g}"
        tiles.append({"value": value, "label": "images a second in training", "unit": ""})
    return tiles


def _protocols(run: Run) -> list[dict[str, Any]]:
    rows = []
    for evaluation in run.evaluations:
        record = evaluation.record
        seconds = record.get("seconds") or 0
        rate = len(record["images"]) / seconds if seconds else None
        rows.append(
            {
                "tag": evaluation.tag,
                "of": record.get("weights") or f"step {record.get('step')}",
                "metrics": record["metrics"],
                "images": len(record["images"]),
                "rate": f"{rate:.3g}" if rate else "–",
            }
        )
    return rows


def _reproduction(run: Run) -> str:
    """The commands that make the run again."""
    environment = run.environment
    if not environment.get("command") and run.evaluations:
        environment = run.evaluations[0].record.get("environment", {})
    command, commit = environment.get("command", ""), environment.get("git", "")
    lines = []
    if commit:
        clean = commit.removesuffix("-dirty")
        dirty = "  # and changes that were not committed" if clean != commit else ""
        lines.append(f"git checkout {clean}{dirty}")
    return "\n".join([*lines, *([command] if command else [])])


def _environment(run: Run) -> list[tuple[str, str]]:
    """Where the run took place, as (label, text)."""
    environment = run.environment
    if not environment and run.evaluations:
        environment = run.evaluations[0].record.get("environment", {})
    devices = environment.get("devices") or []
    versions = environment.get("versions") or {}
    starts = environment.get("starts") or []
    kinds = [f"{devices.count(kind)} x {kind}" for kind in dict.fromkeys(devices)]
    rows = [
        ("code", environment.get("git") or ""),
        ("started", environment.get("started") or ""),
        ("starts", f"{len(starts)} (resumed {len(starts) - 1} times)" if len(starts) > 1 else ""),
        ("host", environment.get("host") or ""),
        ("devices", ", ".join(kinds)),
        ("processes", str(environment.get("processes") or "")),
        ("Python", environment.get("python") or ""),
        *((name, version) for name, version in versions.items()),
    ]
    changes = [line for start in starts for line in start.get("changed") or []]
    rows += [("changed on restart", line) for line in changes]
    return [(label, text) for label, text in rows if text]


def _details(run: Run, index: int) -> dict[str, Any]:
    main = run.evaluations[0] if run.evaluations else None
    return {
        "name": run.name,
        "series": index % 6,
        "folder": str(run.folder),
        "model": run.config.get("model.class", "model not known"),
        "measured_on": run.measured_on,
        "metrics": run.metrics,
        "expected": run.expected,
        "notes": run.notes,
        "tiles": _tiles(run),
        "protocols": _protocols(run),
        "classes": _classes(main) if main else [],
        "matrix": _matrix(main) if main else None,
        "pictures": _pictures(main) if main else [],
        "config": [(path, shown(value)) for path, value in run.config.items()],
        "environment": _environment(run),
        "reproduction": _reproduction(run),
        "rate": f"{run.images_per_second:.3g}" if run.images_per_second else "–",
    }


def _plots(loaded: Sequence[Run]) -> list[dict[str, str]]:
    def of(kind: str, key: str) -> list[report_plots.Series]:
        lines = [run.train if kind == "train" else run.tests for run in loaded]
        return [([x["step"] for x in some], [x.get(key) for x in some]) for some in lines]

    images = [
        [
            i["miou"]
            for e in run.evaluations[:1]
            for i in e.record["images"]
            if i["miou"] is not None
        ]
        for run in loaded
    ]
    plots = [
        ("Training loss", report_plots.curves("loss", of("train", "loss"))),
        (
            "mIoU while training, %",
            report_plots.curves("miou", of("eval", "miou"), percent=True, points=True),
        ),
        (
            "Learning rate",
            report_plots.curves("rate", of("train", "learning_rate"), zero=True),
        ),
        (
            "Images a second",
            report_plots.curves("speed", of("train", "images_per_second"), zero=True),
        ),
        ("Images by their mIoU, %", report_plots.histogram("images", images)),
    ]
    return [{"title": title, "svg": svg} for title, svg in plots if svg]


def _side_by_side(details: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """IoU of each class in each run; classes in the order of the first run that has them."""
    tables = [{row["name"]: row for row in run["classes"]} for run in details]
    names = list(dict.fromkeys(name for table in tables for name in table))
    return [
        {
            "name": name,
            "color": next(table[name]["color"] for table in tables if name in table),
            "ious": [table.get(name, {}).get("iou") for table in tables],
        }
        for name in names
    ]


def html(loaded: Sequence[Run]) -> str:
    """The page for one run, or for several side by side."""
    folder = pathlib.Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "shown": shown}
    details = [_details(run, i) for i, run in enumerate(loaded)]
    differing = [
        (path, [shown(value) for value in values]) for path, values in runs.differences(loaded)
    ]
    best = max((d["metrics"].get("miou") or 0 for d in details), default=0)
    return environment.get_template("report.html").render(
        runs=details,
        best=best,
        plots=_plots(loaded),
        differences=differing,
        classes=_side_by_side(details) if len(details) > 1 else [],
        written=datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
    )
