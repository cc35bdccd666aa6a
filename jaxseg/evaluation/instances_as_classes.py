"""The evaluation of a detector as a semantic segmentation: mIoU of the classes of pixels.

Truth and detections are both turned into one class for each pixel (`postprocess.class_map`); pixels
without an object are background. Detectors can then be compared with semantic networks.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from pycocotools import mask as rle

from jaxseg.data.labels import LabelSpec
from jaxseg.evaluation.coco import ImageDetections
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.evaluation.record import Evaluation
from jaxseg.metrics import summarize
from jaxseg.postprocess import class_map
from jaxseg.workdir import per_image

SCORE = 0.5  # of detections; detectron2's for panoptic segmentation


def check(model: nn.Module, semantic: bool) -> None:
    """Raises ValueError if `semantic` is set but the detector has no masks of classes."""
    if semantic and not hasattr(model, "mask_head"):
        raise ValueError(
            f"eval.semantic=True needs masks of classes, which {type(model).__name__} does not "
            "predict: set --config.eval.semantic=False"
        )


def with_background(labels: LabelSpec) -> LabelSpec:
    """The classes of the pixels: the background, black, and those of the objects as 1 to K.

    Raises:
      ValueError: there are more classes than ids.
    """
    name = "background" if "background" not in labels.names else "no object"
    identity = {k: k for k in range(labels.num_classes + 1)}
    return LabelSpec((name, *labels.names), ((0, 0, 0), *labels.palette), identity)


def evaluate(evaluation: InstanceEvaluation, labels: LabelSpec, score: float = SCORE) -> Evaluation:
    """Compares the classes of all pixels, of detections with this score or more.

    Args:
      evaluation: of a detector with masks; see `check`.
      labels: the classes of the objects.
      score: the least.

    Returns:
      An evaluation with the classes of `with_background`.

    Raises:
      ValueError: there are more classes than ids.
    """
    started = time.monotonic()
    classes = with_background(labels).num_classes
    objects: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for each in evaluation.truth["annotations"]:
        objects[each["image_id"]].append(each)
    matrices: list[np.ndarray] = []
    for image in evaluation.truth["images"]:
        size = image["height"], image["width"]
        own = objects[image["id"]]
        truth = class_map.of_truth(
            (rle.decode(each["segmentation"]) for each in own),
            [each["category_id"] for each in own],
            size,
        )
        found = _detected(evaluation.detections.of(image["id"]), size, score)
        matrices.append(_confusion(truth, found, classes))
    return Evaluation(
        confusion=np.sum(matrices, axis=0),
        images=[
            _numbers(index, name, matrix)
            for index, (name, matrix) in enumerate(zip(evaluation.names, matrices, strict=True))
        ],
        seconds=time.monotonic() - started,
        per_image=per_image.gather(evaluation.names, classes, map(per_image.entries, matrices)),
    )


def _detected(of: ImageDetections, size: tuple[int, int], score: float) -> np.ndarray:
    shown = int((of.scores >= score).sum())  # they descend
    masks = (rle.decode(mask) for mask in of.masks[:shown])
    return class_map.of_detections(masks, of.classes[:shown].tolist(), size)


def _confusion(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """int64 [K + 1, K + 1]: truth in rows; pixels of which the truth is void are not counted."""
    valid = truth < classes
    cell = truth[valid].astype(np.int64) * classes + found[valid]
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes)


def _numbers(index: int, name: str, matrix: np.ndarray) -> dict[str, Any]:
    summary = summarize(matrix)
    return {
        "index": index,
        "name": name,
        "miou": summary.miou,
        "pixel_accuracy": summary.pixel_accuracy,
    }
