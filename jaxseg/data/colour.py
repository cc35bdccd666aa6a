"""Training transforms that leave every pixel where it is: colour jitter and blur."""

import cv2
import numpy as np

BLUR_RADIUS = 2  # a kernel of 5 x 5
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, of red, green, blue


def jitter_colour(image: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """Brightness, then contrast about the mean grey, then saturation: one affine map of RGB.

    Args:
      image: uint8 [H, W, 3].
      factors: of brightness, contrast and saturation; 1 changes nothing.

    Returns:
      uint8 [H, W, 3], clipped to 0 ... 255.
    """
    brightness, contrast, saturation = factors
    grey = float(np.dot(cv2.mean(image)[:3], _LUMA)) * brightness
    to_grey = np.tile(_LUMA, (3, 1))
    matrix = saturation * np.eye(3) + (1 - saturation) * to_grey
    matrix = brightness * contrast * matrix
    offset = np.full((3, 1), (1 - contrast) * grey)  # each row of `matrix` sums to the same
    return cv2.transform(image, np.hstack([matrix, offset]))


def blur(image: np.ndarray) -> np.ndarray:
    """PSPNet's Gaussian blur: along each axis taps (1, 4, 6, 4, 1) / 16.

    The size is that of the authors' later code (hszhao/semseg, transform.py), the taps are what
    OpenCV has for it when no deviation is given; the paper (arXiv 1612.01105, section 5.1) names
    neither.

    Args:
      image: uint8 [H, W, 3].
    """
    size = 2 * BLUR_RADIUS + 1
    return cv2.GaussianBlur(image, (size, size), 0)
