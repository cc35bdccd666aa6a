"""The warping error of the ISBI 2012 challenge of neurons in EM; NumPy and SciPy.

Jain et al., Boundary Learning by Optimization with Topological Constraints (CVPR 2010): the truth
is warped towards the prediction, by flips of single pixels that change no topology. Pixels that
differ after it are the error: a border that is thicker, or moved by its own width, costs nothing; a
cell that is split, or two that are merged, do. Cells are connected at sides, the membranes between
them at corners too; beyond the image is membrane, as in the challenge's program, Fiji's
trainableSegmentation.metrics.WarpingError. From there also come the order of flips, the kinds of
error and the thresholds.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Num, Shaped
from scipy import ndimage

THRESHOLDS = tuple(i / 10 for i in range(10))
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise
_KINDS = ("split", "merger", "other")


def _simple_points() -> np.ndarray:
    """Which of the 256 surroundings, bit i being neighbour i of `_AROUND`, make a simple point.

    It is one where the number of neighbours at sides less that of the pairs of them with the corner
    between is 1 (Yokoi et al., 1975, for 4-connected figures): then a flip neither joins nor parts
    cells, nor makes or fills a hole.
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
    """The truth, with all pixels flipped to the prediction that change no topology by it.

    The surest are tried first, again and again until no flip is left. That is greedy: another order
    may leave fewer differences.

    Args:
      truth: whether a pixel is inside a cell.
      inside: the prediction.
      certainty: the order: the largest first, equal ones by rows. None: all equal.
      movable: the mask of Jain et al.; None: every pixel, as in the challenge.

    Raises:
      ValueError: shapes that differ or are not [H, W].

    Examples:
      >>> truth, inside = np.array([[1, 1, 0, 1]], bool), np.array([[1, 1, 1, 1]], bool)
      >>> print(warp(truth, inside))  # filling the gap would merge two cells
      [[ True  True False  True]]
    """
    parts = [part for part in (truth, inside, certainty, movable) if part is not None]
    if np.ndim(truth) != 2 or any(np.shape(part) != np.shape(truth) for part in parts):
        raise ValueError(f"maps {[np.shape(part) for part in parts]} must all be one [H, W]")
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
    # A pixel is to its neighbour i what that one's neighbour i + 4 is to it.
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
    """How many pixels that differ after `warp` split a cell, merge two, or do something else.

    A missing pixel splits where it parts its cell; an added one merges where it touches two. Others
    make or fill a hole, begin a cell or end one.

    Args:
      warped: of `warp`.
      inside: the prediction.
      radius: in pixels, of the square in which parts of a cell must stay connected.

    Returns:
      Pixels of splits, of mergers, of others; adds up over slices.

    Raises:
      ValueError: shapes that differ or are not [H, W].

    Examples:
      >>> warped, inside = (np.pad([[1, 1, gap, 1]], 1) > 0 for gap in (0, 1))
      >>> print(kinds_of_errors(warped, inside))
      [0 1 0]
    """
    if np.ndim(warped) != 2 or np.shape(warped) != np.shape(inside):
        raise ValueError(f"maps {[np.shape(warped), np.shape(inside)]} must both be one [H, W]")
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
    """The ids of the eight neighbours of a pixel, as far as they are in the image."""
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
    """Shares of pixels that differ after the warping, at each threshold.

    Void is membrane that is neither flipped nor counted. Where nothing is inside, nothing is split
    or merged: look at the threshold, and at the paper's error, before taking the challenge's.

    Unsure: whether the challenge's table was made with a square of radius 20 for splits, as its
    script has, or with the whole image; and with which thresholds.

    Args:
      scores: probability of being inside a cell.
      truth: 1 inside a cell, 0 on a membrane, anything else where void.
      thresholds: a pixel is inside above it.
      reach: how far in pixels from the truth's borders flips may be; None: anywhere, as in the
        challenge.
      radius: of `kinds_of_errors`.

    Returns:
      Of splits and mergers alone, which is the challenge's, and of all pixels that
      differ, which is the paper's; nan where nothing is counted.

    Raises:
      ValueError: shapes that differ or are not [N, H, W].

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
    """Pixels at most `reach` away from one of the other kind; None: every pixel.

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
    """The challenge's: the least share of pixels that split or merge cells over thresholds.

    Arguments as of `warping_errors`.

    Raises:
      ValueError: shapes that differ or are not [N, H, W].

    Examples:
      >>> warping_error(np.array([[[0.9, 0.9, 0.6, 0.9]]]), np.array([[[1, 1, 0, 1]]]))
      0.0
    """
    return float(warping_errors(scores, truth, thresholds=thresholds)[:, 0].min())
