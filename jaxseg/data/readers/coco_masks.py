"""Draws the regions of COCO's annotations as masks, pixel for pixel as COCO's own tools do.

Source: github.com/cocodataset/cocoapi, common/maskApi.c; the tests compare with pycocotools.
"""

from collections.abc import Sequence

import numpy as np

_SCALE = 5  # outlines are traced on a grid finer by this factor


def _outline(polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the fine grid along the closed outline, including both ends of each edge.

    Args:
      polygon: corners (x, y) in pixels, float64 [N, 2].

    Returns:
      x and y, int64 [M] each.
    """
    start = np.trunc(_SCALE * polygon + 0.5).astype(np.int64)  # [N, 2]
    end = np.roll(start, -1, axis=0)
    length = np.abs(end - start).max(axis=1)  # [N]
    flat = np.abs(end - start)[:, 0] >= np.abs(end - start)[:, 1]
    along = np.where(flat, 0, 1)  # the axis on which an edge steps by one
    edge = np.arange(len(start))
    backward = start[edge, along] > end[edge, along]
    first = np.where(backward[:, None], end, start)
    last = np.where(backward[:, None], start, end)
    slope = (last - first)[edge, 1 - along] / np.maximum(length, 1)
    which = np.repeat(edge, length + 1)  # [M]
    step = np.arange(len(which)) - np.repeat(np.cumsum(length + 1) - length - 1, length + 1)
    step = np.where(backward[which], length[which] - step, step)
    stepped = first[which, along[which]] + step
    sloped = np.trunc(first[which, 1 - along[which]] + slope[which] * step + 0.5).astype(np.int64)
    return np.where(flat[which], stepped, sloped), np.where(flat[which], sloped, stepped)


def fill_polygon(polygon: Sequence[float] | np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels inside a polygon.

    Args:
      polygon: x1, y1, x2, y2 ... in pixels.
      height: of the image.
      width: of the image.

    Returns:
      bool [H, W].

    Raises:
      ValueError: there are not two numbers per corner.
    """
    corners = np.asarray(polygon, np.float64)
    if corners.ndim != 1 or not len(corners) or len(corners) % 2 or not np.isfinite(corners).all():
        raise ValueError(f"a polygon of {corners.size} numbers")
    mask = np.zeros((height, width), bool)
    x, y = _outline(corners.reshape(-1, 2))
    left = np.where(x[1:] < x[:-1], x[1:], x[1:] - 1)
    column = (left + 0.5) / _SCALE - 0.5
    crossing = (x[1:] != x[:-1]) & (column == np.floor(column))
    crossing &= (column >= 0) & (column <= width - 1)  # the outline crosses the centre of a column
    row = (np.minimum(y[1:], y[:-1]) + 0.5) / _SCALE - 0.5
    row = np.ceil(np.clip(row, 0, height)).astype(np.int64)[crossing]
    column = column.astype(np.int64)[crossing]
    if not len(column):
        return mask
    low, high = column.min(), column.max() + 1
    turns = np.zeros((high - low, height + 1), np.uint8)
    np.bitwise_xor.at(turns, (column - low, row), 1)
    inside = np.bitwise_xor.accumulate(turns, axis=1)[:, :height]
    mask[:, low:high] = inside.T.astype(bool)
    return mask


def fill_runs(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """The pixels of run lengths, which start outside and run down the columns.

    Args:
      counts: numbers of pixels outside, inside, outside ...
      height: of the image.
      width: of the image.

    Returns:
      bool [H, W].

    Raises:
      ValueError: they are not numbers, or do not add up to the image's pixels.
    """
    if not isinstance(counts, list):
        raise ValueError("runs that are compressed to text, which COCO's instances never are")
    runs = np.asarray(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"runs of {runs.sum()} pixels in an image of {height} x {width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
