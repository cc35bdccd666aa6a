"""The result of an evaluation, and its record in a run folder."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxseg import whole_file
from jaxseg.data.labels import LabelSpec
from jaxseg.metrics import image_intervals, summarize
from jaxseg.metrics.definitions import LEVEL, MEANS
from jaxseg.workdir import log, per_image
from jaxseg.workdir.per_image import PerImage

_PER_CLASS = ("iou", "dice", "precision", "recall")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    confusion: np.ndarray  # int64 [K, K]: truth in rows, prediction in columns
    # "index", "name", "miou" and "pixel_accuracy" (nan if all pixels are void)
    images: list[dict[str, Any]]
    seconds: float
    per_image: PerImage | None = None  # confusion matrices, in the order of the images
    boundary: dict[str, Any] | None = None  # from `boundary_suite`, if requested
    probabilities: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by name
    # frame -> number of images
    frames: Mapping[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    loss: float | None = None  # mean over the valid pixels, if requested


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def to_json(evaluation: Evaluation, labels: LabelSpec) -> dict[str, Any]:
    """Returns the metrics of an evaluation as JSON values, with classes by name and null for 0 / 0.

    "miou_interval" is [low, high] over resampled images, or null with fewer than two images.
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
    found = image_intervals.bootstrap_miou(counts.class_counts(), level=LEVEL)
    return [found.low, found.high]


def write(
    folder: pathlib.Path,
    tag: str,
    evaluation: Evaluation,
    labels: LabelSpec,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes TAG.json and TAG.npz, and creates the folder for pictures.

    Args:
      folder: RUN/eval.
      tag: from `eval_folder.tag`.
      evaluation: the result.
      labels: the classes.
      about: further entries of the record, such as weights, data and environment.

    Returns:
      The record.
    """
    whole_file.folder_in(folder, tag)
    whole_file.sweep(folder, deep=True)
    record = {**about, **to_json(evaluation, labels)}
    if evaluation.per_image:
        per_image.write(folder / f"{tag}.npz", evaluation.per_image)
    log.write_json(folder / f"{tag}.json", record)
    return record
