"""Counts the images and objects of a split of an instance set; independent of flags."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from pycocotools import mask as rle

from jaxseg.data.doctor.survey import Finding, Survey, count
from jaxseg.data.instances import Objects
from jaxseg.data.labels import LabelSpec

SMALL, LARGE = 32.0**2, 96.0**2  # pixels: COCO's classes of size
_BORDER = 0.5  # pixels; a box so close to the border counts as cut


@dataclasses.dataclass(frozen=True)
class ObjectFinding:
    """The counts of one example.

    Attributes:
      image: the result of `survey.count`; its counts are objects per category.
      objects: of the image, with published categories; None if they cannot be read.
      pixels: of each mask.
    """

    image: Finding
    objects: Objects | None = None
    pixels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    def faults(self) -> list[str]:
        """Problems of single objects, a line each."""
        if self.objects is None:
            return []
        lines, seen = [], set()
        for i, (box, pixels) in enumerate(zip(self.objects.boxes, self.pixels, strict=True)):
            where = f"{self.image.name}: object {i} (category {self.objects.classes[i]})"
            width, height = box[2:] - box[:2]
            if not pixels:
                lines.append(f"{where} has a mask without a pixel")
            if width <= 0 or height <= 0:
                lines.append(f"{where} has a box of {width:g} x {height:g}")
            same = (int(self.objects.classes[i]), self.objects.regions[i])
            if pixels and same in seen:
                lines.append(f"{where} is a duplicate")
            seen.add(same)
        return lines


@dataclasses.dataclass(frozen=True)
class LookedObjects:
    """One split as the doctor reads it: the number of examples, and access to each."""

    split: str
    count: int
    look: Callable[[int], ObjectFinding]
    show: Callable[[int], tuple[np.ndarray, Objects]]


@dataclasses.dataclass(frozen=True)
class ObjectSurvey:
    """The findings of one split.

    Attributes:
      findings: one an example.
      labels: the meaning of the categories.
    """

    findings: Sequence[ObjectFinding]
    labels: LabelSpec

    @property
    def images(self) -> Survey:
        """The survey of the images: sizes, means and copies."""
        return Survey([finding.image for finding in self.findings], self.labels)

    @property
    def readable(self) -> list[ObjectFinding]:
        """The findings whose objects could be read."""
        return [finding for finding in self.findings if finding.objects is not None]

    def per_image(self) -> np.ndarray:
        """Number of objects in each image without crowds, int64."""
        return np.array([int((~_of(f).crowd).sum()) for f in self.readable], np.int64)

    def column(self, name: str) -> np.ndarray:
        """An attribute of `Objects`, "classes", "areas" or "crowd", of all objects together."""
        parts = [getattr(_of(finding), name) for finding in self.readable]
        return np.concatenate(parts) if parts else np.zeros(0)

    def size_classes(self) -> np.ndarray:
        """COCO's size of each object by its area: 0 small, 1 medium, 2 large."""
        return np.digitize(self.column("areas"), [SMALL, LARGE])

    def cut(self) -> np.ndarray:
        """Whether each object reaches the border of its image, bool."""
        parts = [np.zeros(0, bool)]
        for finding in self.readable:
            boxes, (height, width) = _of(finding).boxes, _of(finding).size
            far = np.array([width, height]) - boxes[:, 2:]
            parts.append((np.minimum(boxes[:, :2], far) <= _BORDER).any(axis=1))
        return np.concatenate(parts)

    def images_with(self, category: int) -> int:
        """The number of images with an object of a category."""
        return sum(category in _of(finding).classes for finding in self.readable)


def _of(finding: ObjectFinding) -> Objects:
    assert finding.objects is not None
    return finding.objects


def counted(name: str, split: str, image: np.ndarray, objects: Objects) -> ObjectFinding:
    """Counts an image, uint8 [H, W, 3], and its objects, with published categories."""
    blank = np.zeros(image.shape[:2], np.uint8)
    categories, counts = np.unique(objects.classes, return_counts=True)
    finding = dataclasses.replace(
        count(name, split, "objects", image, blank),
        counts=dict(zip(categories.tolist(), counts.tolist(), strict=True)),
    )
    if objects.size != image.shape[:2]:
        sizes = [f"{h} x {w}" for h, w in (objects.size, image.shape[:2])]
        problem = f"{name}: its objects are of an image of {sizes[0]}, the image is {sizes[1]}"
        finding = dataclasses.replace(finding, problem=problem)
    pixels = np.array([rle.area(objects.encoded(i)) for i in range(len(objects))], np.int64)
    return ObjectFinding(finding, objects, pixels)
