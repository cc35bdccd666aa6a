"""The warping error of the ISBI 2012 challenge on neurons in EM, with NumPy and SciPy.

Jain et al., Boundary Learning by Optimization with Topological Constraints (CVPR 2010): the truth
is warped towards the prediction by flipping single pixels without changing the topology. Pixels
that still differ are the error: a border that is thicker, or shifted by its width, costs nothing,
while a cell that is split, or two that are merged, do. Cells are 4-connected and the membranes
between them 8-connected; outside the image is membrane, as in the challenge's program, Fiji's
trainableSegmentation.metrics.WarpingError. The order of flips, the kinds of errors and the
thresholds are also taken from there.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Num, Shaped
from scipy import ndimage

THRESHOLDS = tuple(i / 10 for i in range(10))
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise
_KINDS = ("split", "merger", "other")


def _simple_points() -> np.ndarray:
    """Marks which of the 256 neighbourhoods make a simple point; bit i is neighbour i of `_AROUND`.

    A point is simple if the number of its side neighbours, minus the number of pairs of them that
    are joined by a corner neighbour, is 1 (Yokoi et al., 1975, for 4-connectivity): then flipping
    it neither joins nor separates cells, and neither makes nor fills a hole.
    """
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1  # [256, 8]
    sides = bits[:, ::2]
    joined = sides & bits[:, 1::2] & np.roll(sides, -1, axis=1)
    return (sides.sum(axis=1) - joined.sum(axis=1)) == 1


_SIMPLE = tuple(_simple_points().tolist())


def warp(
    truth: Shaped[np.ndarray, "h w"],
    inside: Shaped[np.ndarray, "h w"],
    certainty: Num[np.ndarray, "h w"] | None = None,
    *,
    movable: Bool[np.ndarray, "h w"] | None = None,
) -> Bool[np.ndarray, "h w"]:
    """Flips pixels of the truth to the prediction as long as this does not change the topology.

    Pixels are tried in order of certainty, repeatedly until no flip is possible. This is greedy:
    another order may leave fewer differences.

    Args:
      truth: whether a pixel is inside a cell.
      inside: the prediction.
      certainty: the order of flips, largest first and ties in row order. None means all equal.
      movable: the mask of Jain et al.; None means every pixel, as in the challenge.

    Raises:
      ValueError: the shapes differ or are not [H, W].

    Examples:
      >>> truth, inside = np.array([[1, 1, 0, 1]], bool), np.array([[1, 1, 1, 1]], bool)
      >>> print(warp(truth, inside))  # filling the gap would merge two cells
      [[ True  True False  True]]
    """
    parts = [part for part in (truth, inside, certainty, movable) if part is not None]
    if np.ndim(truth) != 2 or any(np.shape(part) != np.shape(truth) for part in parts):
        raise ValueError(f"maps {[np.shape(part) for part in parts]} must have one shape [H, W]")
    framed = np.pad(np.asarray(truth, bool), 1)
    pitch = framed.shape[1]
    around = np.zeros(framed.shape, np.uint8)  # the bits of each pixel's neighbours
    for bit, (y, x) in enumerate(_AROUND):
        around |= np.roll(framed, (-y, -x), (0, 1)).astype(np.uint8) << bit
    differs = np.asarray(truth, bool) != np.asarray(inside, bool)
    if movable is not None:
        differs &= np.asarray(movable, bool)
    rows, columns = np.nonzero(differs)
    if certainty is not None:
        order = np.argsort(-np.asarray(certainty, np.float64)[rows, columns], kind="stable")
        rows, columns = rows[order], columns[order]
    left = ((rows + 1) * pitch + columns + 1).tolist()
    codes, values = around.ravel().tolist(), framed.ravel().tolist()
    # A pixel is neighbour i + 4 (mod 8) of its neighbour i.
    changes = [(y * pitch + x, 1 << (bit + 4) % 8) for bit, (y, x) in enumerate(_AROUND)]
    flipped = True
    while flipped:
        flipped, waiting = False, []
        for place in left:
            if _SIMPLE[codes[place]]:
                flipped, values[place] = True, not values[place]
                for offset, bit in changes:
                    codes[place + offset] ^= bit
            else:
                waiting.append(place)
        left = waiting
    return np.asarray(values, bool).reshape(framed.shape)[1:-1, 1:-1]


def kinds_of_errors(
    warped: Shaped[np.ndarray, "h w"], inside: Shaped[np.ndarray, "h w"], *, radius: int = 20
) -> Int64[np.ndarray, "3"]:
    """Counts the pixels that differ after `warp` and split a cell, merge two, or do neither.

    A missing pixel is a split if it separates its cell; an added pixel is a merger if it touches
    two cells. Other pixels make or fill a hole, or make or remove a cell.

    Args:
      warped: from `warp`.
      inside: the prediction.
      radius: in pixels, of the square within which the parts of a cell must be connected.

    Returns:
      Pixels of splits, of mergers and of others, which can be added over slices.

    Raises:
      ValueError: the shapes differ or are not [H, W].

    Examples:
      >>> warped, inside = (np.pad([[1, 1, gap, 1]], 1) > 0 for gap in (0, 1))
      >>> print(kinds_of_errors(warped, inside))
      [0 1 0]
    """
    if np.ndim(warped) != 2 or np.shape(warped) != np.shape(inside):
        raise ValueError(f"maps {[np.shape(warped), np.shape(inside)]} must have one shape [H, W]")
    names = ndimage.label(warped)[0]
    counts = dict.fromkeys(_KINDS, 0)
    for y, x in np.argwhere(np.asarray(warped, bool) != np.asarray(inside, bool)).tolist():
        ids = _ids_about(names, y, x)
        kind = "other"
        if len(ids) > 2:
            kind = "split" if warped[y, x] else "merger"
        elif len(ids) == 2 and warped[y, x]:
            top, left = max(0, y - radius), max(0, x - radius)
            window = np.array(warped[top : y + radius + 1, left : x + radius + 1])
            window[y - top, x - left] = False
            if len(_ids_about(ndimage.label(window)[0], y - top, x - left)) > 2:
                kind = "split"
        counts[kind] += 1
    return np.array(list(counts.values()), np.int64)


def _ids_about(names: np.ndarray, y: int, x: int) -> set[int]:
    """Returns the ids of those of a pixel's eight neighbours that are in the image."""
    about = names[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].ravel().tolist()
    about.remove(names[y, x])
    return set(about)


def warping_errors(
    scores: Float[np.ndarray, "n h w"],
    truth: Shaped[np.ndarray, "n h w"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    reach: float | None = None,
    radius: int = 20,
) -> Float64[np.ndarray, "{len(thresholds)} 2"]:
    """Shares of the pixels that differ after the warping, at each threshold.

    Void counts as membrane that is neither flipped nor counted. If no pixel is predicted inside, no
    cell is split or merged: check the threshold, and the paper's error, before using the
    challenge's.

    Unsure: whether the challenge's table used a square of radius 20 for splits, as in its script,
    or the whole image, and which thresholds it used.

    Args:
      scores: probability of being inside a cell.
      truth: 1 inside a cell, 0 on a membrane, other values where void.
      thresholds: pixels with scores above it are inside.
      reach: the largest distance of flips from the truth's borders in pixels; None means anywhere,
        as in the challenge.
      radius: see `kinds_of_errors`.

    Returns:
      For each threshold, the share of splits and mergers (the error of the challenge) and of all
      pixels that differ (the error of the paper); nan if no pixel is counted.

    Raises:
      ValueError: the shapes differ or are not [N, H, W].

    Examples:
      >>> truth, scores = (np.pad([[0.9, 0.9, gap, 0.9]], 1)[None] for gap in (0.0, 0.6))
      >>> print(warping_errors(scores, truth.round(), thresholds=(0.5, 0.8)).round(3))
      [[0.056 0.056]
       [0.    0.   ]]
    """
    if np.shape(scores) != np.shape(truth) or np.ndim(scores) != 3:
        raise ValueError(
            f"scores {np.shape(scores)} and truth {np.shape(truth)} must both be [N, H, W]"
        )
    counted = (truth == 0) | (truth == 1)
    cells = truth == 1
    movable = [near_borders(one, reach) for one in cells]
    counts = np.zeros((len(thresholds), 3), np.int64)
    for index, threshold in enumerate(thresholds):
        inside = (scores > threshold) & counted
        sure = np.abs(scores - threshold)
        for one, guess, order, where in zip(cells, inside, sure, movable, strict=True):
            warped = warp(one, guess, order, movable=where)
            counts[index] += kinds_of_errors(warped, guess, radius=radius)
    sums = np.stack([counts[:, :2].sum(axis=1), counts.sum(axis=1)], axis=1).astype(np.float64)
    return sums / counted.sum() if counted.any() else np.full(sums.shape, np.nan)


def near_borders(cells: Bool[np.ndarray, "h w"], reach: float | None) -> Bool[np.ndarray, "h w"]:
    """Marks pixels within `reach` of a pixel of the other kind; all pixels if it is None.

    Examples:
      >>> print(near_borders(np.array([[True, True, True, False]]), reach=1.0))
      [[False False  True  True]]
    """
    if reach is None:
        return np.ones(cells.shape, bool)
    if cells.all() or not cells.any():
        return np.zeros(cells.shape, bool)
    away = ndimage.distance_transform_edt(cells) + ndimage.distance_transform_edt(~cells)
    return away <= reach


def warping_error(
    scores: Float[np.ndarray, "n h w"],
    truth: Shaped[np.ndarray, "n h w"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> float:
    """The challenge's error: the minimum over thresholds of the share of splits and mergers.

    See `warping_errors` for the arguments.

    Raises:
      ValueError: the shapes differ or are not [N, H, W].

    Examples:
      >>> warping_error(np.array([[[0.9, 0.9, 0.6, 0.9]]]), np.array([[[1, 1, 0, 1]]]))
      0.0
    """
    return float(warping_errors(scores, truth, thresholds=thresholds)[:, 0].min())
