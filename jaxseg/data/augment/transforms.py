"""Training transforms of an image and its label: scale, rotate, deform, crop, flip, blur, colour.

The order is that of DeepLab's released code (input_preprocess.py): random scale, pad below and to
the right with the mean colour and void, random crop, flip. PSPNet's rotation and blur follow the
scale; colour changes come last, before the padding. Evaluation only pads (`padding.pad_to`).

`scaling` explains where the pixels of a scaled image lie, and why a crop can be cut first.
"""

import dataclasses
from fractions import Fraction

import numpy as np

from jaxseg.data.augment import crops, deform
from jaxseg.data.augment.colour import (
    BLUR_RADIUS,
    Distortion,
    blur,
    distort,
    draw_distortion,
    jitter_colour,
)
from jaxseg.data.augment.scaling import MAX_DENOMINATOR, factors, nearest, resize, scaled, window_of
from jaxseg.data.augment.settings import Augment, scale_faults
from jaxseg.data.padding import frame
from jaxseg.errors import together
from jaxseg.settings import bounds

__all__ = ["Draw", "Transform"]


@dataclasses.dataclass(frozen=True)
class Draw:
    """The random parameters of one view."""

    scale: Fraction
    top: int  # of the crop, in pixels of the scaled image
    left: int
    mirror: bool
    colour: tuple[float, float, float]  # factors of brightness, contrast, saturation
    angle: float = 0.0  # degrees, counter-clockwise
    vectors: tuple[float, ...] = ()  # of `deform.displacements`
    blurred: bool = False
    distortion: Distortion | None = None
    towards: tuple[float, float] | None = None  # chance for `crops.pixel_of_a_class`
    others: tuple[tuple[int, int], ...] = ()  # top and left of alternative crops


@dataclasses.dataclass(frozen=True)
class Transform:
    """The training transform; `apply` is a pure function of (rng, image, label).

    Attributes:
      crop_size: (height, width) of the result.
      augment: what varies, and by how much.
      mean: RGB that pads the image, rounded to whole numbers.
      boundary: w0 of the weight map of each view; 0: no map.
      boundary_sigma: see `boundaries.boundary_weights`.

    Raises:
      ValueError: settings are out of bounds; all of them are listed.
    """

    crop_size: tuple[int, int]
    augment: Augment = dataclasses.field(default_factory=Augment)
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    boundary: float = 0.0
    boundary_sigma: float = 5.0

    def __post_init__(self) -> None:
        faults = bounds.faults(self.augment, "data.augment") or scale_faults(self.augment)
        for path, value in (
            ("data.crop_size", self.crop_size),
            ("data.normalisation.mean", self.mean),
        ):
            if words := bounds.fault(path, value):
                faults.append(f"{path}={value} {words}")
        if faults:
            raise ValueError(together(faults))

    @property
    def pad_colour(self) -> tuple[int, int, int]:
        """The padding colour."""
        if self.augment.border == "zero":
            return 0, 0, 0
        red, green, blue = (round(value) for value in self.mean)
        return red, green, blue

    def scale_of(self, scale: Fraction, height: int, width: int) -> Fraction:
        """The total scale of an image, including `short_side` or `long_side`."""
        if self.augment.long_side:
            base = Fraction(self.augment.long_side, int(max(height, width)))
        elif self.augment.short_side:
            base = max(Fraction(1), Fraction(self.augment.short_side, int(min(height, width))))
        else:
            return scale
        smallest = Fraction(1, MAX_DENOMINATOR)
        return max((scale * base).limit_denominator(MAX_DENOMINATOR), smallest)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Draw:
        """Draws the parameters for an example of this size.

        Newer options are drawn last, and only if they are on, so that a run without them sees the
        same views, and turning one option on does not change the others.
        """
        augment = self.augment
        choice, vertical, horizontal, mirror = rng.random(4)
        brightness, contrast, saturation = 1 + augment.jitter * (2 * rng.random(3) - 1)
        scales = factors(augment.scale_range, augment.scale_step)
        scale = self.scale_of(scales[int(choice * len(scales))], height, width)
        room = crops.room((height, width), scale, self.crop_size)

        def place(vertical: float, horizontal: float) -> tuple[int, int]:
            return int(vertical * (room[0] + 1)), int(horizontal * (room[1] + 1))

        angle, vectors, blurred = 0.0, np.zeros(0), False
        limited = augment.class_limit < 1
        latest = augment.photometric or augment.class_crops or limited
        if augment.rotation or augment.elastic or augment.blur or latest:
            turned, turn, blurring = rng.random(3)
            angle = (
                augment.rotation * (2 * turn - 1) if turned < augment.rotation_probability else 0.0
            )
            blurred = blurring < augment.blur
            vectors = augment.elastic * rng.normal(size=2 * deform.NODES**2)
        distortion, chance, others = None, (0.0, 0.0), np.zeros((0, 2))
        if latest:
            distortion, chance = draw_distortion(rng), (rng.random(), rng.random())
            others = rng.random((augment.class_limit_draws - 1, 2))
        top, left = place(vertical, horizontal)
        return Draw(
            scale=scale,
            top=top,
            left=left,
            mirror=bool(augment.flip and mirror < 0.5),
            colour=(float(brightness), float(contrast), float(saturation)),
            angle=float(angle),
            vectors=tuple(vectors.tolist()) if augment.elastic else (),
            blurred=bool(blurred),
            distortion=distortion if augment.photometric else None,
            towards=chance if augment.class_crops else None,
            others=tuple(place(*each) for each in others.tolist()) if limited else (),
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
        draw = self.placed(self.draw(rng, *label.shape), label)
        if self._bends(draw):
            return self.deformed(draw, image, label)
        return self.crop_then_scale(draw, image, label)

    def placed(self, draw: Draw, label: np.ndarray) -> Draw:
        """The draw with its crop placed according to `class_crops` and `class_limit`."""
        pixel = crops.pixel_of_a_class(label, draw.towards) if draw.towards else None
        if pixel:
            top, left = crops.centred_on(
                pixel, label.shape, scale=draw.scale, angle=draw.angle, crop_size=self.crop_size
            )
            draw = dataclasses.replace(draw, top=top, left=left)
        for top, left in draw.others:
            if crops.largest_share(self._label_of(draw, label)) < self.augment.class_limit:
                break
            draw = dataclasses.replace(draw, top=top, left=left)
        return draw

    def _bends(self, draw: Draw) -> bool:
        return bool(draw.angle or draw.vectors or self.augment.border == "mirror")

    def _positions(
        self, draw: Draw, size: tuple[int, ...], margin: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        return deform.positions(
            (draw.top, draw.left, *self.crop_size),
            (size[0], size[1]),
            scale=float(draw.scale),
            angle=draw.angle,
            vectors=draw.vectors,
            margin=margin,
        )

    def _label_of(self, draw: Draw, label: np.ndarray) -> np.ndarray:
        """The label of the view, neither padded nor mirrored."""
        if self._bends(draw):
            at = self._positions(draw, label.shape)
            return deform.look_up_label(label, at, border=self.augment.border)
        return self._label_crop(draw, label)

    def _label_crop(self, draw: Draw, label: np.ndarray) -> np.ndarray:
        for axis, (first, crop) in enumerate(
            zip((draw.top, draw.left), self.crop_size, strict=True)
        ):
            side = label.shape[axis]
            count = min(crop, scaled(side, draw.scale) - first)
            label = label.take(nearest(first, count, draw.scale, side), axis=axis)
        return label

    def _coloured(self, draw: Draw, image: np.ndarray) -> np.ndarray:
        if self.augment.jitter:
            image = jitter_colour(image, draw.colour)
        return distort(image, draw.distortion) if draw.distortion else image

    def deformed(
        self, draw: Draw, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The view of any draw, looking up each pixel separately.

        Without angle and displacements it equals that of `crop_then_scale`. Colours are changed
        first, so that the padding is not affected; jitter uses the mean grey of the whole image.
        """
        image = self._coloured(draw, image)
        margin = BLUR_RADIUS if draw.blurred else 0
        at = self._positions(draw, label.shape, margin)
        image = deform.look_up_image(image, at, colour=self.pad_colour, border=self.augment.border)
        label = deform.look_up_label(label, at, border=self.augment.border, margin=margin)
        if draw.blurred:
            image = blur(image)[margin:-margin, margin:-margin]
        return frame(image, label, self.crop_size, self.pad_colour, draw.mirror)

    def crop_then_scale(
        self, draw: Draw, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Equal to `scale_then_crop`, but resizes only what the crop shows."""
        scale, (height, width) = draw.scale, label.shape
        rows = min(self.crop_size[0], scaled(height, scale) - draw.top)
        columns = min(self.crop_size[1], scaled(width, scale) - draw.left)
        margin = BLUR_RADIUS if draw.blurred else 0
        above, beside = min(margin, draw.top), min(margin, draw.left)
        first, left = draw.top - above, draw.left - beside  # of the resized window
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
        image, label = self._coloured(draw, image), self._label_crop(draw, label)
        return frame(image, label, self.crop_size, self.pad_colour, draw.mirror)

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
        image, label = self._coloured(draw, image[crop]), label[crop]
        return frame(image, label, self.crop_size, self.pad_colour, draw.mirror)
