"""Plots as SVG that takes its colours from the page, so that they are right in light and dark.

matplotlib draws with colours that stand for the page's variables; they are replaced afterwards.
"""

import io
import re
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxseg.workdir import escape

_INK, _GRID, _PAPER = "#010203", "#040506", "#070809"
_SERIES = tuple(f"#0a0b{i:02x}" for i in range(6))
_SIZE = (5.2, 2.7)  # inches; the page scales it
_LEAST_SPAN = 0.1  # of an axis of shares: ten points of percent
_SMOOTHED_FROM = 60  # points: below, a curve is drawn as it is
_WINDOWS = 20  # of the running mean in the length of a curve

_DASHES = ("-", "--", ":", "-.")

Series = tuple[Sequence[float], Sequence[float | None]]


class Line(NamedTuple):
    """One trimap curve."""

    label: str
    widths: Sequence[float]  # pixels
    values: Sequence[float | None]  # shares
    colour: int  # of the series
    dash: int


def svg(figure: Figure, title: str, prefix: str) -> str:
    """The figure as an <svg> element.

    Args:
      figure: of `curves` or `histogram`.
      title: read aloud instead of the plot.
      prefix: of its ids, different from that of all others on the page.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r' xmlns:?\w*="[^"]*"', "", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", text)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(
        r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text
    )
    text = re.sub(r'(url\(|xlink:href="|href=")#', rf"\1#{prefix}-", text)
    text = text.replace("xlink:href", "href")
    for placeholder, variable in [
        (_INK, "--muted"),
        (_GRID, "--line"),
        (_PAPER, "--card"),
        *((color, f"--series-{i}") for i, color in enumerate(_SERIES)),
    ]:
        text = text.replace(placeholder, f"var({variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def _axes(figure: Figure) -> mpl.axes.Axes:
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=_INK, labelsize=9, length=0, pad=6)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def smoothed(values: Sequence[float | None]) -> list[float | None]:
    """Mean over a window around each value, narrower at the ends; what is missing stays so."""
    reach = max(1, len(values) // _WINDOWS // 2)
    result: list[float | None] = []
    for i, value in enumerate(values):
        aside = min(reach, i, len(values) - 1 - i)
        found = [v for v in values[i - aside : i + aside + 1] if v is not None]
        result.append(None if value is None else sum(found) / len(found))
    return result


def curves(
    series: Sequence[Series], *, percent: bool = False, zero: bool = False, exact: bool = False
) -> Figure | None:
    """Values over steps, one line a run in the run's colour; long ones with their running mean.

    Args:
      series: (steps, values) of each run, empty for a run without; None makes a gap.
      percent: label values as percent, mark each and write the last one beside it.
      zero: let the axis begin at 0.
      exact: no running mean: the values have no noise.

    Returns:
      None when there is nothing to draw.
    """
    if not any(any(value is not None for value in values) for _, values in series):
        return None
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = _axes(figure)
    for i, (steps, values) in enumerate(series):
        color = _SERIES[i % len(_SERIES)]
        drawn = [float("nan") if value is None else value for value in values]
        dense = not (percent or exact) and len(values) >= _SMOOTHED_FROM
        axes.plot(
            steps,
            drawn,
            color=color,
            linewidth=0.8 if dense else 1.8,
            alpha=0.35 if dense else 1,
            marker="o" if percent or len(values) == 1 else None,
            markersize=4,
        )
        if dense:
            means = [float("nan") if value is None else value for value in smoothed(values)]
            axes.plot(steps, means, color=color, linewidth=1.8)
        if percent and values and values[-1] is not None:
            axes.annotate(
                f"{100 * values[-1]:.1f}",
                (steps[-1], values[-1]),
                (6, 0),
                textcoords="offset points",
                verticalalignment="center",
                color=color,
                fontsize=9,
            )
    axes.set_xlabel("step", color=_INK, fontsize=8.5, loc="right", labelpad=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if percent:
        low, high = axes.get_ylim()
        room = max(0.0, _LEAST_SPAN - (high - low)) / 2  # so that noise does not fill the plot
        axes.set_ylim(max(low - room, -0.02), high + room)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.3g}"))
        axes.margins(x=0.09)
    if zero:
        axes.set_ylim(bottom=0)
    return figure


def histogram(series: Sequence[Sequence[float]]) -> Figure | None:
    """How many images have which mIoU, in 20 bins from 0 to 100, one outline a run."""
    if not any(series):
        return None
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
    axes.set_xlabel("mIoU of an image, %", color=_INK, fontsize=8.5, loc="right", labelpad=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlim(0, 100)
    return figure


def trimap(lines: Sequence[Line], around: str) -> Figure | None:
    """mIoU within bands of growing width, one line an evaluation, named in the plot.

    Args:
      lines: in the order of the legend.
      around: "void" or "classes": what the bands are around.

    Returns:
      None when there is nothing to draw.
    """
    if not any(value is not None for line in lines for value in line.values):
        return None
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = _axes(figure)
    for i, line in enumerate(lines):
        axes.plot(
            line.widths,
            [float("nan") if value is None else value for value in line.values],
            color=_SERIES[line.colour % len(_SERIES)],
            linestyle=_DASHES[line.dash % len(_DASHES)],
            linewidth=1.8,
            marker="o",
            markersize=3.5,
            label=str(i),
        )
    what = "void" if around == "void" else "the boundaries of classes"
    axes.set_xlabel(f"width of the band around {what}, px", color=_INK, fontsize=8.5, loc="right")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.3g}"))
    axes.set_xlim(left=0)
    legend = axes.legend(fontsize=8.5, loc="lower right", labelcolor=_INK, handlelength=3.2)
    legend.get_frame().set(facecolor=_PAPER, edgecolor="none", alpha=0.85)
    for text, line in zip(legend.get_texts(), lines, strict=True):
        text.set_parse_math(False)  # a name is drawn as it is, be there "_" or "$" in it
        text.set_text(escape.plain(line.label))
    return figure
