"""Objects from masks in which each object has an id; such objects do not overlap."""

from collections.abc import Callable

import cv2
import numpy as np
from pycocotools import mask as rle

from jaxseg.data.instances import Objects

# Id -> its category and whether it is a crowd, or None for no object.
Meaning = Callable[[int], tuple[int, bool] | None]


def objects_of(ids: np.ndarray, meaning: Meaning) -> Objects:
    """The objects of an id map, in the order of the ids.

    An object may have several parts. Its box and area are those of its pixels.

    Args:
      ids: uint8 or uint16 [H, W].
      meaning: called once for each id in the map.

    Raises:
      ValueError: `meaning` raises it.
    """
    kept = [(number, of) for number in np.unique(ids).tolist() if (of := meaning(number))]
    boxes, areas, regions = [], [], []
    for number, _ in kept:
        inside = (ids == number).view(np.uint8)
        x, y, width, height = cv2.boundingRect(inside)
        boxes.append((x, y, x + width, y + height))
        areas.append(cv2.countNonZero(inside))
        regions.append(rle.encode(np.asfortranarray(inside))["counts"])
    return Objects(
        size=(ids.shape[0], ids.shape[1]),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        classes=np.array([category for _, (category, _) in kept], np.int32),
        crowd=np.array([crowd for _, (_, crowd) in kept], bool),
        areas=np.array(areas, np.float64),
        regions=tuple(regions),
    )


def one_class(number: int) -> tuple[int, bool] | None:
    """Every id except 0 is an object of the only class."""
    return (1, False) if number else None


def by_thousands(number: int) -> tuple[int, bool] | None:
    """Cityscapes' convention: 1000 c + n is object n of class c, and c alone is a crowd."""
    if number == 0:
        return None
    return (number // 1000, False) if number >= 1000 else (number, True)
