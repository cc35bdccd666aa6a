"""Predicts image files with a detector and writes the objects that it finds.

OUTPUT/detections.json     the results of all images in COCO's format, by descending score in each
OUTPUT/images.json         in COCO's format: the images, their sizes, and the categories
OUTPUT/instances/NAME.png  16 bits: k is the k-th detection of the image, 0 the background
OUTPUT/overlays/NAME.jpg   the image overlaid with masks, boxes, names and scores

A network that classifies pixels too also writes what `inference.panoptic_files` lists.

`COCO("images.json").loadRes("detections.json")` reads the first two. Category ids are the published
ones of the data set. Image ids are COCO's where all files have COCO's names or are numbers, or else
count from 0. `detections.json` holds all that the network returns (model.selection.score).
The other files show detections of at least a given score; where several cover a pixel, the best of
them has it.
"""

import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from jaxseg import whole_file
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.instances import image_ids, published, run_lengths
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import photos
from jaxseg.inference import object_overlay, panoptic_files
from jaxseg.inference.detect import Found
from jaxseg.inference.image_files import Predictions, predict_each
from jaxseg.inference.label_files import JPEG_QUALITY
from jaxseg.postprocess.panoptic import STUFF_AREA, Panoptic, merged

SCORE = 0.5  # from which on detections are drawn, as in Detectron2's demo
DETECTIONS, IMAGES = "detections.json", "images.json"


def predict_files(
    find: Callable[[np.ndarray], Found],
    labels: LabelSpec,
    inputs: Sequence[str | pathlib.Path],
    output: pathlib.Path,
    transform: InstanceTransform,
    *,
    score: float = SCORE,
    stuff_area: int = STUFF_AREA,
    progress: bool = True,
) -> Predictions:
    """Finds the objects in every image of `inputs`; unreadable ones are skipped.

    Args:
      find: of `detect.make_image_detector`.
      labels: names of the K classes.
      inputs: image files, or folders, which are searched recursively.
      output: the folder to write to; created if missing.
      transform: decides the canvas of an image.
      score: from which on detections are drawn, and in the maps of instances.
      stuff_area: pixels of the smallest segment of stuff.
      progress: show a bar with rate and remaining time.

    Raises:
      FileNotFoundError: an input does not exist.
      ValueError: the inputs contain no image, or the scores for an image are not finite.
    """
    images: list[dict[str, Any]] = []
    results: list[list[dict[str, Any]]] = []
    segments: list[dict[str, Any]] = []
    has_masks = False

    def write(photo: photos.Photo, image: np.ndarray) -> None:
        nonlocal has_masks
        found = find(image)
        masks = found.masks()
        regions = None if masks is None else [run_lengths(mask) for mask in masks]
        has_masks = regions is not None
        own = _results(found, regions, labels)
        _write_pictures(output, photo.name, image, found, regions, labels, score)
        if found.semantic is not None:
            whole = _merged(found, regions or (), labels, stuff_area)
            panoptic_files.write_map(output, photo.name, whole)
            segments.append(panoptic_files.annotation(photo.name, whole, labels))
        height, width = found.size  # from here on nothing can fail, so that the lists stay alike
        images.append({"file_name": _file_name(photo), "height": height, "width": width})
        results.append(own)

    done = predict_each(
        inputs,
        output,
        write,
        lambda size: transform.canvas_of(*size),
        progress=progress,
    )
    whole_file.folder_in(output)
    ids = image_ids([pathlib.PurePath(image["file_name"]).stem for image in images])
    numbered = [{"id": number, **image} for number, image in zip(ids, images, strict=True)]
    _write_json(output, numbered, results, labels)
    folders = ("instances", "overlays") if has_masks else ("overlays",)
    if segments:
        panoptic_files.write_json(output, numbered, segments, labels)
        folders = (*folders, panoptic_files.FILE, panoptic_files.FOLDER)
    return Predictions(
        done.written, done.refused, done.frames, done.left_out, (DETECTIONS, *folders)
    )


def instance_ids(
    masks: Iterator[np.ndarray] | Sequence[np.ndarray], size: tuple[int, int]
) -> np.ndarray:
    """A map of instances, uint16 [H, W]: k is the k-th mask, 0 no mask.

    Where several cover a pixel, it belongs to the first, so masks are given by descending score.
    """
    ids = np.zeros(size, np.uint16)
    for number, mask in enumerate(masks, 1):
        ids[(mask != 0) & (ids == 0)] = number
    return ids


def _merged(found: Found, regions: Sequence[bytes], labels: LabelSpec, stuff_area: int) -> Panoptic:
    """The segments of an image.

    Raises:
      ValueError: the classes of stuff are not known.
    """
    if labels.stuff is None:
        raise ValueError("the classes of stuff are not known: give the run folder (--workdir)")
    assert found.semantic is not None
    size = list(found.size)
    return merged(
        (rle.decode({"size": size, "counts": region}) for region in regions),
        found.classes.tolist(),
        found.scores.tolist(),
        found.semantic,
        labels.num_classes,
        stuff_area=stuff_area,
    )


def _results(
    found: Found, regions: Sequence[bytes] | None, labels: LabelSpec
) -> list[dict[str, Any]]:
    """The detections of an image in COCO's format, without the id of the image."""
    category_of = published(labels)
    results: list[dict[str, Any]] = []
    for i, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
        result = {
            "category_id": category_of[int(found.classes[i])],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(found.scores[i]),
        }
        if regions is not None:
            counts = regions[i].decode("ascii")
            result["segmentation"] = {"size": list(found.size), "counts": counts}
        results.append(result)
    return results


def _file_name(photo: photos.Photo) -> str:
    return photo.name if photo.renamed else photo.name + photo.file.suffix


def _write_json(
    output: pathlib.Path,
    images: Sequence[dict[str, Any]],
    results: Sequence[Sequence[dict[str, Any]]],
    labels: LabelSpec,
) -> None:
    detections = [
        {"image_id": image["id"], **result}
        for image, of_image in zip(images, results, strict=True)
        for result in of_image
    ]
    category_of = published(labels)
    categories = [{"id": category_of[k], "name": name} for k, name in enumerate(labels.names, 1)]
    about = {
        "info": {"description": "the images of detections.json"},
        "images": list(images),
        "annotations": [],
        "categories": categories,
    }
    for name, values in ((DETECTIONS, detections), (IMAGES, about)):
        whole_file.write_text(output / name, json.dumps(values))


def _write_pictures(
    output: pathlib.Path,
    name: str,
    image: np.ndarray,
    found: Found,
    regions: Sequence[bytes] | None,
    labels: LabelSpec,
    score: float,
) -> None:
    """The overlay and, of a detector with masks, the map of instances."""
    *folders, stem = pathlib.PurePath(name).parts
    shown = int((found.scores >= score).sum())  # they descend

    def masks() -> Iterator[np.ndarray] | None:
        if regions is None:
            return None
        size = list(found.size)
        return (rle.decode({"size": size, "counts": region}) for region in regions[:shown])

    if (drawn := masks()) is not None:
        path = whole_file.folder_in(output, "instances", *folders) / f"{stem}.png"
        with whole_file.writing(path, sync=False) as file:
            Image.fromarray(instance_ids(drawn, found.size)).save(file, "PNG")
    picture = object_overlay.drawn(
        image,
        found.boxes[:shown],
        found.classes[:shown],
        found.scores[:shown],
        masks(),
        labels.names,
    )
    path = whole_file.folder_in(output, "overlays", *folders) / f"{stem}.jpg"
    with whole_file.writing(path, sync=False) as file:
        Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
