"""The expected content of a run folder's files, as far as reports and resumed runs read them.

Keys that are not named here are passed on unchanged; they are only shown.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxseg.workdir import detection_schema
from jaxseg.workdir.files import (
    Check,
    cleaned,
    is_count,
    is_number,
    is_text,
    list_of,
    mapping_of,
    optional,
)

_MAYBE = optional(is_number)
_HEADLINE = ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")

LINE: Mapping[str, Check] = {  # of metrics.jsonl, beside "kind" and "step"
    "time": is_number,
    **dict.fromkeys(("loss", "cross_entropy", "learning_rate"), _MAYBE),
    **dict.fromkeys(("images_per_second", "gradient_norm"), _MAYBE),
    **dict.fromkeys(_HEADLINE, _MAYBE),
    "iou": mapping_of(_MAYBE),
    "absent": optional(list_of(is_text)),
    "collapsed": optional(is_text),
    **detection_schema.LINE,
}
CONFIG: Mapping[str, Check] = {  # flat
    "train.steps": is_count,
    "train.seed": is_count,
    "data.name": is_text,
    "data.eval_split": is_text,
    "model.class": is_text,
}
START: Mapping[str, Check] = {
    **dict.fromkeys(("command", "git", "python", "host", "started"), is_text),
    "processes": is_count,
    "devices": list_of(is_text),
    "versions": mapping_of(is_text),
    "changed": list_of(is_text),
}
ENVIRONMENT: Mapping[str, Check] = {
    **START,
    "starts": list_of(lambda start: isinstance(start, dict) and not cleaned(start, START)[1]),
}


def _of_classes(value: Any) -> bool:
    """Whether it maps classes by name or, from an older version, by index."""
    return mapping_of(_MAYBE)(value) or list_of(_MAYBE)(value)


METRICS: Mapping[str, Check] = {
    **dict.fromkeys(
        (*_HEADLINE, "mean_dice", "kappa", "miou_truth", "miou_zero", "miou_one"), _MAYBE
    ),
    **dict.fromkeys(("calibration_error", "roc_auc"), _MAYBE),
    "miou_interval": optional(list_of(is_number, 2)),
    **dict.fromkeys(("iou", "dice", "precision", "recall"), _of_classes),
    "absent": list_of(is_text),
}
_RECORD: Mapping[str, Check] = {
    **dict.fromkeys(("data", "split"), is_text),
    "weights": optional(is_text),
    "step": optional(is_count),
    "seconds": is_number,
    "environment": lambda value: isinstance(value, dict) and not cleaned(value, ENVIRONMENT)[1],
}


def line(values: Any) -> dict[str, Any] | None:
    """A line of metrics.jsonl without its damaged parts; None if it is not a line."""
    if not isinstance(values, dict) or not is_text(values.get("kind")):
        return None
    if not is_count(values.get("step")):
        return None
    return cleaned(values, LINE)[0]


def evaluation(values: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """An eval/TAG.json without its damaged parts, and their names.

    Returns: The record, or None if the confusion matrix, the names of the classes, the list of
      images or the palette are invalid, so that the record is useless.
    """
    names = values.get("names")
    if not list_of(is_text)(names) or not names or len(set(names)) != len(names):
        return None, []
    k = len(names)
    colour = list_of(lambda part: is_count(part) and part <= 255, 3)
    needed: Mapping[str, Check] = {
        "confusion": lambda value: (
            list_of(list_of(is_count, k), k)(value) and is_count(sum(map(sum, value)))
        ),
        "images": list_of(_is_image),
        "palette": optional(list_of(colour, k)),
        "metrics": lambda value: isinstance(value, dict),
    }
    if not all(check(values.get(name)) for name, check in needed.items()):
        return None, []
    record, wrong = cleaned(values, _RECORD)
    record["metrics"], wrong_metrics = cleaned(values["metrics"], METRICS)
    if "boundary" in record and not _is_suite(record["boundary"]):
        del record["boundary"]
        wrong.append("boundary")
    return record, wrong + [f"metrics.{name}" for name in wrong_metrics]


def detection(values: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """The eval/TAG.json of a detector; see `detection_schema.detection`."""
    return detection_schema.detection(values, _RECORD)


def _is_image(value: Any) -> bool:
    if not isinstance(value, dict) or not is_text(value.get("name")):
        return False
    return "miou" in value and not cleaned(value, {"miou": _MAYBE, "pixel_accuracy": _MAYBE})[1]


def _is_suite(value: Any) -> bool:
    """Whether it is a result of `boundary_suite`, of this or another version."""
    if not isinstance(value, dict):
        return False
    parts = ("trimap", "boundary_iou", "boundary_f")
    if not all(name in value for name in parts):
        return True  # of another version, which reports leave out
    if not all(isinstance(value[name], dict) for name in parts):
        return False
    trimap, iou, f = (value[name] for name in parts)
    around, widths = trimap.get("around"), trimap.get("widths")
    tolerances = f.get("tolerances")
    if around not in ("void", "classes") or not list_of(is_number)(widths):
        return False
    if not list_of(is_number)(tolerances) or not mapping_of(_MAYBE)(iou.get("classes")):
        return False
    curves = [trimap[name] for name in ("void", "classes") if name in trimap]
    row = list_of(_MAYBE, len(tolerances))
    return (
        around in trimap
        and all(isinstance(c, dict) and list_of(_MAYBE, len(widths))(c.get("miou")) for c in curves)
        and _MAYBE(iou.get("mean"))
        and row(f.get("mean"))
        and mapping_of(row, list(iou["classes"]))(f.get("classes"))
        and ("hausdorff_95" not in value or _is_distances(value["hausdorff_95"], iou["classes"]))
    )


def _is_distances(value: Any, names: Iterable[str]) -> bool:
    if not isinstance(value, dict) or not _MAYBE(value.get("mean")):
        return False
    return mapping_of(_MAYBE, list(names))(value.get("classes"))
