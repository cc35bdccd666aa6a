"""Training transforms that do not move pixels: colour jitter, photometric distortion and blur."""

import dataclasses

import cv2
import numpy as np

BLUR_RADIUS = 2  # a kernel of 5 x 5
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, of red, green, blue
_BRIGHTNESS, _FACTOR, _HUE = 32.0, 0.5, 36.0  # of SSD: grey levels, +- around 1, degrees


def jitter_colour(image: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """Changes brightness, contrast about the mean grey, and saturation, as one affine map of RGB.

    Args:
      image: uint8 [H, W, 3].
      factors: of brightness, contrast and saturation; 1 means no change.

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


@dataclasses.dataclass(frozen=True)
class Distortion:
    """The random parameters of SSD's photometric distortion; the defaults change nothing."""

    brightness: float = 0.0  # added grey levels
    contrast: float = 1.0  # factor of red, green and blue
    saturation: float = 1.0  # factor of the S of HSV
    hue: float = 0.0  # degrees added to the H of HSV
    contrast_last: bool = False


def draw_distortion(rng: np.random.Generator) -> Distortion:
    """Draws each of the four with probability 1/2, uniform in its range, and their order.

    The ranges are those of the released code of SSD (Liu et al., arXiv 1512.02325, section 2.2)
    (weiliu89/caffe, im_transforms.cpp and ssd_pascal.py): brightness +-32, contrast and saturation
    0.5 to 1.5, hue +-18 steps of OpenCV's 8-bit hue, which has 180: +-36 degrees. (Floating-point
    ports interpret the 18 as degrees.)
    """
    off = (rng.random(4) >= 0.5).tolist()
    brightness, contrast, saturation, hue = np.where(off, 0.0, 2 * rng.random(4) - 1).tolist()
    return Distortion(
        brightness=_BRIGHTNESS * brightness,
        contrast=1 + _FACTOR * contrast,
        saturation=1 + _FACTOR * saturation,
        hue=_HUE * hue,
        contrast_last=bool(rng.random() < 0.5),
    )


def _levels(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def distort(image: np.ndarray, by: Distortion) -> np.ndarray:
    """Applies brightness, contrast, saturation and hue; or contrast after the other three.

    Rounded and clipped to 0 ... 255 after brightness, after each contrast and after HSV.
    Departure: hue is cyclic and is not rounded to steps of two degrees.

    Args:
      image: uint8 [H, W, 3].
      by: the parameters, from `draw_distortion`.

    Returns:
      uint8 [H, W, 3].
    """
    first = _levels(np.arange(256) + by.brightness)
    contrast = _levels(np.arange(256) * by.contrast)
    image = cv2.LUT(image, first if by.contrast_last else contrast[first])
    if by.saturation != 1 or by.hue:
        hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)  # degrees, 0-1, 0-255
        change = np.diag([1.0, by.saturation, 1.0])
        hsv = cv2.transform(hsv, np.hstack([change, [[by.hue % 360], [0.0], [0.0]]]))
        np.minimum(hsv[..., 1], 1, out=hsv[..., 1])
        image = cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    return cv2.LUT(image, contrast) if by.contrast_last else image


def blur(image: np.ndarray) -> np.ndarray:
    """PSPNet's Gaussian blur: along each axis taps (1, 4, 6, 4, 1) / 16.

    The size is that of the authors' later code (hszhao/semseg, transform.py), and the taps are
    those of OpenCV if no standard deviation is given; the paper (arXiv 1612.01105, section 5.1)
    names neither.

    Args:
      image: uint8 [H, W, 3].
    """
    size = 2 * BLUR_RADIUS + 1
    return cv2.GaussianBlur(image, (size, size), 0)
