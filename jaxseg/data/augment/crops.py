"""Possible positions of a crop, and positions chosen by the classes in the label."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jaxseg.data.augment.scaling import scaled
from jaxseg.ignore import IGNORE


def room(size: Sequence[int], scale: Fraction, crop_size: Sequence[int]) -> tuple[int, int]:
    """The largest top and left positions of a crop, in pixels of the scaled image."""
    rows, columns = (
        max(0, scaled(side, scale) - crop) for side, crop in zip(size, crop_size, strict=True)
    )
    return rows, columns


def centred_on(
    pixel: tuple[int, int],
    size: Sequence[int],
    *,
    scale: Fraction,
    angle: float,
    crop_size: Sequence[int],
) -> tuple[int, int]:
    """Top and left of the possible crop whose centre is nearest to a pixel.

    Args:
      pixel: row and column in the original.
      size: (height, width) of the original.
      scale: of the image before the crop.
      angle: of the rotation about its centre after scaling, counter-clockwise, in degrees.
      crop_size: (height, width) of the crop.
    """
    middle = [(side - 1) / 2 for side in size]
    down, right = (at - m for at, m in zip(pixel, middle, strict=True))
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned = cosine * down - sine * right, sine * down + cosine * right
    top, left = (
        min(max(round((at + m + 0.5) * float(scale) - crop / 2), 0), end)
        for at, m, crop, end in zip(
            turned, middle, crop_size, room(size, scale, crop_size), strict=True
        )
    )
    return top, left


def largest_share(label: np.ndarray) -> float:
    """The share of the most frequent class in the valid pixels of a uint8 label.

    It is 1 without valid pixels, since such a crop is as useless as one with a single class.
    """
    counts = np.bincount(label.ravel(), minlength=IGNORE + 1)[:IGNORE]
    return float(counts.max() / counts.sum()) if counts.any() else 1.0


def pixel_of_a_class(label: np.ndarray, chance: tuple[float, float]) -> tuple[int, int] | None:
    """Row and column of a random pixel: first a class of the label is drawn, then a pixel of it.

    RefineNet's released code draws the centres of crops in this way (main/batch_do_data_crop.m).

    Args:
      label: uint8 [H, W].
      chance: two numbers, at least 0 and below 1.

    Returns:
      None if all pixels are void.
    """
    there = np.flatnonzero(np.bincount(label.ravel(), minlength=IGNORE + 1)[:IGNORE])
    if not there.size:
        return None
    pixels = np.flatnonzero(label == there[int(chance[0] * there.size)])
    row, column = divmod(int(pixels[int(chance[1] * pixels.size)]), label.shape[1])
    return row, column
