"""Pads images and labels to a size; the label of the padding is void."""

from collections.abc import Sequence

import cv2
import numpy as np

from jaxseg.ignore import IGNORE


def frame(
    image: np.ndarray,
    label: np.ndarray,
    size: tuple[int, int],
    colour: tuple[int, int, int],
    mirror: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Pads below and to the right to `size`, and optionally mirrors the result."""
    below, beside = size[0] - image.shape[0], size[1] - image.shape[1]
    if mirror:
        image, label = cv2.flip(image, 1), cv2.flip(label, 1)
    left, right = (beside, 0) if mirror else (0, beside)
    if below or beside:
        constant = cv2.BORDER_CONSTANT
        image = cv2.copyMakeBorder(image, 0, below, left, right, constant, value=colour)
        label = cv2.copyMakeBorder(label, 0, below, left, right, constant, value=[IGNORE])
    return image, label


def pad_to(
    image: np.ndarray, label: np.ndarray, size: tuple[int, int], mean: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Pads below and to the right: the image with `mean`, rounded, the label with void.

    Args:
      image: uint8 [H, W, 3].
      label: uint8 [H, W].
      size: (height, width) of the result.
      mean: RGB in uint8 units.

    Raises:
      ValueError: the image is larger than `size`.
    """
    height, width = label.shape
    if height > size[0] or width > size[1]:
        raise ValueError(f"an image of {height} x {width} does not fit in {size[0]} x {size[1]}")
    return frame(image, label, size, colour_of(mean), mirror=False)


def pad_image(image: np.ndarray, size: tuple[int, int], mean: Sequence[float]) -> np.ndarray:
    """Like `pad_to`, for an image only.

    Args:
      image: uint8 [H, W, 3].
      size: (height, width) of the result.
      mean: RGB in uint8 units.
    """
    image, _ = pad_to(image, np.zeros(image.shape[:2], np.uint8), size, mean)
    return image


def colour_of(mean: Sequence[float]) -> tuple[int, int, int]:
    """The mean as a uint8 colour, with which images are padded."""
    red, green, blue = (round(value) for value in mean)
    return red, green, blue
