"""What an evaluation leaves in a run folder: numbers as JSON, a table, pictures of best and worst.

eval/TAG.json                       step, protocol, confusion matrix, metrics, each image
eval/TAG/{best,worst}_N_NAME.png    image | truth | prediction, with a legend
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from jaxseg import config, draw
from jaxseg.data.labels import LabelSpec
from jaxseg.metrics import summarize

_MEANS = ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")
_PER_CLASS = ("iou", "precision", "recall")
_PICTURE = re.compile(r"(?P<kind>best|worst)_(?P<place>\d+)_(?P<name>.+)\.png")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came of one evaluation."""

    confusion: np.ndarray  # int64 [K, K]: rows truth, columns prediction
    images: list[dict[str, Any]]  # "index", "name", "miou", "pixel_accuracy" (nan: all is void)
    seconds: float


def tag(split: str, protocol: config.Eval) -> str:
    """A file name that tells protocols apart: "val_os8_ms0.5-0.75-1_flip"."""
    parts = [split]
    if protocol.output_stride:
        parts.append(f"os{protocol.output_stride}")
    if any(protocol.size):
        parts.append("x".join(map(str, protocol.size)))
    if tuple(protocol.scales) != (1.0,):
        parts.append("ms" + "-".join(f"{scale:g}" for scale in protocol.scales))
    if protocol.flip:
        parts.append("flip")
    if protocol.sliding:
        crop = "x".join(map(str, protocol.crop_size))
        parts.append(f"slide{crop}-{protocol.stride:.3g}")
    if not protocol.use_ema:
        parts.append("no-ema")
    if protocol.examples:
        parts.append(f"first{protocol.examples}")
    return "_".join(parts)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def to_json(evaluation: Evaluation, labels: LabelSpec) -> dict[str, Any]:
    """The numbers of an evaluation as JSON values, classes by name; null stands for 0 / 0."""
    summary = summarize(evaluation.confusion)
    metrics: dict[str, Any] = {name: _number(getattr(summary, name)) for name in _MEANS}
    for name in _PER_CLASS:
        values = map(_number, getattr(summary, name))
        metrics[name] = dict(zip(labels.names, values, strict=True))
    metrics["absent"] = [labels.names[k] for k in summary.absent]
    return {
        "names": list(labels.names),
        "palette": [list(map(int, colour)) for colour in labels.palette],
        "confusion": evaluation.confusion.tolist(),
        "metrics": metrics,
        "images": [
            image | {name: _number(image[name]) for name in ("miou", "pixel_accuracy")}
            for image in evaluation.images
        ],
        "seconds": evaluation.seconds,
    }


def table(confusion: np.ndarray, names: Sequence[str]) -> str:
    """One aligned line a class: IoU, precision, recall, share of the true pixels; then the means.

    All in percent; "-" where a number is not defined.
    """
    summary = summarize(confusion)
    share = confusion.sum(axis=1) / max(confusion.sum(), 1)
    means = {
        "mIoU": summary.miou,
        "pixel accuracy": summary.pixel_accuracy,
        "mean accuracy": summary.mean_accuracy,
        "frequency-weighted IoU": summary.fwiou,
    }
    width = max(map(len, [*names, *means]))

    def line(name: str, *values: float) -> str:
        cells = (f"{'-':>10}" if math.isnan(v) else f"{100 * v:10.2f}" for v in values)
        return f"{name:<{width}}" + "".join(cells)

    heads = "".join(f"{head:>10}" for head in ("IoU", "precision", "recall", "share"))
    columns = (summary.iou, summary.precision, summary.recall, share)
    lines = [f"{'class':<{width}}{heads}"]
    lines += [line(name, *values) for name, *values in zip(names, *columns, strict=True)]
    lines += ["", *(line(name, value) for name, value in means.items())]
    if summary.absent:
        absent = ", ".join(names[k] for k in summary.absent)
        lines += ["", f"absent from the truth: {absent}"]
    return "\n".join(lines)


def best_and_worst(
    images: Sequence[Mapping[str, Any]], count: int
) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """("best" or "worst", place from 1, image) of at most `count` each; no image stands twice."""
    ranked = sorted(
        (image for image in images if not math.isnan(image["miou"])),
        key=lambda image: (-image["miou"], image["index"]),
    )
    half = min(count, math.ceil(len(ranked) / 2))
    yield from (("best", i + 1, image) for i, image in enumerate(ranked[:half]))
    worst = ranked[half:][::-1][:count]
    yield from (("worst", i + 1, image) for i, image in enumerate(worst))


def picture_name(kind: str, place: int, name: str) -> str:
    """The file name of one picture; `picture_parts` takes it apart."""
    return f"{kind}_{place}_{re.sub(r'[^0-9A-Za-z.+-]', '_', name)}.png"


def picture_parts(path: pathlib.Path) -> tuple[str, int, str] | None:
    """(kind, place, name) of a picture's file; None for any other file."""
    match = _PICTURE.fullmatch(path.name)
    return (match["kind"], int(match["place"]), match["name"]) if match else None


def clear(folder: pathlib.Path) -> None:
    """Makes the folder, and removes the pictures of an earlier evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if picture_parts(path):
            path.unlink()


def write_picture(
    path: pathlib.Path,
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: LabelSpec,
) -> None:
    """Image | truth | prediction with the legend of both, as a PNG.

    Args:
      path: to write to.
      image: uint8 [H, W, 3].
      truth: train ids, uint8 [H, W].
      prediction: train ids, uint8 [H, W].
      labels: names and colours.
    """
    titles = ("image", "truth", "prediction")
    strip = draw.strip([image, labels.colour(truth), labels.colour(prediction)], titles)
    both = np.stack([truth, prediction])
    legend = draw.legend(both, labels, width=strip.shape[1])
    Image.fromarray(np.concatenate([strip, legend])).save(path)
