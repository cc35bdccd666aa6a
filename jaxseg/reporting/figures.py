"""Chooses the plots of a report for which the runs have numbers, and writes their captions."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxseg.percent import percent
from jaxseg.reporting import boundary, detection_figures
from jaxseg.reporting import plots as report_plots
from jaxseg.reporting.plots import Line
from jaxseg.reporting.run import Run

_TRAINING, _VALIDATION = 0, 1  # dashes


class Plot(NamedTuple):
    """A plot for light and for dark pages, as data URIs, and its description in words."""

    title: str
    light: str
    dark: str
    words: str


def _lines(loaded: Sequence[Run], kind: str, key: str, dash: int = _TRAINING) -> list[Line]:
    """Logged values over steps, for each run that has any."""
    found = []
    for i, run in enumerate(loaded):
        log = run.train if kind == "train" else run.tests
        values = [line.get(key) for line in log]
        if any(value is not None for value in values):
            steps = [line["step"] for line in log]
            name = run.name if len(loaded) > 1 else ""
            found.append(Line(name, steps, values, i, dash))
    return found


def _in_words(lines: Sequence[Line], shares: bool) -> str:
    """The first and last point of each line: "a: from 2.1 at step 10 to 0.4 at step 300"."""
    texts = []
    for line in lines:
        ends = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None]
        first, last = (
            f"{percent(y) + ' %' if shares else format(y, '.3g')} at step {x:,}"
            for x, y in (ends[0], ends[-1])
        )
        name = ", ".join(filter(None, [line.label, "validation" if line.dash else ""]))
        span = f"from {first} to {last}"
        texts.append(f"{name}: {span}" if name else span)
    return "; ".join(texts)


def _curves(title: str, lines: Sequence[Line], **options: Any) -> Plot | None:
    if not lines:
        return None
    drawn = report_plots.image(functools.partial(report_plots.curves, lines=lines, **options))
    return Plot(title, *drawn, f"{title}: {_in_words(lines, options.get('shares', False))}")


def _losses(loaded: Sequence[Run]) -> list[Plot | None]:
    """The training loss, and the cross-entropy of training and validation.

    If the cross-entropy is the whole loss, it is drawn once.
    """
    validation = _lines(loaded, "eval", "cross_entropy", _VALIDATION)
    whole = _lines(loaded, "train", "loss")
    if not validation:
        return [_curves("Training loss", whole)]
    training = _lines(loaded, "train", "cross_entropy")
    title = "Cross-entropy: training, and validation dashed"
    both = _curves(title, [*training, *validation])
    return (
        [both]
        if [line.y for line in training] == [line.y for line in whole]
        else [both, _curves("Training loss, all terms", whole)]
    )


def _images(loaded: Sequence[Run]) -> Plot | None:
    """Histogram of the mIoU of single images in each run's main evaluation."""
    records = [run.evaluations[0].record["images"] if run.evaluations else [] for run in loaded]
    found = [[i["miou"] for i in images if i["miou"] is not None] for images in records]
    if not any(found):
        return None
    title = "Images by their mIoU"
    drawn = report_plots.image(functools.partial(report_plots.histogram, series=found))
    counts = [
        f"{run.name}: {len(values)} images, half of them above {percent(_median(values))} %"
        for run, values in zip(loaded, found, strict=True)
        if values
    ]
    return Plot(title, *drawn, f"{title}: {'; '.join(counts)}")


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _trimap(loaded: Sequence[Run]) -> Plot | None:
    lines, around = boundary.lines(loaded)
    if not any(value is not None for line in lines for value in line.y):
        return None
    title = "mIoU near boundaries, %"
    drawn = report_plots.image(functools.partial(report_plots.trimap, lines=lines, around=around))
    ends = [
        f"{line.label}: {percent(line.y[0])} within {line.x[0]} px, "
        f"{percent(line.y[-1])} within {line.x[-1]} px"
        for line in lines
    ]
    return Plot(title, *drawn, f"{title}: {'; '.join(ends)}")


def _drawn(curves: detection_figures.Curves | None) -> Plot | None:
    return curves and Plot(curves.title, *report_plots.image(curves.draw), curves.words)


def plots(loaded: Sequence[Run]) -> list[Plot]:
    """The plots for which there are numbers, the most informative first."""
    rates, speed = (_lines(loaded, "train", k) for k in ("learning_rate", "images_per_second"))
    found = [
        *_losses(loaded),
        _drawn(detection_figures.terms(loaded)),
        _curves("mIoU while training, %", _lines(loaded, "eval", "miou"), shares=True),
        _curves("Mask AP while training, %", _lines(loaded, "eval", "mask AP"), shares=True),
        _curves("Box AP while training, %", _lines(loaded, "eval", "box AP"), shares=True),
        *map(_drawn, detection_figures.precision(loaded)),
        _images(loaded),
        _trimap(loaded),
        _curves("Gradient norm before clipping", _lines(loaded, "train", "gradient_norm")),
        _curves("Learning rate", rates, zero=True, exact=True),
        _curves("Images per second in training", speed, zero=True),
    ]
    return [plot for plot in found if plot is not None]


def about_losses(loaded: Sequence[Run]) -> str:
    """Explains the two cross-entropies; "" if there is none of validation."""
    if not any("cross_entropy" in line for run in loaded for line in run.tests):
        return ""
    parts = [
        "Cross-entropy of validation: the mean over all valid pixels of the split, in evaluation "
        "mode, with the class weights and label smoothing of training. Cross-entropy of training: "
        "the mean since the last point, over augmented crops, with dropout and batch statistics."
    ]
    hardest = [run.config.get("loss.hardest", 1.0) for run in loaded]
    if any(isinstance(share, int | float) and share < 1 for share in hardest):
        parts.append("Training counts only its hardest pixels, so its line is higher.")
    if any(run.config.get("loss.boundary") for run in loaded):
        parts.append("Training adds U-Net's weight map, so its line is higher.")
    return " ".join(parts)
