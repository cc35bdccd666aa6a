"""The doctor's picture of a data set: shares of the classes, examples with their labels."""

import pathlib
from collections.abc import Mapping

import numpy as np

from jaxseg.data import survey
from jaxseg.data.labels import LabelSpec
from jaxseg.types import IGNORE

_HATCHES = ("", "//", "..")  # tell the splits apart where the colours tell the classes
_LINEAR = 20  # largest ratio of shares that a linear axis shows


def draw(
    name: str,
    looked: Mapping[str, survey.Looked],
    surveys: Mapping[str, survey.Survey],
    path: pathlib.Path,
    preview: int,
) -> None:
    """One PNG: bars of the class shares of each split, and examples with their labels over them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch
    from matplotlib.ticker import LogFormatter

    labels = next(iter(surveys.values())).labels
    there = np.flatnonzero(np.sum([s.class_pixels() for s in surveys.values()], axis=0))
    chosen = [
        (split, int(i))
        for split, examples in looked.items()
        for i in np.unique(
            np.linspace(0, examples.count - 1, -(-preview // len(looked))).astype(int)
        )
        if not surveys[split].findings[int(i)].problem
    ]
    columns = 3
    rows = -(-len(chosen) // columns)
    figure = plt.figure(figsize=(14, 4 + 2.2 * rows), dpi=90, layout="constrained")
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[4, *[2.2] * rows])
    bars = figure.add_subplot(grid[0, :])
    width = 0.8 / len(surveys)
    legend = []
    shown: list[float] = []
    for i, (split, found) in enumerate(surveys.items()):
        share = found.class_pixels()[there] / max(1, found.class_pixels().sum())
        colours = np.array(labels.palette)[there] / 255
        shown += share[share > 0].tolist()
        bars.bar(
            np.arange(len(there)) + i * width,
            100 * share,
            width,
            color=colours,
            edgecolor="black",
            linewidth=0.6,
            hatch=_HATCHES[i % 3],
        )
        legend.append(Patch(facecolor="lightgrey", hatch=_HATCHES[i % 3], label=split))
    bars.set_xticks(
        np.arange(len(there)) + 0.4 - width / 2,
        [labels.names[k] for k in there],
        rotation=40,
        ha="right",
    )
    wide = bool(shown) and max(shown) > _LINEAR * min(shown)
    bars.set(yscale="log" if wide else "linear", ylabel="% of the valid pixels", title=name)
    if wide:
        bars.yaxis.set_major_formatter(LogFormatter())
        bars.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    bars.spines[["top", "right"]].set_visible(False)
    bars.legend(handles=legend)
    for place, (split, index) in enumerate(chosen):
        image, raw = looked[split].show(index)
        axes = figure.add_subplot(grid[1 + place // columns, place % columns])
        axes.imshow(_overlay(image, raw, labels))
        axes.set_title(f"{split} {surveys[split].findings[index].name}", fontsize=8)
        axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def _overlay(image: np.ndarray, raw: np.ndarray, labels: LabelSpec) -> np.ndarray:
    """Image beside image with the classes over it; ids that no class has are drawn as void."""
    table = np.full(65536, IGNORE, np.uint8)
    for raw_id, train_id in labels.raw_to_train.items():
        table[raw_id] = train_id
    colour = labels.colour(table[raw])
    return np.concatenate([image, (0.4 * image + 0.6 * colour).astype(np.uint8)], axis=1)
