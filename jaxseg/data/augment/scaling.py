"""Scales an image and its label together.

Alignment: pixel centres. Pixel d of an image scaled by s lies at (d + 0.5) / s - 0.5 of the
original; the image is interpolated there, and the label is that of the pixel whose square contains
that point. (Departure: the released code aligns corners instead. Pixel centres keep image and label
aligned at any scale s, and a crop can be cut before it is resized.)

Crop before resize: only the window that the crop shows is resized. To make this equal to resizing
first, the scale is a fraction p/q and the window begins at a multiple of q, which corresponds to a
whole pixel of the scaled image. `scale_then_crop` is the definition, `crop_then_scale` the fast
form.
"""

import math
from fractions import Fraction

import cv2
import numpy as np

MAX_DENOMINATOR = 64  # of a scale: "uniform" is uniform over multiples of 1/64


def factors(scale_range: tuple[float, float], step: float) -> tuple[Fraction, ...]:
    """The possible factors, which are equally likely.

    Args:
      scale_range: smallest and largest.
      step: 0: uniform in the range; else linspace(smallest, largest, step).
    """
    low, high = scale_range
    if step:
        values = np.linspace(low, high, round((high - low) / step) + 1)
        return tuple(Fraction(v).limit_denominator(MAX_DENOMINATOR) for v in values)
    first = math.ceil(low * MAX_DENOMINATOR - 1e-9)
    last = math.floor(high * MAX_DENOMINATOR + 1e-9)
    if first >= last:  # one factor, or a range narrower than 1/64
        return (Fraction((low + high) / 2).limit_denominator(MAX_DENOMINATOR),)
    return tuple(Fraction(n, MAX_DENOMINATOR) for n in range(first, last + 1))


def scaled(length: int, scale: Fraction) -> int:
    """Rows or columns after scaling, rounded down as the released code does."""
    return max(1, length * scale.numerator // scale.denominator)


def nearest(start: int, count: int, scale: Fraction, length: int) -> np.ndarray:
    """The original rows (columns) shown by rows start ... start + count - 1 of the scaled label.

    This is floor((d + 0.5) / s) in integers, so that no rounding error can shift a label.
    """
    d = np.arange(start, start + count)
    index = (2 * d + 1) * scale.denominator // (2 * scale.numerator)
    return np.minimum(index, length - 1)


def resize(image: np.ndarray, scale: Fraction) -> np.ndarray:
    """Resizes bilinearly; no dsize, since OpenCV would replace the factor by a ratio of sizes."""
    if scale == 1:
        return image
    height, width = image.shape[:2]
    # For fewer rows or columns, OpenCV returns none, or treats the size as unchanged and copies.
    least = math.ceil(max(1 / scale, 1 / abs(scale - 1)))
    if height < least or width < least:
        below, beside = max(0, least - height), max(0, least - width)
        image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    factor = float(scale)
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def window_of(start: int, count: int, scale: Fraction, length: int) -> tuple[int, int]:
    """The first and last + 1 original row needed for rows start ... start + count - 1.

    The first is a multiple of the denominator; both leave room for the interpolation.
    """
    p, q = scale.numerator, scale.denominator
    first = max(0, start * q // p - 1) // q * q
    last = min(length, (start + count) * q // p + 2)
    return first, last
