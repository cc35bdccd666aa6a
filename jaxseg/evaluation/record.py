"""What an evaluation writes to a run folder: numbers as JSON, a table, the best and worst images.

eval/TAG.json                       step, protocol, confusion matrix, metrics, each image
eval/TAG.npz                        the confusion matrix of each image; see jaxseg.workdir.per_image
eval/TAG/{best,worst}_N_NAME.png    image, truth, prediction and errors, with legends
"""

import dataclasses
import io
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tabulate
from PIL import Image

from jaxseg import config, whole_file
from jaxseg.data.labels import LabelSpec
from jaxseg.inference import overlay
from jaxseg.metrics import intervals, summarize
from jaxseg.percent import interval as interval_text
from jaxseg.percent import percent
from jaxseg.workdir import escape, files
from jaxseg.workdir.per_image import PerImage

MEANS = {  # of `metrics.Summary`: what it is called, what it is
    "miou": (
        "mIoU",
        "mean over the classes of IoU = hits / (truth + predicted - hits), in pixels; a class that "
        "is in neither truth nor prediction is left out, one that is only predicted counts as 0",
    ),
    "pixel_accuracy": ("pixel accuracy", "share of the pixels that are right"),
    "mean_accuracy": ("mean accuracy", "mean over the classes of the truth of hits / truth"),
    "fwiou": ("frequency-weighted IoU", "mean of IoU weighted by the class's share of the truth"),
    "mean_dice": (
        "mean Dice",
        "mean over the classes of Dice = 2 hits / (truth + predicted), which is the F1 of pixels; "
        "classes are left out as in mIoU",
    ),
    "kappa": (
        "Cohen's kappa",
        "(a - e) / (1 - e), where a is the pixel accuracy and e what chance would give",
    ),
    "miou_truth": (
        "mIoU of the truth's classes",
        "mIoU over the classes of the truth alone: one that is only predicted is left out",
    ),
    "miou_zero": ("mIoU, absent as 0", "mIoU over all classes: one that is in neither counts as 0"),
    "miou_one": ("mIoU, absent as 1", "mIoU over all classes: one that is in neither counts as 1"),
}
PROBABILITIES = {  # of `tally.Calibration`, where they were asked for
    "calibration_error": (
        "calibration error",
        "mean over pixels of |share that is right - mean confidence| of the pixel's bin of "
        "confidence, of 15",
    ),
    "roc_auc": (
        "area under the ROC curve",
        "how often a pixel of the second class scores above one of the first",
    ),
}
LEVEL = 0.95  # of the interval of mIoU over images
_PER_CLASS = ("iou", "dice", "precision", "recall")
_PICTURE = re.compile(r"(?P<kind>best|worst)_(?P<place>\d+)_(?P<name>.+)\.png")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came of one evaluation."""

    confusion: np.ndarray  # int64 [K, K]: rows truth, columns prediction
    images: list[dict[str, Any]]  # "index", "name", "miou", "pixel_accuracy" (nan: all is void)
    seconds: float
    per_image: PerImage | None = None  # the confusion matrix of each image, in their order
    boundary: dict[str, Any] | None = None  # of `boundary_suite`, where it was asked for
    probabilities: Mapping[str, float] = dataclasses.field(default_factory=dict)  # see below
    frames: Mapping[tuple[int, int], int] = dataclasses.field(default_factory=dict)  # -> images
    loss: float | None = None  # mean over the valid pixels, where it was asked for


def tag(split: str, protocol: config.Eval) -> str:
    """A file name that tells protocols apart: "val_os8_ms0.5-0.75-1_flip".

    Raises:
      ValueError: a split or field with a slash in it, which would lead to another folder.
    """
    parts = [split]
    if protocol.output_stride:
        parts.append(f"os{protocol.output_stride}")
    if any(protocol.size):
        parts.append("x".join(map(str, protocol.size)))
    if tuple(protocol.scales) != (1.0,):
        parts.append("ms" + "-".join(f"{scale:g}" for scale in protocol.scales))
    if protocol.flip:
        parts.append("flip")
    if protocol.rotations > 1:
        parts.append(f"turn{protocol.rotations}")
    if protocol.fusion != "probabilities":
        parts.append(f"by-{protocol.fusion}")
    if protocol.long_side:
        parts.append(f"long{protocol.long_side}")
    if protocol.short_side:
        parts.append(f"short{protocol.short_side}")
    if protocol.sliding:
        crop = "x".join(map(str, protocol.crop_size))
        parts.append(f"slide{crop}-{protocol.stride:.3g}")
    if protocol.margin:
        parts.append(f"margin{protocol.margin}")
    if protocol.border != "mean":
        parts.append(protocol.border)
    if protocol.crf:
        parts.append("crf-" + protocol.crf.replace(",", "-"))
        parts += [protocol.crf_filter] * (protocol.crf_filter != "lattice")
        parts += [protocol.crf_normalization] * (protocol.crf_normalization != "per_pixel")
    if not protocol.use_ema:
        parts.append("no-ema")
    if protocol.examples:
        parts.append(f"first{protocol.examples}")
    name = "_".join(parts)
    if "/" in name or "\0" in name:
        raise ValueError(
            f"{name!r} cannot be the name of an evaluation's file: set data.eval_split"
        )
    return name


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def to_json(evaluation: Evaluation, labels: LabelSpec) -> dict[str, Any]:
    """The numbers of an evaluation as JSON values, classes by name; null stands for 0 / 0.

    "miou_interval" is [low, high] over resampled images, null with fewer than two images.
    """
    summary = summarize(evaluation.confusion)
    metrics: dict[str, Any] = {name: _number(getattr(summary, name)) for name in MEANS}
    metrics |= {name: _number(value) for name, value in evaluation.probabilities.items()}
    metrics["miou_interval"] = _interval(evaluation)
    for name in _PER_CLASS:
        values = map(_number, getattr(summary, name))
        metrics[name] = dict(zip(labels.names, values, strict=True))
    metrics["absent"] = [labels.names[k] for k in summary.absent]
    boundary = {} if evaluation.boundary is None else {"boundary": evaluation.boundary}
    return boundary | {
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


def _interval(evaluation: Evaluation) -> list[float] | None:
    counts = evaluation.per_image
    if counts is None or len(counts.names) < 2 or not counts.count.size:
        return None
    found = intervals.bootstrap_miou(counts.class_counts(), level=LEVEL)
    return [found.low, found.high]


def table(
    confusion: np.ndarray, names: Sequence[str], interval: Sequence[float] | None = None
) -> str:
    """One aligned line a class, with its share of the true pixels; then the means.

    All in percent; "-" where a number is not defined.

    Args:
      confusion: integers [K, K].
      names: of the classes.
      interval: of mIoU over images, as (low, high).
    """
    summary = summarize(confusion)
    share = confusion.sum(axis=1) / max(confusion.sum(), 1)
    names = [escape.plain(name) for name in names]
    columns = (summary.iou, summary.dice, summary.precision, summary.recall, share)
    rows = [
        [name, *map(percent, values)]
        for name, *values in zip(names, *(column.tolist() for column in columns), strict=True)
    ]
    heads = ["class", "IoU", "Dice", "precision", "recall", "share"]
    means = {name: getattr(summary, name) for name in MEANS}
    same = same_as_miou(means)
    over = f"{interval_text(interval)} ({percent(LEVEL, 0)} %, over images)" if interval else ""
    texts = [
        [MEANS[name][0], percent(means[name]), over if name == "miou" else ""]
        for name in MEANS
        if name not in same
    ]
    lines = [_aligned(rows, heads), "", _aligned(texts)]
    if same:
        lines += ["", f"equal to mIoU here: {'; '.join(MEANS[name][0] for name in same)}"]
    if summary.absent:
        lines += ["", f"absent from the truth: {', '.join(names[k] for k in summary.absent)}"]
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """A text table: the first column flush left, the numbers right."""
    align = ["left", *["right"] * (len(rows[0]) - 1)]
    if not heads:
        align[-1] = "left"
    return tabulate.tabulate(
        rows, heads, "simple" if heads else "plain", colalign=align, disable_numparse=True
    )


def same_as_miou(*means: Mapping[str, Any]) -> list[str]:
    """Which of the other ways to count absent classes give what mIoU is, in each of these.

    They agree where no class is absent, so that one number would stand there four times.
    """
    others = ("miou_truth", "miou_zero", "miou_one")
    return [name for name in others if means and all(m.get(name) == m["miou"] for m in means)]


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


def is_picture(path: pathlib.Path) -> bool:
    """Whether the file is a whole PNG."""
    try:
        with Image.open(io.BytesIO(files.read_bytes(path)), formats=["PNG"]) as opened:
            opened.verify()
    except Exception:  # Pillow raises nearly any type of a damaged file
        return False
    return True


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
    """`overlay.compared` as a PNG.

    Args:
      path: to write to.
      image: uint8 [H, W, 3].
      truth: train ids, uint8 [H, W].
      prediction: train ids, uint8 [H, W].
      labels: names and colours.
    """
    with whole_file.writing(path, sync=False) as file:
        Image.fromarray(overlay.compared(image, truth, prediction, labels)).save(file, "PNG")
