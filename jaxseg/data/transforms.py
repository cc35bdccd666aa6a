"""Training transforms of an image and its label: scale, crop with pad, flip, colour jitter.

Order as DeepLab's released code (input_preprocess.py): random scale, pad below and to the right
with the mean colour and void, random crop, flip. Evaluation only pads (`pad_to`).

Alignment: pixel centres. Pixel d of an image scaled by s lies at (d + 0.5) / s - 0.5 of the
original; the image is interpolated there, the label takes the pixel whose square holds that point.
(The released code aligns corners instead: a Departure, so that scaling by any s keeps image and
label together, and a crop can be cut before it is resized.)

Crop before resize: only the window that the crop shows is resized. To make that equal to resizing
first, the scale is a fraction p/q and the window begins at a multiple of q, which lands on a whole
pixel of the scaled image. `scale_then_crop` is the definition, `crop_then_scale` the fast form.
"""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np

from jaxseg.types import IGNORE

_MAX_DENOMINATOR = 64  # of a scale: "uniform" is uniform over multiples of 1/64
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, of red, green, blue


@dataclasses.dataclass(frozen=True)
class Draw:
    """What chance has decided for one example."""

    scale: Fraction
    top: int  # of the crop, in pixels of the scaled image
    left: int
    mirror: bool
    colour: tuple[float, float, float]  # factors of brightness, contrast, saturation


def _scaled(length: int, scale: Fraction) -> int:
    """Rows or columns after scaling, rounded down as the released code does."""
    return max(1, length * scale.numerator // scale.denominator)


def _nearest(start: int, count: int, scale: Fraction, length: int) -> np.ndarray:
    """The original rows (columns) that rows start ... start + count - 1 of the scaled label show.

    floor((d + 0.5) / s) in whole numbers, so that no rounding error can move a label.
    """
    d = np.arange(start, start + count)
    index = (2 * d + 1) * scale.denominator // (2 * scale.numerator)
    return np.minimum(index, length - 1)


def _resize(image: np.ndarray, scale: Fraction) -> np.ndarray:
    """Bilinear; dsize stays open because OpenCV would replace the factor by a ratio of sizes."""
    if scale == 1:
        return image
    height, width = image.shape[:2]
    # Of fewer rows or columns OpenCV makes none, or takes the size for unchanged and only copies.
    least = math.ceil(max(1 / scale, 1 / abs(scale - 1)))
    if height < least or width < least:
        below, beside = max(0, least - height), max(0, least - width)
        image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    factor = float(scale)
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def _window(start: int, count: int, scale: Fraction, length: int) -> tuple[int, int]:
    """First and last + 1 original row that rows start ... start + count - 1 need.

    The first is a multiple of the denominator; both have room for the interpolation.
    """
    p, q = scale.numerator, scale.denominator
    first = max(0, start * q // p - 1) // q * q
    last = min(length, (start + count) * q // p + 2)
    return first, last


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


def _frame(
    image: np.ndarray,
    label: np.ndarray,
    size: tuple[int, int],
    fill: tuple[int, int, int],
    mirror: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Pads below and to the right to `size`; mirrors image, label and their padding."""
    below, beside = size[0] - image.shape[0], size[1] - image.shape[1]
    if mirror:
        image, label = cv2.flip(image, 1), cv2.flip(label, 1)
    left, right = (beside, 0) if mirror else (0, beside)
    if below or beside:
        constant = cv2.BORDER_CONSTANT
        image = cv2.copyMakeBorder(image, 0, below, left, right, constant, value=fill)
        label = cv2.copyMakeBorder(label, 0, below, left, right, constant, value=[IGNORE])
    return image, label


@dataclasses.dataclass(frozen=True)
class Augment:
    """The training transform; `apply` is a pure function of (rng, image, label).

    Attributes:
      crop_size: (height, width) of the result.
      scale_range: smallest and largest factor.
      scale_step: 0: uniform in the range; else one of linspace(smallest, largest, step).
      flip: mirror left and right in half of the cases.
      jitter: brightness, contrast and saturation are multiplied by 1 - jitter ... 1 + jitter.
      mean: RGB that pads the image, rounded to whole numbers.
      boundary: w0 of the weight map that comes with each view; 0: none does.
      boundary_sigma: see `boundaries.boundary_weights`.
    """

    crop_size: tuple[int, int]
    scale_range: tuple[float, float] = (0.5, 2.0)
    scale_step: float = 0.0
    flip: bool = True
    jitter: float = 0.0
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    boundary: float = 0.0
    boundary_sigma: float = 5.0

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if not 1 / _MAX_DENOMINATOR <= low <= high:
            raise ValueError(
                f"data.scale_range={self.scale_range} needs 1/64 <= smallest <= largest"
            )
        if self.scale_step < 0:
            raise ValueError(f"data.scale_step={self.scale_step} must be at least 0")
        if min(self.crop_size) < 1:
            raise ValueError(
                f"data.crop_size={self.crop_size} must be a height and width of at least 1"
            )
        if not 0 <= self.jitter < 1:
            raise ValueError(f"data.jitter={self.jitter} must be at least 0 and below 1")
        if not all(0 <= value <= 255 for value in self.mean):
            raise ValueError(f"data.mean={self.mean} must be in uint8 units, 0 to 255")

    @property
    def fill(self) -> tuple[int, int, int]:
        """The padding colour."""
        red, green, blue = (round(value) for value in self.mean)
        return red, green, blue

    def scales(self) -> tuple[Fraction, ...]:
        """The factors that are drawn from, each as likely as the others."""
        low, high = self.scale_range
        if self.scale_step:
            count = round((high - low) / self.scale_step) + 1
            values = np.linspace(low, high, count)
            return tuple(Fraction(v).limit_denominator(_MAX_DENOMINATOR) for v in values)
        first = math.ceil(low * _MAX_DENOMINATOR - 1e-9)
        last = math.floor(high * _MAX_DENOMINATOR + 1e-9)
        if first >= last:  # one factor, or a range narrower than 1/64
            return (Fraction((low + high) / 2).limit_denominator(_MAX_DENOMINATOR),)
        return tuple(Fraction(n, _MAX_DENOMINATOR) for n in range(first, last + 1))

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Draw:
        """Decides for an example of this size; as many numbers are drawn whatever the fields."""
        choice, vertical, horizontal, mirror = rng.random(4)
        brightness, contrast, saturation = 1 + self.jitter * (2 * rng.random(3) - 1)
        scales = self.scales()
        scale = scales[int(choice * len(scales))]
        sides = zip((height, width), self.crop_size, strict=True)
        room = [max(0, _scaled(n, scale) - c) for n, c in sides]
        return Draw(
            scale=scale,
            top=int(vertical * (room[0] + 1)),
            left=int(horizontal * (room[1] + 1)),
            mirror=bool(self.flip and mirror < 0.5),
            colour=(float(brightness), float(contrast), float(saturation)),
        )

    def apply(
        self, rng: np.random.Generator, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One random view.

        Args:
          rng: of this example and epoch.
          image: uint8 [H, W, 3].
          label: uint8 [H, W].

        Returns:
          uint8 [h, w, 3] and uint8 [h, w], of `crop_size`; label 255 where there is no image.
        """
        return self.crop_then_scale(self.draw(rng, *label.shape), image, label)

    def crop_then_scale(
        self, draw: Draw, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`scale_then_crop`, resizing no more than the crop shows."""
        scale, (height, width) = draw.scale, label.shape
        rows = min(self.crop_size[0], _scaled(height, scale) - draw.top)
        columns = min(self.crop_size[1], _scaled(width, scale) - draw.left)
        first_row, last_row = _window(draw.top, rows, scale, height)
        first_column, last_column = _window(draw.left, columns, scale, width)
        window = _resize(image[first_row:last_row, first_column:last_column], scale)
        top = draw.top - int(first_row * scale)
        left = draw.left - int(first_column * scale)
        image = window[top : top + rows, left : left + columns]
        label = label.take(_nearest(draw.top, rows, scale, height), axis=0)
        label = label.take(_nearest(draw.left, columns, scale, width), axis=1)
        if self.jitter:
            image = jitter_colour(image, draw.colour)
        return _frame(image, label, self.crop_size, self.fill, draw.mirror)

    def scale_then_crop(
        self, draw: Draw, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The definition: the whole image and label are scaled, then cropped, padded, mirrored."""
        scale, (height, width) = draw.scale, label.shape
        rows, columns = _scaled(height, scale), _scaled(width, scale)
        label = label.take(_nearest(0, rows, scale, height), axis=0)
        label = label.take(_nearest(0, columns, scale, width), axis=1)
        crop = (
            slice(draw.top, min(rows, draw.top + self.crop_size[0])),
            slice(draw.left, min(columns, draw.left + self.crop_size[1])),
        )
        image, label = _resize(image, scale)[crop], label[crop]
        if self.jitter:
            image = jitter_colour(image, draw.colour)
        return _frame(image, label, self.crop_size, self.fill, draw.mirror)


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
    red, green, blue = (round(value) for value in mean)
    return _frame(image, label, size, (red, green, blue), mirror=False)
