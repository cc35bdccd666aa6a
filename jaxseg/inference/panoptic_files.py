"""Writes the segments of images in the format of COCO's panoptic task.

OUTPUT/panoptic/NAME.png  the segment of each pixel: id = R + 256 G + 256^2 B, 0 outside all
OUTPUT/panoptic.json      the category of each segment, in each image; images, categories

The file and the folder are what COCO's panopticapi takes as a prediction. Category ids are the
published ones of the data set.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from jaxseg import whole_file
from jaxseg.data.instances import published
from jaxseg.data.labels import LabelSpec
from jaxseg.postprocess.panoptic import Panoptic

FOLDER, FILE = "panoptic", "panoptic.json"


def colours_of(ids: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The ids of segments, below 2^24, as RGB."""
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


def write_map(output: pathlib.Path, name: str, found: Panoptic) -> None:
    """Writes the map of one image."""
    *folders, stem = pathlib.PurePath(name).parts
    path = whole_file.folder_in(output, FOLDER, *folders) / f"{stem}.png"
    with whole_file.writing(path, sync=False) as file:
        Image.fromarray(colours_of(found.ids)).save(file, "PNG")


def annotation(name: str, found: Panoptic, labels: LabelSpec) -> dict[str, Any]:
    """The segments of one image, without the id of the image."""
    ids = category_ids(labels)
    counts = np.bincount(found.ids.ravel())
    segments = [
        {"id": number, "category_id": ids[kind], "area": int(counts[number]), "iscrowd": 0}
        for number, kind in found.categories.items()
    ]
    return {"file_name": f"{name}.png", "segments_info": segments}


def category_ids(labels: LabelSpec) -> list[int]:
    """The published id of each category of `postprocess.panoptic`: of things, then of stuff."""
    assert labels.stuff is not None
    things, stuff = published(labels), published(labels.stuff)
    return [
        *(things[k] for k in range(1, labels.num_classes + 1)),
        *(stuff[k] for k in range(2, labels.stuff.num_classes + 1)),  # 1 are all things together
    ]


def write_json(
    output: pathlib.Path,
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    labels: LabelSpec,
) -> None:
    """Writes the segments of all images.

    Args:
      output: the folder.
      images: each with its "id".
      annotations: of each image, from `annotation`.
      labels: the classes, with those of stuff.
    """
    assert labels.stuff is not None
    names = (*labels.names, *labels.stuff.names[1:])
    colours = (*labels.palette, *labels.stuff.palette[1:])
    about = {
        "images": list(images),
        "annotations": [
            {"image_id": image["id"], **each}
            for image, each in zip(images, annotations, strict=True)
        ],
        "categories": [
            {"id": number, "name": name, "isthing": int(k < labels.num_classes), "color": colour}
            for k, (number, name, colour) in enumerate(
                zip(category_ids(labels), names, colours, strict=True)
            )
        ],
    }
    whole_file.write_text(output / FILE, json.dumps(about))
