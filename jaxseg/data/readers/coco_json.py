"""Reads an annotation file in COCO's format: images, their objects, and categories."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.data.instances import Objects
from jaxseg.data.readers import coco_masks


@dataclasses.dataclass(frozen=True)
class Annotation:
    """An object of the file; polygons are arrays, which take a tenth of the memory of lists."""

    number: Any
    image: Any
    category: int
    region: Any
    box: Sequence[float] | None
    area: float | None
    crowd: bool


@dataclasses.dataclass(frozen=True)
class Image:
    """An image and its annotations, in the order of the file."""

    file: str
    size: tuple[int, int]
    annotations: Sequence[Annotation]

    def objects(self) -> Objects:
        """The objects with published categories; missing boxes and areas are those of the masks.

        Raises:
          ValueError: a region cannot be drawn; the annotation is named.
        """
        height, width = self.size
        boxes, areas, regions = [], [], []
        for one in self.annotations:
            try:
                counts = coco_masks.encode(one.region, height, width)
                x, y, w, h = one.box if one.box is not None else coco_masks.box(counts, self.size)
                values = np.array([x, y, x + w, y + h], np.float64)
                if not np.isfinite(values).all():
                    raise ValueError(f"a box of {one.box}")
            except (ValueError, TypeError) as error:
                raise ValueError(f"has annotation {one.number} with {error}") from None
            boxes.append(values)
            areas.append(one.area if one.area is not None else coco_masks.area(counts, self.size))
            regions.append(counts)
        return Objects(
            size=self.size,
            boxes=np.array(boxes, np.float64).reshape(-1, 4),
            classes=np.array([one.category for one in self.annotations], np.int32),
            crowd=np.array([one.crowd for one in self.annotations], bool),
            areas=np.array(areas, np.float64),
            regions=tuple(regions),
        )


@dataclasses.dataclass(frozen=True)
class Listing:
    """The content of an annotation file.

    Attributes:
      images: ordered by file name.
      categories: id -> name, in the order of the ids.
    """

    images: Sequence[Image]
    categories: Mapping[int, str]


def _slim(value: dict[str, Any]) -> Any:
    """Called while the file is parsed, so that half a gigabyte never becomes lists of numbers."""
    if "image_id" not in value or "category_id" not in value:
        return value
    region = value.get("segmentation", [])
    if isinstance(region, list):
        region = [np.asarray(polygon, np.float64) for polygon in region]
    box, area = value.get("bbox"), value.get("area")
    return Annotation(
        number=value.get("id", "without an id"),
        image=value["image_id"],
        category=int(value["category_id"]),
        region=region,
        box=None if box is None else tuple(map(float, box)),
        area=None if area is None else float(area),
        crowd=bool(value.get("iscrowd", 0)),
    )


def read(path: pathlib.Path) -> Listing:
    """Reads a file.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it is damaged or has another format, or an annotation refers to an image or a
        category that is not listed.
    """
    try:
        content = json.loads(path.read_bytes(), object_hook=_slim)
        categories = {int(each["id"]): str(each["name"]) for each in content["categories"]}
        listed = sorted(
            (str(each["file_name"]), (int(each["height"]), int(each["width"])), each["id"])
            for each in content["images"]
        )
        own: dict[Any, list[Annotation]] = {number: [] for _, _, number in listed}
        annotations = list(content["annotations"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = "is damaged or not an annotation file in COCO's format"
        raise ValueError(f"{path} {what}: {error!r}") from None
    if len(own) < len(listed):
        raise ValueError(f"{path} lists {len(listed)} images with {len(own)} ids")
    for one in annotations:
        if not isinstance(one, Annotation):
            raise ValueError(f"{path} holds an annotation without image_id or category_id: {one}")
        if one.image not in own:
            raise ValueError(f"{path}: annotation {one.number} is of image {one.image}, not listed")
        if one.category not in categories:
            raise ValueError(
                f"{path}: annotation {one.number} is of category {one.category}, not listed"
            )
        own[one.image].append(one)
    images = [Image(file, size, own[number]) for file, size, number in listed]
    return Listing(images, dict(sorted(categories.items())))
