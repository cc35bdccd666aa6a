"""The plots of the analysis programs, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from experiments.analysis.chains import Chain
from experiments.analysis.energy import Extent, profile
from experiments.analysis.taps import Validity
from jaxseg.errors import counted

_COLOURS = {1: "#c0392b", 2: "#e67e22", 3: "#f4d03f", 4: "#2980b9", 6: "#7fb3d5", 9: "#1e8449"}
_OTHER = "#888888"
_MOST = 24  # layers of one picture
_DECADES = 4  # of energy in a picture


def _grid(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def valid_taps(
    figure: Sequence[Validity], maps: Mapping[int, Sequence[Validity]], layers: Sequence[Validity]
) -> Figure:
    """Figure 4, the share of outer taps on several maps, and a bar for each layer of a model."""
    heights = [4.0]
    if layers:
        heights.append(0.6 + 0.28 * min(len(layers), _MOST))
    page = Figure(figsize=(12, 0.2 + sum(heights)))
    grid = page.add_gridspec(len(heights), 2, height_ratios=heights)
    axes = page.add_subplot(grid[0, 0])
    rates = [found.rate for found in figure]
    for number in sorted({n for found in figure for n in found.positions}):
        shares = [found.positions.get(number, 0.0) for found in figure]
        style = "-" if number in (1, 4, 9) else ":"
        axes.plot(
            rates, shares, style, color=_COLOURS[number], label=counted(number, "valid weight")
        )
    height, width = figure[0].size
    _grid(axes, f"A 3x3 filter on a {height} x {width} map", "atrous rate", "share of positions")
    axes.legend(frameon=False, fontsize=8, loc="center right")
    axes = page.add_subplot(grid[0, 1])
    for side, curve in maps.items():
        axes.plot([f.rate for f in curve], [f.outer for f in curve], label=f"{side} x {side}")
    _grid(axes, "Outer taps that see the map", "atrous rate", "share of taps and positions")
    axes.set_ylim(0, 1)
    axes.legend(title="map", frameon=False)
    if layers:
        _layer_bars(page.add_subplot(grid[1, :]), layers)
    page.tight_layout()
    return page


def _layer_bars(axes: Axes, layers: Sequence[Validity]) -> None:
    shown = list(layers[-_MOST:])[::-1]
    names = [f"{v.name}, rate {v.rate} on {v.size[0]} x {v.size[1]}" for v in shown]
    left = np.zeros(len(shown))
    for number in sorted({n for found in shown for n in found.positions}):
        shares = np.array([found.positions.get(number, 0.0) for found in shown])
        axes.barh(names, shares, left=left, color=_COLOURS.get(number, _OTHER), label=f"{number}")
        left += shares
    more = f" (the last {_MOST} of {len(layers)})" if len(layers) > _MOST else ""
    _grid(axes, f"Atrous convolutions of the model{more}", "share of positions", "")
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", labelsize=8)
    axes.legend(title="valid weights", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def gridding(chains: Sequence[Chain]) -> Figure:
    """One field for each chain: the ways to each position, white where there is none."""
    columns = min(4, len(chains))
    rows = -(-len(chains) // columns)
    page = Figure(figsize=(3.3 * columns, 3.7 * rows))
    for axes, chain in zip(page.subplots(rows, columns, squeeze=False).flat, chains, strict=False):
        ways = chain.ways()
        field = np.outer(ways, ways)
        half = (chain.size - 1) / 2
        axes.imshow(
            np.where(field > 0, field / field.max(), np.nan),
            norm=LogNorm(max(1e-4, (field[field > 0].min() / field.max()) * 0.5), 1),
            cmap="viridis_r",
            extent=(-half - 0.5, half + 0.5) * 2,
        )
        rates = ",".join(map(str, chain.rates))
        short = len(rates) < 24
        rates = f"rates {rates}" if short else f"{len(chain.rates)} rates up to {max(chain.rates)}"
        axes.set_title(
            f"{chain.name.replace(' to ', chr(10) + 'to ')}\n{rates}\n"
            f"{chain.untouched:.0%} untouched, roughness {chain.roughness:.2f}",
            fontsize=8,
        )
    for axes in page.axes[len(chains) :]:
        axes.set_visible(False)
    page.tight_layout()
    return page


def growth(rows: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> Figure:
    """The field of each layer in the order of computation, by stride, with the image's side."""
    page = Figure(figsize=(11, 4.5))
    axes = page.subplots()
    seen = [(i, row) for i, row in enumerate(rows) if row["field"]]
    axes.plot([i for i, _ in seen], [row["field"] for _, row in seen], color="#cccccc", zorder=1)
    strides = sorted({row["stride"] or 0 for _, row in seen})
    for stride in strides:
        points = [(i, row["field"]) for i, row in seen if (row["stride"] or 0) == stride]
        axes.scatter(
            [x for x, _ in points], [y for _, y in points], s=18, label=f"{stride:g}", zorder=2
        )
    atrous = [(i, row) for i, row in seen if row["rate"] > 1]
    for i, row in atrous[-8:]:
        axes.annotate(
            f"rate {row['rate']}",
            (i, row["field"]),
            xytext=(4, -9),
            fontsize=7,
            textcoords="offset points",
        )
    axes.axhline(max(size), color="#c0392b", linestyle="--", linewidth=1)
    axes.annotate(
        f"image, {max(size)}",
        (0, max(size)),
        xytext=(0, 3),
        color="#c0392b",
        fontsize=8,
        textcoords="offset points",
    )
    _grid(axes, "Theoretical receptive field", "layer, in order of computation", "pixels")
    axes.legend(title="stride", frameon=False)
    page.tight_layout()
    return page


def effective(maps: Mapping[str, np.ndarray], extents: Mapping[str, Extent]) -> Figure:
    """The energy around the centre for each state of the weights, and its share by distance."""
    page = Figure(figsize=(4.3 * (len(maps) + 1), 4.4))
    panels = page.subplots(1, len(maps) + 1)
    for axes, (name, energy) in zip(panels, maps.items(), strict=False):
        found = extents[name]
        height, width = energy.shape
        most = energy.max()
        shown = np.maximum(energy, most / 10**_DECADES)
        axes.imshow(
            shown,
            norm=LogNorm(most / 10**_DECADES, most),
            cmap="magma",
            extent=(
                -(width // 2) - 0.5,
                width - width // 2 - 0.5,
                height - height // 2 - 0.5,
                -(height // 2) - 0.5,
            ),
        )
        for share, radius in found.radii.items():
            axes.add_patch(Circle((0, 0), radius, fill=False, color="#5dade2", linewidth=1))
            axes.annotate(
                f"{share:.0%}", (0, -radius), color="#5dade2", fontsize=8, ha="center", va="bottom"
            )
        if found.theoretical and found.theoretical <= min(energy.shape):
            corner, side = -(found.theoretical - 1) / 2 - 0.5, found.theoretical
            axes.add_patch(Rectangle((corner, corner), side, side, fill=False, color="#58d68d"))
        axes.set(title=name, xlabel="pixels from the output", xlim=axes.get_xlim())
        distance, within = profile(energy)
        panels[-1].plot(distance, within, label=name)
    theoretical = next(iter(extents.values())).theoretical
    whole = " and the whole image" if next(iter(extents.values())).whole else ""
    _grid(panels[-1], "Energy within a distance", "pixels", "share")
    panels[-1].set_xlim(0, distance[-1])
    if theoretical and (theoretical - 1) / 2 <= distance[-1]:
        label = f"half of the theoretical field, {theoretical}{whole}"
        panels[-1].axvline((theoretical - 1) / 2, color="#58d68d", label=label)
    else:
        panels[-1].plot([], [], " ", label=f"theoretical field: {theoretical or 'none'}{whole}")
    panels[-1].legend(frameon=False, fontsize=8)
    page.tight_layout()
    return page
