"""Plots for a page: SVG by matplotlib, once for a light page and once for a dark one.

Each is embedded as a separate image, so that ids in different plots do not collide.
"""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from jaxseg.percent import percent
from jaxseg.workdir import escape

_LEAST_SPAN = 0.1  # of an axis of shares: ten percentage points
_SMOOTHED_FROM = 60  # points; shorter curves are drawn without smoothing
_WINDOWS = 20  # windows of the running mean per curve
_DASHES = ("-", "--", ":", "-.")

LIGHT = ("#17697f", "#c8642b", "#6a58b0", "#3d8a4b", "#b43e6c", "#86754d")
DARK = ("#5fb6cb", "#ef9560", "#a899ea", "#76c084", "#ec84ab", "#c7b584")


def _style(series: Sequence[str], ink: str, grid: str, paper: str) -> dict[str, Any]:
    inked = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    hidden = ("axes.spines.top", "axes.spines.right", "axes.spines.left")
    return {
        **dict.fromkeys(inked, ink),
        **dict.fromkeys(hidden, False),
        **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 0),
        **dict.fromkeys(("xtick.major.pad", "ytick.major.pad"), 6),
        **dict.fromkeys(("axes.edgecolor", "grid.color"), grid),
        "axes.prop_cycle": cycler(color=series),
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.labelsize": 9.5,
        "xaxis.labellocation": "right",
        "font.size": 10,
        "font.sans-serif": ["DejaVu Sans"],  # bundled with matplotlib
        "legend.facecolor": paper,
        "legend.edgecolor": "none",
        "legend.fontsize": 9.5,
        "lines.linewidth": 1.8,
        "lines.markersize": 4,
        "figure.figsize": (5.2, 2.7),  # inches; the page scales it
        "figure.constrained_layout.use": True,
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "jaxseg",  # the same ids for the same plot
    }


_STYLES = (
    _style(LIGHT, ink="#6a7178", grid="#e3e1db", paper="#ffffff"),
    _style(DARK, ink="#98a0a7", grid="#30363c", paper="#1c2024"),
)


class Line(NamedTuple):
    """One curve."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]  # None makes a gap
    colour: int = 0  # of the series
    dash: int = 0


def image(draw: Callable[[Axes], None]) -> tuple[str, str]:
    """Renders a drawing function as data URIs of SVG, for a light and for a dark page."""
    light, dark = (_uri(draw, style) for style in _STYLES)
    return light, dark


def _uri(draw: Callable[[Axes], None], style: Any) -> str:
    buffer = io.BytesIO()
    with mpl.rc_context(style):
        figure = Figure()
        draw(figure.add_subplot())
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def smoothed(values: Sequence[float | None]) -> list[float | None]:
    """Mean over a window around each value, narrower at the ends; missing values stay missing."""
    reach = max(1, len(values) // _WINDOWS // 2)
    result: list[float | None] = []
    for i, value in enumerate(values):
        aside = min(reach, i, len(values) - 1 - i)
        found = [v for v in values[i - aside : i + aside + 1] if v is not None]
        result.append(None if value is None else sum(found) / len(found))
    return result


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def curves(
    axes: Axes,
    lines: Sequence[Line],
    *,
    shares: bool = False,
    zero: bool = False,
    exact: bool = False,
    named: bool = False,
) -> None:
    """Draws values over steps; long lines as a running mean, dashed and short ones with points.

    Args:
      axes: to draw on.
      lines: one or more per run, in the run's colour.
      shares: label values as percent, mark each and write the last one beside it.
      zero: start the axis at 0.
      exact: draw no running mean, since the values have no noise.
      named: show the labels of the lines in a legend.
    """
    for i, line in enumerate(lines):
        values, colour = _numbers(line.y), f"C{line.colour % len(LIGHT)}"
        dense = not (shares or exact) and len(values) >= _SMOOTHED_FROM
        marked = shares or line.dash or len(values) == 1
        axes.plot(
            line.x,
            values,
            color=colour,
            linestyle=_DASHES[line.dash % len(_DASHES)],
            linewidth=0.8 if dense else None,
            alpha=0.35 if dense else 1,
            marker="o" if marked else None,
            label="" if dense or not named else str(i),
        )
        if dense:
            label = str(i) if named else ""
            axes.plot(line.x, _numbers(smoothed(line.y)), color=colour, label=label)
        if shares and line.y and line.y[-1] is not None:
            axes.annotate(
                percent(line.y[-1], 1),
                (line.x[-1], line.y[-1]),
                (6, 0),
                textcoords="offset points",
                verticalalignment="center",
                color=colour,
            )
    axes.set_xlabel("step", labelpad=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if shares:
        low, high = axes.get_ylim()
        room = max(0.0, _LEAST_SPAN - (high - low)) / 2  # so that noise does not fill the plot
        axes.set_ylim(max(low - room, -0.02), high + room)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
        axes.margins(x=0.09)
    if zero:
        axes.set_ylim(bottom=0)
    if named:
        _legend(axes, lines, "upper right")


def histogram(axes: Axes, series: Sequence[Sequence[float]]) -> None:
    """Draws histograms of the mIoU of images, in 20 bins from 0 to 100, one outline per run."""
    alone = len(series) == 1
    for i, values in enumerate(series):
        axes.hist(
            values,
            bins=20,
            range=(0, 1),
            histtype="stepfilled" if alone else "step",
            color=f"C{i % len(LIGHT)}",
            alpha=0.75 if alone else 1,
            linewidth=1.6,
        )
    axes.set_xlabel("mIoU of an image, %", labelpad=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlim(0, 1)


def trimap(axes: Axes, lines: Sequence[Line], around: str) -> None:
    """Draws mIoU within bands of growing width, one labelled line per evaluation.

    Args:
      axes: to draw on.
      lines: in the order of the legend; x is the width in pixels, y a share.
      around: what the bands surround: "void" or "classes".
    """
    for i, line in enumerate(lines):
        axes.plot(
            line.x,
            _numbers(line.y),
            color=f"C{line.colour % len(LIGHT)}",
            linestyle=_DASHES[line.dash % len(_DASHES)],
            marker="o",
            label=str(i),
        )
    what = "void" if around == "void" else "the boundaries of classes"
    axes.set_xlabel(f"width of the band around {what}, px")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    axes.set_xlim(left=0)
    _legend(axes, lines, "lower right")


def precision_recall(axes: Axes, lines: Sequence[Line]) -> None:
    """Draws precision over recall, one labelled line per curve.

    Args:
      axes: to draw on.
      lines: in the order of the legend; x and y are shares.
    """
    for i, line in enumerate(lines):
        axes.plot(
            line.x,
            _numbers(line.y),
            color=f"C{line.colour % len(LIGHT)}",
            linestyle=_DASHES[line.dash % len(_DASHES)],
            label=str(i),
        )
    axes.set_xlabel("recall, %", labelpad=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(PercentFormatter(1, symbol=None))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    _legend(axes, lines, "upper right")


def _legend(
    axes: Axes, lines: Sequence[Line], place: Literal["lower right", "upper right"]
) -> None:
    """Names the lines; each is drawn with its place in `lines` as its label."""
    legend = axes.legend(loc=place, handlelength=3.2, framealpha=0.85)
    for text, line in zip(legend.get_texts(), lines, strict=True):
        text.set_parse_math(False)  # names may contain "_" or "$"
        text.set_text(escape.plain(line.label))
