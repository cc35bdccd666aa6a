"""Decides whether runs were evaluated on the same images, so that they can be ranked."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.reporting.run import Run


def _of(run: Run, *, objects: bool) -> dict[str, Any]:
    """The data on which a run's headline numbers were measured; None for what is unknown."""
    if of := [*(run.detections if objects else run.evaluations)]:
        record = of[0].record
        return {
            "data": record.get("data") or run.config.get("data.name"),
            "split": record.get("split") or run.config.get("data.eval_split"),
            "classes": tuple(record["names"]),
            "images": tuple(image["name"] for image in record["images"]),
            "digest": record.get("data_digest") or run.data_digest or None,
        }
    classes = run.tests[-1].get("iou") or _judged(run.tests[-1]) if run.tests else None
    return {
        "data": run.config.get("data.name"),
        "split": run.config.get("data.eval_split"),
        "classes": tuple(classes) if classes else None,
        "images": None,
        "digest": run.data_digest or None,
    }


def _judged(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """The classes of a detector's evaluation in training."""
    return next(iter((line.get("classes") or {}).values()), {})


def difference(one: Run, two: Run, *, objects: bool = False) -> str:
    """How the data of two runs' headline numbers differs; "" if it is the same.

    Args:
      one: a run.
      two: another.
      objects: compare the evaluations of detectors.
    """
    first, second = _of(one, objects=objects), _of(two, objects=objects)
    for name, words in (
        ("data", "other data sets"),
        ("split", "other splits"),
        ("classes", "other classes"),
        ("images", "other images"),
        ("digest", "other images of the same names"),
    ):
        a, b = first[name], second[name]
        if a != b and None not in (a, b):
            return words
    same = [first[name] == second[name] is not None for name in ("images", "digest")]
    return "" if any(same) else "images that may not be the same"


def why_not(loaded: Sequence[Run], *, objects: bool = False) -> str:
    """Why the numbers of these runs are not ranked; "" if they are all on the same images.

    Args:
      loaded: the runs.
      objects: of the evaluations of detectors.
    """
    measured = [run for run in loaded if run.main or run.tests]
    found = dict.fromkeys(difference(measured[0], run, objects=objects) for run in measured[1:])
    return ", ".join(filter(None, found))
