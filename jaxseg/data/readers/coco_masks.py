"""Converts the regions of COCO's annotations to masks with pycocotools, COCO's own code."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

_LEAST = 6  # numbers of a polygon with an area; pycocotools reads four numbers as a box


def encode(region: Any, height: int, width: int) -> bytes:
    """The run lengths of an annotation's "segmentation", in COCO's compressed form.

    Args:
      region: polygons, whose union is the object; or {"counts": runs} with numbers or text.
      height: of the image.
      width: of the image.

    Raises:
      ValueError: it is neither, or does not have the size of the image.
    """
    if isinstance(region, Mapping):
        return _of_runs(region.get("counts"), region.get("size"), height, width)
    if not isinstance(region, Sequence) or isinstance(region, str):
        raise ValueError(f"a region that is {region!r}: neither polygons nor runs")
    corners = [each for each in map(_checked, region) if len(each) >= _LEAST]
    if not corners:
        return rle.encode(np.zeros((height, width), np.uint8, order="F"))["counts"]
    return rle.merge(rle.frPyObjects(corners, height, width))["counts"]


def _checked(polygon: Any) -> list[float]:
    corners = np.asarray(polygon, np.float64)
    if corners.ndim != 1 or len(corners) % 2 or not np.isfinite(corners).all():
        raise ValueError(f"a polygon of {corners.size} numbers")
    return corners.tolist()


def _of_runs(counts: Any, size: Any, height: int, width: int) -> bytes:
    if isinstance(counts, str | bytes):
        encoded = {"size": [height, width], "counts": counts}
        if size is not None and list(size) != [height, width]:
            raise ValueError(f"runs of {size} in an image of {height} x {width}")
        mask = rle.decode(encoded)  # raises ValueError for runs of another size
        return rle.encode(np.asfortranarray(mask))["counts"]
    runs = np.asarray(counts if isinstance(counts, list) else [-1])
    if runs.ndim != 1 or runs.dtype.kind not in "iu" or (runs < 0).any():
        raise ValueError(f"runs that are {str(counts)[:40]}: not numbers of pixels")
    if runs.sum() != height * width:
        raise ValueError(f"runs of {runs.sum()} pixels in an image of {height} x {width}")
    return rle.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)[
        "counts"
    ]


def fill(region: Any, height: int, width: int) -> np.ndarray:
    """`encode` as pixels, bool [H, W]."""
    counts = encode(region, height, width)
    return rle.decode({"size": [height, width], "counts": counts}).astype(bool)


def box(counts: bytes, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """x, y, width and height of a mask in an image of (height, width); zeros if it is empty."""
    x, y, width, height = rle.toBbox({"size": list(size), "counts": counts}).tolist()
    return x, y, width, height


def area(counts: bytes, size: tuple[int, int]) -> float:
    """The number of pixels of a mask in an image of (height, width)."""
    return float(rle.area({"size": list(size), "counts": counts}))
