"""The curves of detectors: terms of the loss, AP while training, precision over recall."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxseg.metrics.definitions import DETECTION_KINDS
from jaxseg.percent import percent
from jaxseg.reporting import plots as report_plots
from jaxseg.reporting.detection_numbers import named
from jaxseg.reporting.plots import Line
from jaxseg.reporting.run import Run
from jaxseg.workdir.detection_schema import TERMS

_RECALLS = [k / 100 for k in range(101)]
_CLASSES = 6  # curves of single classes, those with most objects; as many as there are colours


class Curves(NamedTuple):
    """A plot to draw: its title, its lines, and what they are in words."""

    title: str
    draw: functools.partial
    words: str


def terms(loaded: Sequence[Run]) -> Curves | None:
    """The terms of the loss of a single detector, each in a colour."""
    if len(loaded) != 1 or not loaded[0].detects:
        return None
    log = loaded[0].train
    steps, lines = [line["step"] for line in log], []
    for i, name in enumerate(TERMS):
        values = [line.get(name) for line in log]
        if any(value is not None for value in values):
            lines.append(Line(name.replace("_", " "), steps, values, i))
    if not lines:
        return None
    title = "Terms of the training loss"
    draw = functools.partial(report_plots.curves, lines=lines, named=True)
    ends = [f"{line.label}: {_shown(line.y[0])} to {_shown(line.y[-1])}" for line in lines]
    return Curves(title, draw, f"{title}: {'; '.join(ends)}")


def _shown(value: float | None) -> str:
    return "none" if value is None else format(value, ".3g")


def precision(loaded: Sequence[Run]) -> list[Curves]:
    """Precision over recall, of masks and of boxes; of one run also that of single classes."""
    found = []
    kinds = ("segm", "bbox")
    for kind in kinds:
        lines = _all_classes(loaded, kind)
        if lines:
            title = f"Precision over recall, {DETECTION_KINDS[kind]}, %"
            found.append(_of_lines(title, lines))
    alone = [run for run in loaded if run.detections]
    if len(loaded) == 1 and alone:
        curves = alone[0].detections[0].record.get("curves") or {}
        kind = next((kind for kind in kinds if kind in curves), "")
        lines = _single_classes(alone[0], kind) if kind else []
        if len(lines) > 1:
            title = f"Precision over recall of classes, {named(kind, 'AP50')}, %"
            found.append(_of_lines(title, lines))
    return found


def _of_lines(title: str, lines: Sequence[Line]) -> Curves:
    ends = []
    for line in lines:
        there = [value for value in line.y if value is not None]
        if there:
            area = sum(there) / len(there)
            ends.append(f"{line.label}: mean precision {percent(area)} %")
    draw = functools.partial(report_plots.precision_recall, lines=lines)
    return Curves(title, draw, f"{title}: {'; '.join(ends)}")


def _all_classes(loaded: Sequence[Run], kind: str) -> list[Line]:
    lines = []
    for i, run in enumerate(loaded):
        curves: dict[str, Any] = {}
        if run.detections:
            curves = (run.detections[0].record.get("curves") or {}).get(kind) or {}
        if not curves:
            continue
        for dash, name in enumerate(("AP50", "AP")):
            label = f"{run.name}, {name}" if len(loaded) > 1 else name
            lines.append(Line(label, _RECALLS, curves["all"][name], i, dash))
    return lines


def _single_classes(run: Run, kind: str) -> list[Line]:
    record = run.detections[0].record
    objects, curves = record.get("objects") or {}, record["curves"][kind]["categories"]
    there = [name for name in curves if any(value is not None for value in curves[name]["AP50"])]
    there.sort(key=lambda name: -objects.get(name, {}).get("all", 0))
    return [
        Line(name, _RECALLS, curves[name]["AP50"], i) for i, name in enumerate(there[:_CLASSES])
    ]
