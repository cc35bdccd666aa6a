"""The HTML page of a report: what report.html is filled with."""

import datetime
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jinja2

from jaxseg.evaluation.record import MEANS, PROBABILITIES
from jaxseg.reporting import boundary, chance, evaluation, run_folder
from jaxseg.reporting import plots as report_plots
from jaxseg.reporting.evaluation import percent
from jaxseg.reporting.run_folder import Run


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


def _tiles(run: Run) -> list[tuple[str, str]]:
    """The headline numbers of a run, in percent, as (value, label)."""
    names = {
        "miou": "mIoU",
        "pixel_accuracy": "pixel accuracy",
        "mean_accuracy": "mean accuracy",
        "fwiou": "frequency-weighted IoU",
    }
    return [(percent(run.metrics.get(name)), label) for name, label in names.items()]


def _facts(run: Run) -> list[tuple[str, str]]:
    """What else is known at a glance, as (label, text)."""
    images = len(run.evaluations[0].record["images"]) if run.evaluations else 0
    facts = [
        (f"mIoU, {chance.OVER_IMAGES}", chance.over_images(run.metrics)),
        ("trainings", chance.trainings(run)),
        ("training steps", f"{run.steps:,}" if run.train else ""),
        ("from first to last log line", duration(run.seconds) if run.train else ""),
        ("images a second in training", rate(run) if run.train else ""),
        ("batch", shown(run.config.get("data.batch_size")) if run.train else ""),
        ("devices", _devices(_environment_of(run))),
        ("images evaluated", f"{images:,}" if images else ""),
    ]
    facts += [
        (f"{label}, %", percent(run.metrics[name]))
        for name, (label, _) in PROBABILITIES.items()
        if name in run.metrics
    ]
    return [(label, text) for label, text in facts if text]


def rate(run: Run) -> str:
    """Images per second of training as text."""
    return f"{run.images_per_second:.3g}" if run.images_per_second else "–"


def _reproduction(run: Run) -> str:
    """The commands that make the run again."""
    environment = _environment_of(run)
    command, commit = environment.get("command", ""), environment.get("git", "")
    lines = []
    if commit:
        clean = commit.removesuffix("-dirty")
        dirty = "  # and changes that were not committed" if clean != commit else ""
        lines.append(f"git checkout {clean}{dirty}")
    return "\n".join([*lines, *([command] if command else [])])


def _environment_of(run: Run) -> dict[str, Any]:
    """environment.json, or what the main evaluation says of where it took place."""
    if not run.environment.get("command") and run.evaluations:
        return run.evaluations[0].record.get("environment") or {}
    return run.environment


def _devices(environment: dict[str, Any]) -> str:
    """["cpu", "cpu"] -> "2 x cpu"."""
    devices = environment.get("devices") or []
    return ", ".join(f"{devices.count(kind)} x {kind}" for kind in dict.fromkeys(devices))


def _environment(run: Run) -> list[tuple[str, str]]:
    """Where the run took place, as (label, text)."""
    environment = _environment_of(run)
    versions = environment.get("versions") or {}
    starts = environment.get("starts") or []
    rows = [
        ("code", environment.get("git") or ""),
        ("started", environment.get("started") or ""),
        ("starts", f"{len(starts)} (resumed {len(starts) - 1} times)" if len(starts) > 1 else ""),
        ("host", environment.get("host") or ""),
        ("devices", _devices(environment)),
        ("processes", str(environment.get("processes") or "")),
        ("Python", environment.get("python") or ""),
        ("packages", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    changes = [line for start in starts for line in start.get("changed") or []]
    rows += [("changed on restart", line) for line in changes]
    return [(label, text) for label, text in rows if text]


def _config(run: Run) -> list[dict[str, Any]]:
    """The fields by part of the experiment: {"title", "fields": (path within it, text)}."""
    parts: dict[str, list[tuple[str, str]]] = {}
    for path, value in run.config.items():
        names = path.split(".")
        depth = 2 if names[:2] == ["model", "backbone"] else 1
        title = ".".join(names[:depth])
        parts.setdefault(title, []).append((".".join(names[depth:]) or title, shown(value)))
    return [{"title": title, "fields": fields} for title, fields in parts.items()]


def _classes(run: Run) -> list[dict[str, Any]]:
    if run.evaluations:
        return evaluation.classes(run.evaluations[0])
    return evaluation.classes_in_training(run.tests[-1]) if run.tests else []


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
        "facts": _facts(run),
        "interval": chance.over_images(run.metrics) or "–",
        "protocols": evaluation.protocols(run),
        "boundary": boundary.section(run),
        "classes": _classes(run),
        "matrix": evaluation.matrix(main) if main else None,
        "pictures": evaluation.pictures(main) if main else [],
        "config": _config(run),
        "environment": _environment(run),
        "reproduction": _reproduction(run),
        "steps": f"{run.steps:,}" if run.train else "–",
        "duration": duration(run.seconds if run.train else None),
        "rate": rate(run),
    }


def _plots(loaded: Sequence[Run]) -> list[dict[str, str]]:
    def of(kind: str, key: str) -> list[report_plots.Series]:
        lines = [run.train if kind == "train" else run.tests for run in loaded]
        return [([x["step"] for x in some], [x.get(key) for x in some]) for some in lines]

    first = [run.evaluations[0].record["images"] if run.evaluations else [] for run in loaded]
    images = [[i["miou"] for i in found if i["miou"] is not None] for found in first]
    speed, rates = of("train", "images_per_second"), of("train", "learning_rate")
    trimap, around = boundary.lines(loaded)
    plots = {
        "Training loss": report_plots.curves(of("train", "loss")),
        "mIoU while training, %": report_plots.curves(of("eval", "miou"), percent=True),
        "Images by their mIoU": report_plots.histogram(images),
        "mIoU near boundaries, %": report_plots.trimap(trimap, around),
        "Gradient norm before clipping": report_plots.curves(of("train", "gradient_norm")),
        "Learning rate": report_plots.curves(rates, zero=True, exact=True),
        "Images a second in training": report_plots.curves(speed, zero=True),
    }
    return [
        {"title": title, "svg": report_plots.svg(figure, title, f"plot{i}")}
        for i, (title, figure) in enumerate(plots.items())
        if figure
    ]


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


def _means(loaded: Sequence[Run]) -> list[tuple[str, list[float | None], str]]:
    """(label, value of each run's main evaluation, definition) of every number but per class."""
    found = [evaluation.means(run.evaluations[0]) if run.evaluations else {} for run in loaded]
    if not any(found):
        return []
    return [
        (label, [values.get(name) for values in found], definition)
        for name, (label, definition) in MEANS.items()
    ]


def _over_seeds(loaded: Sequence[Run]) -> list[str]:
    """Mean and interval over seeds of each run's main evaluation; nothing where no run has them."""
    texts = chance.over_seeds(loaded)
    found = [
        texts.get((run.folder, run.evaluations[0].tag), "") if run.evaluations else ""
        for run in loaded
    ]
    return [text or "–" for text in found] if any(found) else []


def _best(details: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The best of each metric that several runs have and do not share."""
    best = {}
    for name in ("miou", "pixel_accuracy", "mean_accuracy", "fwiou"):
        found = [run["metrics"].get(name) for run in details]
        values = [value for value in found if value is not None]
        if len(set(values)) > 1:
            best[name] = max(values)
    return best


@functools.cache  # it takes longer to compile than to fill
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent}
    return environment.get_template("report.html")


def html(loaded: Sequence[Run]) -> str:
    """The page for one run, or for several side by side."""
    details = [_details(run, i) for i, run in enumerate(loaded)]
    differing = [
        (path, [shown(value) for value in values])
        for path, values in run_folder.differing_fields(loaded)
    ]
    differences, without = chance.differences(loaded)
    return _template().render(
        runs=details,
        over_images=chance.OVER_IMAGES,
        over_seeds=_over_seeds(loaded),
        seeds_head=chance.OVER_SEEDS,
        compared=differences,
        without_counts=without,
        means=_means(loaded),
        best=_best(details),
        plots=_plots(loaded),
        differences=differing,
        classes=_side_by_side(details) if len(details) > 1 else [],
        written=datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
    )
