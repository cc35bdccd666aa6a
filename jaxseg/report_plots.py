"""Plots as SVG that takes its colours from the page, so that they are right in light and dark.

matplotlib draws with colours that stand for the page's variables; they are replaced afterwards.
"""

import io
import re
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

_INK, _GRID = "#010203", "#040506"
_SERIES = tuple(f"#0a0b{i:02x}" for i in range(6))
_SIZE = (5.2, 2.7)  # inches; the page scales it
_SMOOTHED_FROM = 60  # points: below, a curve is drawn as it is
_SMOOTHING = 0.9  # of the running mean, corrected for its start

Series = tuple[Sequence[float], Sequence[float | None]]


def _svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", text)
    for placeholder, variable in [
        (_INK, "--muted"),
        (_GRID, "--line"),
        *((color, f"--series-{i}") for i, color in enumerate(_SERIES)),
    ]:
        text = text.replace(placeholder, f"var({variable})")
    return text


def _axes(figure: Figure) -> mpl.axes.Axes:
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=_INK, labelsize=9, length=0, pad=6)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def smoothed(values: Sequence[float | None]) -> list[float | None]:
    """Running mean with Adam's correction for the start; what is missing stays missing."""
    mean, weight, result = 0.0, 0.0, []
    for value in values:
        if value is not None:
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * value
            weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        result.append(None if value is None else mean / weight)
    return result


def curves(
    name: str,
    series: Sequence[Series],
    *,
    percent: bool = False,
    zero: bool = False,
    points: bool = False,
) -> str:
    """Values over steps, one line a run in the run's colour.

    Args:
      name: of the plot, different from that of all others on the page.
      series: (steps, values) of each run, empty for a run without; None makes a gap.
      percent: label values as percent.
      zero: let the axis begin at 0.
      points: mark the values, which are few.

    Returns:
      An <svg> element; "" when there is nothing to draw.
    """
    if not any(any(value is not None for value in values) for _, values in series):
        return ""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = _axes(figure)
    for i, (steps, values) in enumerate(series):
        color = _SERIES[i % len(_SERIES)]
        drawn = [float("nan") if value is None else value for value in values]
        dense = not points and len(values) >= _SMOOTHED_FROM
        axes.plot(
            steps,
            drawn,
            color=color,
            linewidth=0.8 if dense else 1.8,
            alpha=0.35 if dense else 1,
            marker="o" if points or len(values) == 1 else None,
            markersize=4,
        )
        if dense:
            means = [float("nan") if value is None else value for value in smoothed(values)]
            axes.plot(steps, means, color=color, linewidth=1.8)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if percent:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}"))
    if zero:
        axes.set_ylim(bottom=0)
    return _svg(figure, name)


def histogram(name: str, series: Sequence[Sequence[float]]) -> str:
    """How many images have which mIoU, in 20 bins from 0 to 100, one outline a run."""
    if not any(series):
        return ""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = _axes(figure)
    for i, values in enumerate(series):
        color = _SERIES[i % len(_SERIES)]
        axes.hist(
            [100 * value for value in values],
            bins=20,
            range=(0, 100),
            histtype="stepfilled" if len(series) == 1 else "step",
            color=color,
            alpha=0.75 if len(series) == 1 else 1,
            linewidth=1.6,
        )
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlim(0, 100)
    return _svg(figure, name)
