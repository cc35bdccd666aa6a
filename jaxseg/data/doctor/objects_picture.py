"""The doctor's picture of an instance set: numbers and sizes of objects, and examples."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxseg import whole_file
from jaxseg.data import instances
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.doctor.objects import LARGE, SMALL, LookedObjects, ObjectSurvey
from jaxseg.data.labels import LabelSpec, voc_palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SEED = 0
_COLOURS = np.array(voc_palette(64)[1:], np.float64)  # of objects, whatever their class


def draw(
    name: str,
    looked: Mapping[str, LookedObjects],
    found: Mapping[str, ObjectSurvey],
    path: pathlib.Path,
    preview: int,
    *,
    transform: InstanceTransform,
    views: int,
) -> None:
    """A PNG with histograms of each split, and examples with masks and boxes drawn over them.

    Args:
      name: of the set.
      looked: its splits.
      found: the surveys.
      path: of the PNG.
      preview: number of examples, for all splits together.
      transform: of the views.
      views: number of views beside each example.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    chosen = _chosen(looked, found, preview)
    columns = max(2, 1 + views)
    rows = -(-len(chosen) * (1 + views) // columns)
    figure = plt.figure(figsize=(4.2 * columns, 3.4 + 3.2 * rows), dpi=90, layout="constrained")
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[3.4, *[3.2] * rows])
    half = columns // 2
    _counts(figure.add_subplot(grid[0, :half]), found)
    _sizes(figure.add_subplot(grid[0, half:]), found)
    figure.suptitle(name)
    place = columns
    for split, index in chosen:
        labels = found[split].labels
        image, objects = looked[split].show(index)
        title = f"{split} {found[split].findings[index].image.name}"
        shown = [(title, _whole(image, objects, labels))]
        objects = instances.classes_of(objects, labels, title)
        for number in range(1, views + 1):
            rng = np.random.default_rng((_SEED, index, number))
            shown.append((f"view {number}", _view(transform.apply(rng, image, objects), labels)))
        for heading, (pixels, boxes) in shown:
            axes = figure.add_subplot(grid[place // columns, place % columns])
            axes.imshow(pixels)
            _frames(axes, boxes)
            axes.set_title(heading, fontsize=8)
            axes.axis("off")
            place += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file.writing(path) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png")
    plt.close(figure)


Boxes = list[tuple[np.ndarray, str, bool]]  # box, name, whether it is a crowd


def _whole(
    image: np.ndarray, objects: instances.Objects, labels: LabelSpec
) -> tuple[np.ndarray, Boxes]:
    """An example as stored in the set."""
    mixed, names = image, labels.raw_to_train
    boxes: Boxes = []
    for i in range(len(objects)):
        mixed = _mixed(mixed, objects.mask(i).astype(bool), i)
        name = labels.names[names[int(objects.classes[i])]]
        boxes.append((objects.boxes[i], name, bool(objects.crowd[i])))
    return mixed, boxes


def _view(example: Mapping[str, np.ndarray], labels: LabelSpec) -> tuple[np.ndarray, Boxes]:
    """A view as it is in a batch."""
    mixed = example["image"]
    masks = instances.unpacked(example["masks"], mixed.shape[1])
    boxes: Boxes = []
    for i in np.flatnonzero(example["valid"]):
        mixed = _mixed(mixed, masks[i], int(i))
        boxes.append((example["boxes"][i], labels.names[example["classes"][i] - 1], False))
    return mixed, boxes


def _mixed(image: np.ndarray, mask: np.ndarray, number: int) -> np.ndarray:
    mixed = image.copy()
    mixed[mask] = 0.45 * mixed[mask] + 0.55 * _COLOURS[number % len(_COLOURS)]
    return mixed


def _frames(axes: "Axes", boxes: Boxes) -> None:
    from matplotlib.patches import Rectangle

    for i, ((x1, y1, x2, y2), name, crowd) in enumerate(boxes):
        colour = _COLOURS[i % len(_COLOURS)] / 255
        style = "dotted" if crowd else "solid"
        axes.add_patch(
            Rectangle(
                (x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=colour, ls=style
            )
        )
        axes.text(x1, y1, name, fontsize=6, color="white", va="bottom", bbox=_label(colour))


def _label(colour: np.ndarray) -> dict[str, Any]:
    return {"facecolor": colour, "edgecolor": "none", "pad": 0.6}


def _chosen(
    looked: Mapping[str, LookedObjects], found: Mapping[str, ObjectSurvey], preview: int
) -> list[tuple[str, int]]:
    """Split and index of the examples to draw, evenly spaced, without unreadable ones."""
    each = -(-preview // len(looked))
    return [
        (split, int(i))
        for split, examples in looked.items()
        for i in np.unique(np.linspace(0, examples.count - 1, each).astype(int))
        if not found[split].findings[int(i)].image.problem
        and not set(found[split].findings[int(i)].image.counts)
        - set(found[split].labels.raw_to_train)
    ]


def _counts(axes: "Axes", found: Mapping[str, ObjectSurvey]) -> None:
    most = max((int(each.per_image().max(initial=0)) for each in found.values()), default=0)
    edges = np.arange(most + 2) - 0.5
    for split, each in found.items():
        counts, _ = np.histogram(each.per_image(), edges)
        axes.step(np.arange(most + 1), counts / max(1, counts.sum()), where="mid", label=split)
    axes.set(xlabel="objects in an image", ylabel="share of the images")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _sizes(axes: "Axes", found: Mapping[str, ObjectSurvey]) -> None:
    edges = np.geomspace(2, 2048, 31)
    for split, each in found.items():
        areas = each.column("areas")[~each.column("crowd").astype(bool)]
        counts, _ = np.histogram(np.sqrt(areas), edges)
        axes.step(edges[:-1], counts / max(1, counts.sum()), where="post", label=split)
    for limit in (SMALL, LARGE):
        axes.axvline(np.sqrt(limit), color="grey", lw=0.8, ls="dashed")
    axes.set(xscale="log", xlabel="square root of the area, pixels", ylabel="share of the objects")
    axes.spines[["top", "right"]].set_visible(False)
