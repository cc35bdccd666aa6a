"""Transforms of an image and its objects: crop, resize, jitter of the scale, flip, pad.

Pixel centres are aligned, as in `scaling`. When a side is resized from n to m, pixel d lies at
(d + 0.5) n / m - 0.5 of the original. The image is interpolated there, and a mask takes the pixel
that contains that point. Boxes are multiplied by m / n. Departure: torchvision takes masks from
floor(d n / m), up to half a pixel away from the image.

An object that is cut by a crop gets the box of the visible part of its mask, and is removed if no
pixel is visible. Other boxes stay those of the annotations.
"""

import dataclasses
import math
from fractions import Fraction

import cv2
import numpy as np
from pycocotools import mask as rle

from jaxseg.data.augment.colour import jitter_colour
from jaxseg.data.augment.instance_settings import InstanceAugment, Size, faults
from jaxseg.data.augment.scaling import nearest
from jaxseg.data.instances import Objects
from jaxseg.errors import together
from jaxseg.ignore import IGNORE

_FIELD = "data.instances"


@dataclasses.dataclass(frozen=True)
class View:
    """The visible part of an image: a crop, which is resized, and a window of the result.

    Attributes:
      crop: (top, left, height, width) in pixels of the image.
      size: (height, width) that the crop is resized to.
      window: (top, left, height, width) of the resized crop.
      mirror: whether left and right are exchanged.
      colour: factors of brightness, contrast and saturation.
    """

    crop: tuple[int, int, int, int]
    size: Size
    window: tuple[int, int, int, int]
    mirror: bool = False
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def cuts(self) -> bool:
        """Whether the window is smaller than the resized crop."""
        return self.window[2:] != self.size

    def rows(self) -> np.ndarray:
        """The row of the image for each row of the view."""
        return self._shown(0)

    def columns(self) -> np.ndarray:
        """The column of the image for each column of the view."""
        shown = self._shown(1)
        return shown[::-1] if self.mirror else shown

    def _shown(self, axis: int) -> np.ndarray:
        side, length = self.size[axis], self.crop[2 + axis]
        first, count = self.window[axis], self.window[2 + axis]
        return self.crop[axis] + nearest(first, count, Fraction(side, length), length)


@dataclasses.dataclass(frozen=True)
class InstanceTransform:
    """Places images with objects on a canvas; `apply` is a pure function of (rng, example).

    Attributes:
      canvas: (height, width) for landscapes; rotated for portraits. data.crop_size of experiments.
      augment: sizes and augmentation.
      mean: RGB of the padding, rounded to whole numbers.

    Raises:
      ValueError: settings are invalid; all of them are named.
    """

    canvas: Size = (800, 1344)
    augment: InstanceAugment = dataclasses.field(default_factory=InstanceAugment)
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)

    def __post_init__(self) -> None:
        if found := faults(self.augment, self.canvas, _FIELD):
            raise ValueError(together(found))

    def canvas_of(self, height: int, width: int) -> Size:
        """The canvas of an image: rotated if one of them is portrait and the other landscape."""
        own = self.canvas
        return own if (height > width) == (own[0] > own[1]) or height == width else own[::-1]

    def fitted(self, height: int, width: int, short_side: int) -> Size:
        """The size at which the shorter side is `short_side`, or the longer side is `long_side`."""
        scale = min(
            Fraction(short_side, min(height, width)),
            Fraction(self.augment.long_side, max(height, width)),
        )
        return max(1, int(height * scale)), max(1, int(width * scale))

    def still(self, height: int, width: int) -> View:
        """The view for evaluation: the whole image, resized to the last `short_side`."""
        size = self.fitted(height, width, self.augment.short_side[-1])
        return View((0, 0, height, width), size, (0, 0, *size))

    def scaled(self, scale: float) -> "InstanceTransform":
        """The transform to images of `scale` times the size, on a canvas of multiples of 32."""
        if scale == 1:
            return self
        short, long = self.augment.short_side[-1] * scale, self.augment.long_side * scale
        height, width = (32 * math.ceil(side * scale / 32) for side in self.canvas)
        sizes = dataclasses.replace(
            self.augment,
            short_side=(max(1, round(short)),),
            long_side=max(1, round(long)),
        )
        return dataclasses.replace(self, canvas=(height, width), augment=sizes)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> View:
        """Draws a view of an image of this size; the canvas does not depend on the crop."""
        augment = self.augment
        choice, mirror, top, left, down, right, taller, wider = rng.random(8).tolist()
        brightness, contrast, saturation = 1 + augment.jitter * (2 * rng.random(3) - 1)
        shares = (augment.crop + (1 - augment.crop) * share for share in (taller, wider))
        crop = [max(1, round(n * s)) for n, s in zip((height, width), shares, strict=True)]
        canvas = self.canvas_of(height, width)
        if augment.jitter_range == (1.0, 1.0):
            sides = augment.short_side
            size = self.fitted(crop[0], crop[1], sides[int(choice * len(sides))])
        else:
            low, high = augment.jitter_range
            scale = min(canvas[0] / crop[0], canvas[1] / crop[1]) * (low + (high - low) * choice)
            size = max(1, round(crop[0] * scale)), max(1, round(crop[1] * scale))
        seen = min(size[0], canvas[0]), min(size[1], canvas[1])
        return View(
            crop=(
                int(down * (height - crop[0] + 1)),
                int(right * (width - crop[1] + 1)),
                crop[0],
                crop[1],
            ),
            size=size,
            window=(
                int(top * (size[0] - seen[0] + 1)),
                int(left * (size[1] - seen[1] + 1)),
                *seen,
            ),
            mirror=augment.flip and mirror < 0.5,
            colour=(float(brightness), float(contrast), float(saturation)),
        )

    def apply(
        self,
        rng: np.random.Generator,
        image: np.ndarray,
        objects: Objects,
        semantic: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """A random view, as an element of a batch.

        Args:
          rng: of this example and epoch.
          image: uint8 [H, W, 3].
          objects: of the image.
          semantic: the class of each pixel, uint8 [H, W]; None: they are not needed.

        Returns:
          "image" uint8 [h, w, 3], the canvas; "size" int32 [2] of the view in it; and for G
          objects "boxes" float32 [G, 4], "classes" int32 [G], "valid" bool [G], "masks" uint8
          [G, h, ceil(w / 8)] with eight pixels per byte. Crowds are left out. With `semantic`,
          "semantic" uint8 [h, w], `IGNORE` outside the view.
        """
        height, width = image.shape[:2]
        view, canvas = self.draw(rng, height, width), self.canvas_of(height, width)
        found = self.shown(view, image, canvas) | self.annotated(view, objects, canvas)
        if semantic is not None:
            found["semantic"] = _classified(view, semantic, canvas)
        return found

    def evaluated(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The "image" and "size" of the view for evaluation; see `apply`."""
        height, width = image.shape[:2]
        return self.shown(self.still(height, width), image, self.canvas_of(height, width))

    def shown(self, view: View, image: np.ndarray, canvas: Size) -> dict[str, np.ndarray]:
        """The "image" and "size" of any view; see `apply`."""
        top, left, height, width = view.crop
        image = image[top : top + height, left : left + width]
        if view.size != image.shape[:2]:
            image = cv2.resize(image, view.size[::-1], interpolation=cv2.INTER_LINEAR)
        top, left, height, width = view.window
        image = image[top : top + height, left : left + width]
        if self.augment.jitter and view.colour != (1.0, 1.0, 1.0):
            image = jitter_colour(image, view.colour)
        padded = np.empty((*canvas, 3), np.uint8)
        padded[:] = [round(value) for value in self.mean]
        padded[:height, :width] = image[:, ::-1] if view.mirror else image
        return {"image": padded, "size": np.array([height, width], np.int32)}

    def annotated(self, view: View, objects: Objects, canvas: Size) -> dict[str, np.ndarray]:
        """The objects of any view, padded to G; see `apply`."""
        rows, columns = view.rows(), view.columns()
        boxes = _moved(objects.boxes, view)
        kept: list[tuple[int, _Part, np.ndarray, int]] = []
        for i in np.flatnonzero(~objects.crowd):
            part = _part_of(objects, int(i), rows, columns)
            box = boxes[i]
            if part is None:
                continue
            if view.cuts or view.crop[2:] != objects.size:
                box = part.box if _is_cut(objects.boxes[i], view) else box
            if (box[2:] > box[:2]).all():
                kept.append((int(objects.classes[i]), part, box, int(part.mask.sum())))
        most = self.augment.objects
        if len(kept) > most:
            largest = np.argsort([-area for _, _, _, area in kept], kind="stable")[:most]
            kept = [kept[i] for i in sorted(largest.tolist())]
        return _padded(kept, most, canvas)


def _classified(view: View, semantic: np.ndarray, canvas: Size) -> np.ndarray:
    """The classes of the pixels of a view on its canvas, by the rule of masks."""
    (height, width), padded = view.window[2:], np.full(canvas, IGNORE, np.uint8)
    padded[:height, :width] = semantic[np.ix_(view.rows(), view.columns())]
    return padded


@dataclasses.dataclass(frozen=True)
class _Part:
    """The visible pixels of a mask: their top left corner in the view, and uint8 [h, w]."""

    top: int
    left: int
    mask: np.ndarray

    @property
    def box(self) -> np.ndarray:
        x, y, width, height = cv2.boundingRect(self.mask)
        left, top = self.left + x, self.top + y
        return np.array([left, top, left + width, top + height], np.float64)


def _part_of(objects: Objects, index: int, rows: np.ndarray, columns: np.ndarray) -> _Part | None:
    """The part of a mask in these rows and columns; None if it has no pixel there."""
    encoded = objects.encoded(index)
    x, y, width, height = rle.toBbox(encoded).tolist()
    down = np.flatnonzero((rows >= y) & (rows < y + height))
    across = np.flatnonzero((columns >= x) & (columns < x + width))
    if not down.size or not across.size:
        return None
    mask = rle.decode(encoded)[np.ix_(rows[down], columns[across])]
    if not mask.any():
        return None
    return _Part(int(down[0]), int(across[0]), np.ascontiguousarray(mask))


def _moved(boxes: np.ndarray, view: View) -> np.ndarray:
    """Boxes [G, 4] in pixels of the view, clipped to it."""
    moved = np.empty_like(boxes)
    for axis, columns in ((1, (0, 2)), (0, (1, 3))):
        start, length = view.crop[axis], view.crop[2 + axis]
        first, seen = view.window[axis], view.window[2 + axis]
        for column in columns:
            at = (boxes[:, column] - start) * (view.size[axis] / length) - first
            moved[:, column] = np.clip(at, 0, seen)
    if view.mirror:
        moved[:, [0, 2]] = view.window[3] - moved[:, [2, 0]]
    return moved


def _is_cut(box: np.ndarray, view: View) -> bool:
    """Whether a box of the image extends beyond the view."""
    for axis in (0, 1):
        start, length = view.crop[axis], view.crop[2 + axis]
        scale = view.size[axis] / length
        first, seen = view.window[axis], view.window[2 + axis]
        low, high = ((box[k - axis] - start) * scale - first for k in (1, 3))
        if low < 0 or high > seen:
            return True
    return False


def _padded(
    kept: list[tuple[int, _Part, np.ndarray, int]], most: int, canvas: Size
) -> dict[str, np.ndarray]:
    found = {
        "boxes": np.zeros((most, 4), np.float32),
        "classes": np.zeros(most, np.int32),
        "valid": np.zeros(most, bool),
        "masks": np.zeros((most, canvas[0], -(-canvas[1] // 8)), np.uint8),
    }
    for i, (number, part, box, _) in enumerate(kept):
        found["boxes"][i], found["classes"][i], found["valid"][i] = box, number, True
        before = part.left % 8  # a byte is eight pixels
        bits = np.packbits(np.pad(part.mask, ((0, 0), (before, 0))), axis=-1)
        rows = slice(part.top, part.top + len(bits))
        first = part.left // 8
        found["masks"][i, rows, first : first + bits.shape[1]] = bits
    return found
