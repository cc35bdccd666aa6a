"""Draws the truth and the detections of images beside each other."""

import pathlib

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from jaxseg import whole_file
from jaxseg.data.instances import Objects
from jaxseg.data.source import InstanceSource
from jaxseg.evaluation.coco import ImageDetections
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.evaluation.pictures import PICTURES, best_and_worst
from jaxseg.inference import overlay
from jaxseg.inference.object_overlay import drawn
from jaxseg.percent import percent
from jaxseg.workdir import eval_folder

_LEAST_SIDE = 320  # pixels; smaller images are enlarged, so that labels do not hide them


def write(folder: pathlib.Path, evaluation: InstanceEvaluation, source: InstanceSource) -> None:
    """Writes the pictures of the images with the best and the worst F1.

    Args:
      folder: RUN/eval/TAG; its earlier pictures are removed.
      evaluation: ranks the images.
      source: the split that was evaluated.
    """
    eval_folder.clear_pictures(folder)
    for kind, place, image in best_and_worst(evaluation.images, PICTURES, by="f1"):
        path = folder / eval_folder.picture_name(kind, place, image["name"])
        with whole_file.writing(path, sync=False) as file:
            Image.fromarray(picture(evaluation, source, image["index"])).save(file, "PNG")


def picture(evaluation: InstanceEvaluation, source: InstanceSource, index: int) -> np.ndarray:
    """The truth of an image and its detections from `evaluation.score` on, uint8 RGB."""
    example, found = source[index], evaluation.detections.of(index)
    return compared(
        example["image"], example["objects"], found, evaluation.score, source.labels.names
    )


def compared(
    image: np.ndarray,
    truth: Objects,
    found: ImageDetections,
    score: float,
    names: tuple[str, ...],
) -> np.ndarray:
    """Draws truth and detections side by side, with titles.

    Args:
      image: uint8 [H, W, 3].
      truth: its objects; crowds are labelled as such.
      found: the detections of the image.
      score: of the least certain detections to draw.
      names: of the classes.

    Returns:
      uint8 RGB.
    """
    factor = max(1, -(-_LEAST_SIDE // min(image.shape[:2])))
    large = _enlarged(image, factor)
    classes = np.where(truth.crowd, len(names) + 1, truth.classes)
    masks = (_enlarged(truth.mask(i), factor) for i in range(len(truth)))
    left = drawn(large, factor * truth.boxes, classes, None, masks, (*names, "crowd"))
    kept = np.flatnonzero(found.scores >= score)
    right = drawn(
        large,
        factor * found.boxes[kept],
        found.classes[kept],
        found.scores[kept],
        (_enlarged(rle.decode(found.masks[i]), factor) for i in kept) if found.masks else None,
        names,
    )
    return overlay.strip(
        [left, right], ["truth", f"detections, score {percent(score, 0)} % or more"]
    )


def _enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
