"""The expected content of a detector's log lines and eval/TAG.json; see `schema`."""

from collections.abc import Mapping
from typing import Any

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
from jaxseg.workdir.match_file import KINDS

_MAYBE = optional(is_number)
_NUMBERS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)
_RECALLS = tuple(f"AR{size}@{limit}" for limit in (1, 100, 1000) for size in ("", "s", "m", "l"))
PANOPTIC = tuple(
    f"{name} {group}".strip() for group in ("", "things", "stuff") for name in ("PQ", "SQ", "RQ")
)
TERMS = ("objectness", "rpn_box", "class", "box", "mask", "semantic")  # of the loss

LINE: Mapping[str, Check] = {  # of metrics.jsonl
    **{f"{kind} {name}": _MAYBE for kind in ("box", "mask") for name in (*_NUMBERS, *_RECALLS)},
    **dict.fromkeys((*PANOPTIC, *TERMS), _MAYBE),
    "classes": mapping_of(mapping_of(mapping_of(_MAYBE))),
}
_METRICS: Mapping[str, Check] = {
    **dict.fromkeys((*_NUMBERS, *_RECALLS), _MAYBE),
    **dict.fromkeys(("AP_interval", "AP50_interval"), optional(list_of(is_number, 2))),
}


def detection(
    values: dict[str, Any], shared: Mapping[str, Check]
) -> tuple[dict[str, Any] | None, list[str]]:
    """The eval/TAG.json of a detector without its damaged parts, and their names.

    Args:
      values: of the file.
      shared: the checks of what the records of all tasks hold.

    Returns: The record, or None if the names of the classes, the list of images or the metrics are
      invalid, so that the record is useless.
    """
    names = values.get("names")
    if not list_of(is_text)(names) or not names or len(set(names)) != len(names):
        return None, []
    colour = list_of(lambda part: is_count(part) and part <= 255, 3)
    needed: Mapping[str, Check] = {
        "images": list_of(_is_image),
        "palette": optional(list_of(colour, len(names))),
        "metrics": lambda value: mapping_of(lambda of: isinstance(of, dict))(value) and value,
    }
    if not all(check(values.get(name)) for name, check in needed.items()):
        return None, []
    if not set(values["metrics"]) <= set(KINDS):
        return None, []
    record, wrong = cleaned(values, {**shared, **_parts(names)})
    metrics = {}
    for kind, of in values["metrics"].items():
        metrics[kind], wrong_of_kind = cleaned(of, _METRICS)
        wrong += [f"metrics.{kind}.{name}" for name in wrong_of_kind]
    return record | {"metrics": metrics}, wrong


def _parts(names: list[str]) -> Mapping[str, Check]:
    """Checks of the parts without which the rest of a record is still shown."""
    curve = list_of(_MAYBE, 101)
    curves = mapping_of(curve, ("AP", "AP50"))

    def of_kind(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and curves(value.get("all"))
            and mapping_of(curves, names)(value.get("categories"))
        )

    return {
        "categories": mapping_of(mapping_of(mapping_of(_MAYBE), names)),
        "curves": mapping_of(of_kind),
        "objects": mapping_of(mapping_of(is_count), names),
        "counts": mapping_of(is_count),
        "score": is_number,
        "panoptic": _is_panoptic,
        "proposals": lambda value: isinstance(value, bool),
    }


def _is_image(value: Any) -> bool:
    if not isinstance(value, dict) or not is_text(value.get("name")):
        return False
    return not cleaned(value, {"f1": _MAYBE, "objects": is_count})[1]


def _is_panoptic(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and mapping_of(_MAYBE)(value.get("metrics"))
        and mapping_of(list_of(is_number, 2))(value.get("intervals", {}))
        and mapping_of(mapping_of(_MAYBE))(value.get("categories"))
    )
