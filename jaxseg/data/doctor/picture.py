"""The doctor's picture of a data set: class shares, examples and augmented views."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxseg import whole_file
from jaxseg.data.augment.transforms import Transform
from jaxseg.data.doctor import augmented, survey
from jaxseg.data.labels import LabelSpec
from jaxseg.ignore import IGNORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCHES = ("", "//", "..")  # distinguish the splits, since colours distinguish the classes
_LINEAR = 20  # largest ratio of shares for a linear axis


def draw(
    name: str,
    looked: Mapping[str, survey.Looked],
    surveys: Mapping[str, survey.Survey],
    path: pathlib.Path,
    preview: int,
    *,
    transform: Transform,
    views: int,
) -> None:
    """Draws a PNG: bars of the class shares of each split, and examples overlaid with their labels.

    Args:
      name: of the set.
      looked: its splits.
      surveys: of the splits.
      path: of the PNG.
      preview: number of examples, of all splits together.
      transform: of the views.
      views: number of views next to each example.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    labels = next(iter(surveys.values())).labels
    chosen = _chosen(looked, surveys, preview)
    columns = 1 + views if views else 3
    rows = -(-len(chosen) * (1 + views) // columns)
    figure = plt.figure(
        figsize=(max(14, 4.6 * columns), 4 + 2.2 * rows), dpi=90, layout="constrained"
    )
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[4, *[2.2] * rows])
    bars = figure.add_subplot(grid[0, :])
    _draw_shares(bars, surveys)
    bars.set_title(name)
    place = columns  # below the bars
    for split, index in chosen:
        image, raw = looked[split].show(index)
        shown_pairs = [(image, _train_ids(raw, labels))]
        shown_pairs += [augmented.view(transform, *shown_pairs[0], index, i) for i in range(views)]
        for number, (view, label) in enumerate(shown_pairs):
            axes = figure.add_subplot(grid[place // columns, place % columns])
            axes.imshow(_overlay(view, label, labels))
            title = f"view {number}" if number else f"{split} {surveys[split].findings[index].name}"
            axes.set_title(title, fontsize=8)
            axes.axis("off")
            place += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lstrip(".") or "png"
    with whole_file.writing(path) as file:
        figure.savefig(file, format=kind)
    plt.close(figure)


def _chosen(
    looked: Mapping[str, survey.Looked], surveys: Mapping[str, survey.Survey], preview: int
) -> list[tuple[str, int]]:
    """Split and index of the examples to draw, evenly spaced, without broken ones."""
    each = -(-preview // len(looked))
    return [
        (split, int(i))
        for split, examples in looked.items()
        for i in np.unique(np.linspace(0, examples.count - 1, each).astype(int))
        if not surveys[split].findings[int(i)].problem
    ]


def _draw_shares(axes: "Axes", surveys: Mapping[str, survey.Survey]) -> None:
    """Draws a bar per class and split; the axis is logarithmic if shares differ greatly."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import LogFormatter

    labels = next(iter(surveys.values())).labels
    pixels = {split: found.class_pixels() for split, found in surveys.items()}
    there = np.flatnonzero(np.sum(list(pixels.values()), axis=0))
    colours = np.array(labels.palette)[there] / 255
    width = 0.8 / len(surveys)
    legend = []
    shown: list[float] = []
    for i, (split, counted) in enumerate(pixels.items()):
        share = counted[there] / max(1, counted.sum())
        shown += share[share > 0].tolist()
        axes.bar(
            np.arange(len(there)) + i * width,
            100 * share,
            width,
            color=colours,
            edgecolor="black",
            linewidth=0.6,
            hatch=_HATCHES[i % 3],
        )
        legend.append(Patch(facecolor="lightgrey", hatch=_HATCHES[i % 3], label=split))
    axes.set_xticks(
        np.arange(len(there)) + 0.4 - width / 2,
        [labels.names[k] for k in there],
        rotation=40,
        ha="right",
    )
    wide = bool(shown) and max(shown) > _LINEAR * min(shown)
    axes.set(yscale="log" if wide else "linear", ylabel="% of the valid pixels")
    if wide:
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(handles=legend)


def _train_ids(raw: np.ndarray, labels: LabelSpec) -> np.ndarray:
    """Train ids of a mask; unknown ids become void."""
    table = np.full(65536, IGNORE, np.uint8)
    for raw_id, train_id in labels.raw_to_train.items():
        table[raw_id] = train_id
    return table[raw]


def _overlay(image: np.ndarray, label: np.ndarray, labels: LabelSpec) -> np.ndarray:
    """The image next to the image overlaid with the classes."""
    mixed = (0.4 * image + 0.6 * labels.colour(label)).astype(np.uint8)
    return np.concatenate([image, mixed], axis=1)
