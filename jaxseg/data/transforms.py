"""Training transforms of an image and its label: scale, turn, bend, crop, flip, blur, jitter.

Order as DeepLab's released code (input_preprocess.py): random scale, pad below and to the right
with the mean colour and void, random crop, flip. PSPNet's rotation and blur follow the scale.
Evaluation only pads (`pad_to`).

`scaling` says where the pixels of a scaled image lie, and why a crop can be cut first.
"""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np

from jaxseg.data import deform
from jaxseg.data.colour import BLUR_RADIUS, blur, jitter_colour
from jaxseg.data.scaling import MAX_DENOMINATOR, nearest, resize, scaled, window_of
from jaxseg.types import IGNORE


@dataclasses.dataclass(frozen=True)
class Draw:
    """What chance has decided for one example."""

    scale: Fraction
    top: int  # of the crop, in pixels of the scaled image
    left: int
    mirror: bool
    colour: tuple[float, float, float]  # factors of brightness, contrast, saturation
    angle: float = 0.0  # degrees, counter-clockwise
    vectors: tuple[float, ...] = ()  # of `deform.displacements`
    blurred: bool = False


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
      rotation: the angle is uniform from -rotation to rotation degrees, about the image's centre.
      rotation_probability: of an angle other than 0.
      elastic: deviation in pixels of the vectors of `deform.displacements`; 0: none.
      blur: probability of `colour.blur`.
      border: what lies beyond the image: "mean" with a void label, or both mirrored ("mirror").
      mean: RGB that pads the image, rounded to whole numbers.
      boundary: w0 of the weight map that comes with each view; 0: none does.
      boundary_sigma: see `boundaries.boundary_weights`.
    """

    crop_size: tuple[int, int]
    scale_range: tuple[float, float] = (0.5, 2.0)
    scale_step: float = 0.0
    flip: bool = True
    jitter: float = 0.0
    rotation: float = 0.0
    rotation_probability: float = 1.0
    elastic: float = 0.0
    blur: float = 0.0
    border: str = "mean"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    boundary: float = 0.0
    boundary_sigma: float = 5.0

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if not 1 / MAX_DENOMINATOR <= low <= high:
            raise ValueError(
                f"data.scale_range={self.scale_range} needs 1/64 <= smallest <= largest"
            )
        if self.scale_step < 0:
            raise ValueError(f"data.scale_step={self.scale_step} must be at least 0")
        if min(self.crop_size) < 1:
            raise ValueError(
                f"data.crop_size={self.crop_size} must be a height and width of at least 1"
            )
        for name, end in (("jitter", 1), ("rotation", 360), ("elastic", 1000)):
            if not 0 <= getattr(self, name) < end:
                raise ValueError(
                    f"data.{name}={getattr(self, name)} must be at least 0 and below {end}"
                )
        for name in ("rotation_probability", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.{name}={getattr(self, name)} must be 0 to 1")
        if self.border not in deform.BORDERS:
            raise ValueError(f"data.border={self.border!r} must be one of mean, mirror")
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
            return tuple(Fraction(v).limit_denominator(MAX_DENOMINATOR) for v in values)
        first = math.ceil(low * MAX_DENOMINATOR - 1e-9)
        last = math.floor(high * MAX_DENOMINATOR + 1e-9)
        if first >= last:  # one factor, or a range narrower than 1/64
            return (Fraction((low + high) / 2).limit_denominator(MAX_DENOMINATOR),)
        return tuple(Fraction(n, MAX_DENOMINATOR) for n in range(first, last + 1))

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Draw:
        """Decides for an example of this size.

        What came later is drawn last, and only where it is on: a run without it sees the same views
        as ever, and turning one thing on moves nothing else.
        """
        choice, vertical, horizontal, mirror = rng.random(4)
        brightness, contrast, saturation = 1 + self.jitter * (2 * rng.random(3) - 1)
        scales = self.scales()
        scale = scales[int(choice * len(scales))]
        sides = zip((height, width), self.crop_size, strict=True)
        room = [max(0, scaled(n, scale) - c) for n, c in sides]
        angle, vectors, blurred = 0.0, np.zeros(0), False
        if self.rotation or self.elastic or self.blur:
            turned, turn, blurring = rng.random(3)
            angle = self.rotation * (2 * turn - 1) if turned < self.rotation_probability else 0.0
            blurred = blurring < self.blur
            vectors = self.elastic * rng.normal(size=2 * deform.NODES**2)
        return Draw(
            scale=scale,
            top=int(vertical * (room[0] + 1)),
            left=int(horizontal * (room[1] + 1)),
            mirror=bool(self.flip and mirror < 0.5),
            colour=(float(brightness), float(contrast), float(saturation)),
            angle=float(angle),
            vectors=tuple(vectors.tolist()) if self.elastic else (),
            blurred=bool(blurred),
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
        draw = self.draw(rng, *label.shape)
        if draw.angle or draw.vectors or self.border != "mean":
            return self.deformed(draw, image, label)
        return self.crop_then_scale(draw, image, label)

    def deformed(
        self, draw: Draw, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The view of any draw, each pixel looked up by itself; without angle and displacements it
        is that of `crop_then_scale`. Jitter takes the mean grey of the whole image.
        """
        if self.jitter:
            image = jitter_colour(image, draw.colour)
        margin = BLUR_RADIUS if draw.blurred else 0
        at = deform.positions(
            (draw.top, draw.left, *self.crop_size),
            (label.shape[0], label.shape[1]),
            scale=float(draw.scale),
            angle=draw.angle,
            vectors=draw.vectors,
            margin=margin,
        )
        image, label = deform.look_up(
            image, label, at, margin=margin, fill=self.fill, border=self.border
        )
        if draw.blurred:
            image = blur(image)[margin:-margin, margin:-margin]
        return _frame(image, label, self.crop_size, self.fill, draw.mirror)

    def crop_then_scale(
        self, draw: Draw, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`scale_then_crop`, resizing no more than the crop shows."""
        scale, (height, width) = draw.scale, label.shape
        rows = min(self.crop_size[0], scaled(height, scale) - draw.top)
        columns = min(self.crop_size[1], scaled(width, scale) - draw.left)
        margin = BLUR_RADIUS if draw.blurred else 0
        above, beside = min(margin, draw.top), min(margin, draw.left)
        first, left = draw.top - above, draw.left - beside  # of what is resized
        last = min(scaled(height, scale), draw.top + rows + margin)
        right = min(scaled(width, scale), draw.left + columns + margin)
        first_row, last_row = window_of(first, last - first, scale, height)
        first_column, last_column = window_of(left, right - left, scale, width)
        window = resize(image[first_row:last_row, first_column:last_column], scale)
        row, column = first - int(first_row * scale), left - int(first_column * scale)
        image = window[row : row + last - first, column : column + right - left]
        if draw.blurred:
            image = blur(image)
        image = image[above : above + rows, beside : beside + columns]
        label = label.take(nearest(draw.top, rows, scale, height), axis=0)
        label = label.take(nearest(draw.left, columns, scale, width), axis=1)
        if self.jitter:
            image = jitter_colour(image, draw.colour)
        return _frame(image, label, self.crop_size, self.fill, draw.mirror)

    def scale_then_crop(
        self, draw: Draw, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The definition: the whole image and label are scaled, then cropped, padded, mirrored."""
        scale, (height, width) = draw.scale, label.shape
        rows, columns = scaled(height, scale), scaled(width, scale)
        label = label.take(nearest(0, rows, scale, height), axis=0)
        label = label.take(nearest(0, columns, scale, width), axis=1)
        crop = (
            slice(draw.top, min(rows, draw.top + self.crop_size[0])),
            slice(draw.left, min(columns, draw.left + self.crop_size[1])),
        )
        image = resize(image, scale)[:rows, :columns]
        if draw.blurred:
            image = blur(image)
        image, label = image[crop], label[crop]
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
