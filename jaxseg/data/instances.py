"""The objects of an image: what an example of an instance set holds besides its image.

Masks are stored as COCO's compressed run lengths, which are exact, small, and allow masks to
overlap. Classes are 1 to K in the order of the LabelSpec's names; 0 is the background. Boxes are
x1, y1, x2, y2 in pixels. x2 and y2 lie one beyond the last pixel, so x2 - x1 is the width.
"""

import dataclasses
import json
import re
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as rle

from jaxseg.data.labels import LabelSpec

# COCO's names: 000000397133, and COCO_val2014_000000397133.
_PUBLISHED = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d+)")


@dataclasses.dataclass(frozen=True)
class Objects:
    """The objects of one image, in the order of its annotations.

    Attributes:
      size: (height, width) of the image.
      boxes: float64 [G, 4].
      classes: int32 [G], 1 to K, or the published categories before `classes_of`.
      crowd: bool [G]: whether it is a group of objects that are not annotated one by one.
      areas: float64 [G], in pixels: the published numbers, or those of the masks.
      regions: run lengths of each mask, in COCO's compressed form.
    """

    size: tuple[int, int]
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    regions: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.regions)

    def encoded(self, index: int) -> dict[str, object]:
        """The mask of an object as pycocotools has it."""
        return {"size": list(self.size), "counts": self.regions[index]}

    def mask(self, index: int) -> np.ndarray:
        """uint8 [H, W], 0 or 1."""
        return np.ascontiguousarray(rle.decode(self.encoded(index)))

    def take(self, indices: Sequence[int] | np.ndarray) -> "Objects":
        """The objects with these indices, in this order."""
        chosen = np.asarray(indices, np.int64)
        return dataclasses.replace(
            self,
            boxes=self.boxes[chosen],
            classes=self.classes[chosen],
            crowd=self.crowd[chosen],
            areas=self.areas[chosen],
            regions=tuple(self.regions[i] for i in chosen),
        )


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The smallest box that holds a mask [H, W]; zeros for an empty mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def run_lengths(mask: np.ndarray) -> bytes:
    """A mask [H, W], non-zero inside, as an entry of `Objects.regions`."""
    counts: bytes = rle.encode(np.asfortranarray(mask != 0, np.uint8))["counts"]
    return counts


def of_masks(
    masks: Sequence[np.ndarray],
    classes: Sequence[int],
    size: tuple[int, int],
    crowd: Sequence[bool] | None = None,
) -> Objects:
    """Objects from their masks; boxes and areas are those of the masks.

    Args:
      masks: of each object, [H, W], non-zero inside.
      classes: of each object.
      size: (height, width) of the image.
      crowd: whether each object is a crowd; by default none is.
    """
    boxes = [box_of(mask) for mask in masks]
    regions = [run_lengths(mask) for mask in masks]
    return Objects(
        size=size,
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        classes=np.array(classes, np.int32).reshape(-1),
        crowd=np.zeros(len(boxes), bool) if crowd is None else np.array(crowd, bool).reshape(-1),
        areas=np.array([np.count_nonzero(mask) for mask in masks], np.float64),
        regions=tuple(regions),
    )


def to_text(objects: Objects) -> str:
    """The objects as JSON, as stored in an example; `from_text` reads it."""
    each = [
        [int(category), int(crowd), float(area), *map(float, box), region.decode("ascii")]
        for category, crowd, area, box, region in zip(
            objects.classes,
            objects.crowd,
            objects.areas,
            objects.boxes,
            objects.regions,
            strict=True,
        )
    ]
    return json.dumps({"size": list(objects.size), "objects": each}, separators=(",", ":"))


def from_text(text: str | bytes, where: str) -> Objects:
    """The inverse of `to_text`.

    Raises:
      ValueError: the text is damaged; `where` names the example.
    """
    try:
        values = json.loads(text)
        height, width = (int(side) for side in values["size"])
        each = values["objects"]
        numbers = np.array([one[:7] for one in each], np.float64).reshape(-1, 7)
        return Objects(
            size=(height, width),
            boxes=numbers[:, 3:7],
            classes=numbers[:, 0].astype(np.int32),
            crowd=numbers[:, 1].astype(bool),
            areas=numbers[:, 2],
            regions=tuple(one[7].encode("ascii") for one in each),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{where}: its objects cannot be read ({error!r})") from error


def classes_of(objects: Objects, labels: LabelSpec, where: str) -> Objects:
    """Published categories -> classes 1 to K.

    Raises:
      ValueError: the spec lacks a category; `where` names the example.
    """
    known = labels.raw_to_train
    unknown = sorted({int(raw) for raw in objects.classes} - known.keys())
    if unknown:
        raise ValueError(f"{where}: holds an object of category {unknown[0]}, which no class has")
    classes = np.array([known[int(raw)] + 1 for raw in objects.classes], np.int32)
    return dataclasses.replace(objects, classes=classes)


def published(labels: LabelSpec) -> dict[int, int]:
    """Class, 1 to K -> the category id in the annotations of the set, the smallest of several."""
    return {train + 1: raw for raw, train in sorted(labels.raw_to_train.items(), reverse=True)}


def image_ids(names: Sequence[str]) -> list[int]:
    """COCO's ids where all names are COCO's, else the indices of the images."""
    found = [_PUBLISHED.fullmatch(name) for name in names]
    ids = [int(match[1]) for match in found if match]
    return ids if len(set(ids)) == len(names) else list(range(len(names)))


def unpacked(masks: np.ndarray, width: int) -> np.ndarray:
    """Masks of a batch, uint8 [..., H, ceil(W / 8)], as bool [..., H, W]."""
    return np.unpackbits(masks, axis=-1, count=width).astype(bool)
