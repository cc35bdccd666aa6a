"""The boundary metrics of evaluations as a report shows them: means, classes, trimap curve."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.percent import MISSING, percent
from jaxseg.reporting.plots import Line
from jaxseg.reporting.run import Run, StoredEvaluation

_PARTS = {"trimap", "boundary_iou", "boundary_f"}


def suite(evaluation: StoredEvaluation) -> Mapping[str, Any] | None:
    """The result of `boundary_suite` in an evaluation; None if missing or of another version."""
    found = evaluation.record.get("boundary")
    return found if isinstance(found, Mapping) and found.keys() >= _PARTS else None


def outlined(found: Mapping[str, Any]) -> bool:
    """Whether void outlines the objects, which makes boundary F meaningless."""
    return found["trimap"]["around"] == "void"


def distance(value: float | None, infinite: int) -> str:
    """A mean distance, and the number of infinite distances that it leaves out."""
    finite = MISSING if value is None else f"{value:.2f}"
    return f"{finite} ({infinite} infinite)" if infinite else finite


def _tolerances(found: Mapping[str, Any]) -> list[str]:
    return [f"F at {100 * tolerance:.3g} %" for tolerance in found["boundary_f"]["tolerances"]]


def means(found: Mapping[str, Any]) -> dict[str, str]:
    """The means over classes, by name: boundary IoU, boundary F, Hausdorff distance."""
    values = {"boundary IoU": percent(found["boundary_iou"]["mean"])}
    if not outlined(found):
        scores = map(percent, found["boundary_f"]["mean"])
        values |= dict(zip(_tolerances(found), scores, strict=True))
    if "hausdorff_95" in found:
        distances = found["hausdorff_95"]
        missed = sum(distances["one_sided"].values())
        values["Hausdorff 95, px"] = distance(distances["mean"], missed)
    return values


def classes(found: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The values of each class: class -> name -> text."""
    rows = {}
    for name, iou in found["boundary_iou"]["classes"].items():
        row = {"boundary IoU": percent(iou)}
        if not outlined(found):
            scores = map(percent, found["boundary_f"]["classes"][name])
            row |= dict(zip(_tolerances(found), scores, strict=True))
        if "hausdorff_95" in found:
            distances = found["hausdorff_95"]
            missed = distances["one_sided"][name]
            row["Hausdorff 95, px"] = distance(distances["classes"][name], missed)
        rows[name] = row
    return rows


def trimap(found: Mapping[str, Any]) -> dict[str, str]:
    """mIoU within each width of the band: "3 px" -> "61.20"."""
    curve = found["trimap"][found["trimap"]["around"]]["miou"]
    widths = (f"{width} px" for width in found["trimap"]["widths"])
    return dict(zip(widths, map(percent, curve), strict=True))


def measured(run: Run) -> list[tuple[StoredEvaluation, Mapping[str, Any]]]:
    """The evaluations of a run that have boundary metrics."""
    both = ((evaluation, suite(evaluation)) for evaluation in run.evaluations)
    return [(evaluation, found) for evaluation, found in both if found is not None]


def lines(loaded: Sequence[Run]) -> tuple[list[Line], str]:
    """Trimap curves of all runs, and what the bands surround, according to the first run.

    Each run has a colour and each of its evaluations a dash pattern; the evaluations of a single
    run differ in colour instead.
    """
    every = [(i, run, measured(run)) for i, run in enumerate(loaded)]
    every = [part for part in every if part[2]]
    if not every:
        return [], ""
    around = every[0][2][0][1]["trimap"]["around"]
    several = any(len(found) > 1 for _, _, found in every)
    result = []
    for i, run, evaluations in every:
        for j, (evaluation, found) in enumerate(evaluations):
            name = f"{run.name}, {evaluation.tag}" if several else run.name
            colour, dash = (i, j) if len(loaded) > 1 else (j, 0)
            label = name if len(loaded) > 1 else evaluation.tag
            curve = found["trimap"][around]["miou"]
            result.append(Line(label, found["trimap"]["widths"], curve, colour, dash))
    return result, around


def _in_order(texts: Mapping[str, str], heads: Sequence[str]) -> list[str]:
    return [texts.get(head, MISSING) for head in heads]


def section(run: Run) -> dict[str, Any] | None:
    """The boundary tables of a run; None if there are none.

    Returns:
      "tag" of the evaluation whose classes are shown; "heads"; "classes", rows of texts; "means",
      rows of tag and texts for each evaluation; "outlined"; "distances", whether there are any
      distances.
    """
    found = measured(run)
    if not found:
        return None
    evaluation, main = found[0]
    heads = list(dict.fromkeys(head for _, one in found for head in means(one)))
    rows = [(one.tag, _in_order(means(values), heads)) for one, values in found]
    return {
        "tag": evaluation.tag,
        "heads": heads,
        "means": rows,
        "classes": [(name, _in_order(row, heads)) for name, row in classes(main).items()],
        "outlined": any(outlined(values) for _, values in found),
        "distances": any("hausdorff_95" in values for _, values in found),
    }
