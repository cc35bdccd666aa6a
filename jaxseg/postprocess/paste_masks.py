"""Masks of objects, predicted on a small grid over a box, drawn on the image; on the host.

Two libraries do it differently, and a published AP belongs to one way of drawing.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

CONVENTIONS = ("torchvision", "detectron2")
_Span = tuple[int, int, np.ndarray]  # first pixel, one past the last, weights [pixels, M]


def _lerp(positions: np.ndarray, cells: int) -> np.ndarray:
    """Weights of the cells for positions between them; beyond them there are zeros."""
    distance = np.abs(positions[:, None] - np.arange(cells, dtype=np.float32))
    return np.maximum(0, 1 - distance).astype(np.float32)


def _torchvision(begin: np.float32, end: np.float32, cells: int, pixels: int) -> _Span:
    """A border of one cell of zeros, the box grown by it, cut to whole pixels, and resized.

    Both ends of the box are pixels of it; positions outside the mask take the nearest cell, which
    is zero.
    """
    half = np.float32(0.5) * (end - begin) * np.float32((cells + 2) / cells)
    centre = np.float32(0.5) * (end + begin)
    first, last = int(centre - half), int(centre + half)  # towards zero
    count = max(last - first + 1, 1)
    start, stop = max(first, 0), min(last + 1, pixels)
    scale = np.float32(cells + 2) / np.float32(count)
    inside = np.arange(start - first, max(stop, start) - first, dtype=np.float32)
    positions = (inside + np.float32(0.5)) * scale - np.float32(0.5)
    positions = np.clip(positions, 0, cells + 1)
    return start, start + len(inside), _lerp(positions, cells + 2)[:, 1:-1]


def _detectron2(begin: np.float32, end: np.float32, cells: int, pixels: int) -> _Span:
    """The mask at the centres of the pixels, zeros around it, to one pixel beyond the box."""
    start = max(int(np.floor(begin)) - 1, 0)
    stop = max(min(int(np.ceil(end)) + 1, pixels), start)
    centres = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
    # As `grid_sample` has it: from -1 to 1 over the box, from -0.5 to M - 0.5 over the cells.
    unit = (centres - begin) / (end - begin) * 2 - 1
    return start, stop, _lerp(((unit + 1) * cells - 1) / 2, cells)


def paste_mask(
    mask: Float[np.ndarray, "m m"],
    box: Float[np.ndarray, " 4"],
    size: Sequence[int],
    convention: str = "torchvision",
) -> Float[np.ndarray, "{size[0]} {size[1]}"]:
    """One mask on its image: float32 probabilities, zeros outside the box.

    Args:
      mask: probabilities on the grid over the box.
      box: x1, y1, x2, y2 in pixels of the image that is drawn on; also partly or wholly outside.
      size: (height, width) of that image.
      convention: "torchvision" (a border of zeros, whole pixels) or "detectron2" (the mask at the
        centres of pixels).

    Returns:
      [H, W]; zeros for a box without area.

    Raises:
      ValueError: `convention` is unknown.
    """
    if convention not in CONVENTIONS:
        raise ValueError(
            f"convention is {convention!r}: it must be one of {', '.join(CONVENTIONS)}"
        )
    image = np.zeros(tuple(size), np.float32)
    x1, y1, x2, y2 = np.asarray(box, np.float32)
    if not (np.isfinite(box).all() and x2 > x1 and y2 > y1):
        return image
    span = _torchvision if convention == "torchvision" else _detectron2
    top, bottom, rows = span(y1, y2, mask.shape[0], size[0])
    left, right, columns = span(x1, x2, mask.shape[1], size[1])
    image[top:bottom, left:right] = rows @ (mask.astype(np.float32) @ columns.T)
    return image


def paste_masks(
    masks: Float[np.ndarray, "d m m"],
    boxes: Float[np.ndarray, "d 4"],
    size: Sequence[int],
    convention: str = "torchvision",
    threshold: float = 0.5,
) -> Iterator[Bool[np.ndarray, "{size[0]} {size[1]}"]]:
    """The mask of each detection on the image, one after the other, since all would fill memory.

    A pixel belongs to the object if its probability is above the threshold; detectron2 counts one
    that is equal to it too.
    """
    for mask, box in zip(masks, boxes, strict=True):
        drawn = paste_mask(mask, box, size, convention)
        yield drawn >= threshold if convention == "detectron2" else drawn > threshold
