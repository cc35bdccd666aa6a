"""Condenses a run folder into experiments/results/NAME.json, small enough to commit.

    python -m experiments.readme_tables.collect NAME RUN_FOLDER

Keeps the command, commit, versions and devices; the number of runs (one) and the seed; the length
and speed of training; and for each evaluation the means, the interval of mIoU over images, the IoU
of each class and the boundary metrics. Omits pictures, images and confusion matrices.
"""

import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.readme_tables.page import RESULTS
from jaxseg import whole_file
from jaxseg.reporting import run_folder
from jaxseg.reporting.run import StoredEvaluation

_KEPT = ("command", "git", "versions", "devices", "processes", "python", "started")


def _without_paths(text: str) -> str:
    """Shortens absolute paths to their last part, since they mean nothing on another machine."""
    return re.sub(r"(?<![\w./-])(?:/|(?:\.\./)+)(?:[^\s/'\"=,]+/)*([^\s/'\"=,]+)", r"\1", text)


def kept_environment(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a run's environment that are meaningful on another machine."""
    kept = {key: values[key] for key in _KEPT if key in values}
    return kept | {"command": _without_paths(kept.get("command", ""))}


def _evaluation(evaluation: StoredEvaluation) -> dict[str, Any]:
    record = evaluation.record
    metrics = record["metrics"]
    kept = {key: value for key, value in metrics.items() if not isinstance(value, list | dict)}
    if metrics.get("miou_interval"):
        kept["miou_interval"] = metrics["miou_interval"]
    boundary = {"boundary": record["boundary"]} if record.get("boundary") else {}
    return {
        "split": record.get("split"),
        "weights": _without_paths(record.get("weights") or ""),
        "step": record.get("step"),
        "images": len(record["images"]),
        "seconds": record.get("seconds"),
        "metrics": kept,
        "iou": dict(zip(record["names"], metrics["iou"], strict=False))
        if isinstance(metrics.get("iou"), list)
        else metrics.get("iou"),
    } | boundary


def collect(folder: pathlib.Path | str) -> dict[str, Any]:
    """The record of one run folder.

    Raises:
      FileNotFoundError: the folder is not a run folder.
    """
    run = run_folder.load(folder)
    environment = run.environment
    if not environment and run.evaluations:
        environment = run.evaluations[0].record.get("environment", {})
    record: dict[str, Any] = {
        "data": run.config.get("data.name"),
        "model": run.config.get("model.class"),
        "runs": 1,
        "seed": run.config.get("train.seed") if run.train else None,
        "environment": kept_environment(environment),
    }
    if run.train:
        record["training"] = {
            "steps": run.steps,
            "batch_size": run.config.get("data.batch_size"),
            "seconds": run.seconds,
            "images_per_second": run.images_per_second,
            "starts": len(environment.get("starts", [])),
        }
    record["evaluations"] = {e.tag: _evaluation(e) for e in run.evaluations}
    return record


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    name, folder = arguments
    try:
        record = collect(folder)
    except OSError as error:
        print(f"jaxseg: {error}", file=sys.stderr)
        return 1
    path = RESULTS / f"{name}.json"
    whole_file.write_text(path, json.dumps(record, indent=1) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
