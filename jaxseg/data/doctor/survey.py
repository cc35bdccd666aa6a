"""Statistics of the images and masks of a split, independent of files and flags."""

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from jaxseg.data.doctor.tables import names_of
from jaxseg.data.labels import LabelSpec
from jaxseg.ignore import IGNORE

_STRIDE = 32  # sizes of 32 k + 1 suit every output stride up to 32
_LARGEST_CROP = 769  # DeepLab v3's crop for Cityscapes; 513 for PASCAL VOC follows from its images


@dataclasses.dataclass(frozen=True)
class Finding:
    """The counts of one example.

    Attributes:
      name: of the example.
      split: of the example.
      kind: how the mask encodes its ids; "" for prepared sets, in which all are greyscale.
      size: (height, width) of the image; (0, 0) if it cannot be read.
      counts: raw id -> pixels of the mask.
      digest: of the decoded pixels, so that it is equal for equal images in different files.
      total: sum of each channel, uint8 units.
      squares: sum of the squares of each channel.
      problem: a fault of the files, with their names; "" if there is none.
    """

    name: str
    split: str
    kind: str = ""
    size: tuple[int, int] = (0, 0)
    counts: Mapping[int, int] = dataclasses.field(default_factory=dict)
    digest: bytes = b""
    total: tuple[float, ...] = (0.0, 0.0, 0.0)
    squares: tuple[float, ...] = (0.0, 0.0, 0.0)
    problem: str = ""


def count(name: str, split: str, kind: str, image: np.ndarray, raw: np.ndarray) -> Finding:
    """Counts an image, uint8 [H, W, 3], and its raw ids [H, W]; sizes may differ."""
    mean, deviation = (values.ravel() for values in cv2.meanStdDev(image))
    pixels = image.shape[0] * image.shape[1]
    counts = np.bincount(raw.ravel())
    differ = raw.shape != image.shape[:2]
    sizes = [f"{h} x {w}" for h, w in (raw.shape, image.shape[:2])]
    return Finding(
        name=name,
        split=split,
        kind=kind,
        size=(image.shape[0], image.shape[1]),
        counts={int(k): int(counts[k]) for k in np.flatnonzero(counts)},
        digest=hashlib.blake2b(
            image.tobytes(), digest_size=16, person=str(image.shape[:2]).encode()
        ).digest(),
        total=tuple((mean * pixels).tolist()),
        squares=tuple(((deviation**2 + mean**2) * pixels).tolist()),
        problem=f"{name}: the mask is {sizes[0]}, but the image {sizes[1]}" if differ else "",
    )


Example = tuple[np.ndarray, np.ndarray]  # image uint8 [H, W, 3], raw ids [H, W]


class Looked:
    """A split as the doctor reads it: the number of examples, and access to each."""

    def __init__(
        self,
        split: str,
        count: int,
        look: Callable[[int], Finding],
        show: Callable[[int], Example],
    ) -> None:
        self.split, self.count, self.look, self.show = split, count, look, show


@dataclasses.dataclass(frozen=True)
class Survey:
    """The findings of one split.

    Attributes:
      findings: one per example.
      labels: the meaning of the raw ids.
    """

    findings: Sequence[Finding]
    labels: LabelSpec

    def raw_pixels(self) -> dict[int, int]:
        """Raw id -> pixels, in the order of the ids."""
        total: Counter[int] = Counter()
        for finding in self.findings:
            total.update(finding.counts)
        return dict(sorted(total.items()))

    def raw_images(self) -> dict[int, list[str]]:
        """Raw id -> names of the examples that hold it."""
        names: dict[int, list[str]] = {}
        for finding in self.findings:
            for raw in finding.counts:
                names.setdefault(raw, []).append(finding.name)
        return names

    def unknown(self) -> dict[int, list[str]]:
        """Raw ids that the LabelSpec does not define -> names of the examples."""
        known = self.labels.raw_to_train
        return {raw: names for raw, names in self.raw_images().items() if raw not in known}

    def class_pixels(self) -> np.ndarray:
        """Pixels of each class, int64 [K], without void and unknown ids."""
        pixels, _ = self._per_class()
        return pixels

    def _per_class(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of each class, and valid pixels of the images that hold the class, int64 [K]."""
        k = self.labels.num_classes
        pixels, context = np.zeros(k, np.int64), np.zeros(k, np.int64)
        for finding in self.findings:
            own = np.zeros(k, np.int64)
            for raw, n in finding.counts.items():
                train_id = self.labels.raw_to_train.get(raw, IGNORE)
                if train_id != IGNORE:
                    own[train_id] += n
            pixels += own
            context += np.where(own > 0, own.sum(), 0)
        return pixels, context

    def class_images(self) -> np.ndarray:
        """Images that hold each class, int64 [K]."""
        k = self.labels.num_classes
        images = np.zeros(k, np.int64)
        for finding in self.findings:
            held = {self.labels.raw_to_train.get(raw, IGNORE) for raw in finding.counts}
            images[[train_id for train_id in held if train_id != IGNORE]] += 1
        return images

    def void_share(self) -> float:
        """Share of the pixels without a class: void and unknown ids."""
        total = sum(self.raw_pixels().values())
        return 1.0 - float(self.class_pixels().sum()) / total if total else math.nan

    def median_frequency_weights(self) -> np.ndarray:
        """float64 [K]: median(f) / f of each class; 1 for classes that do not occur.

        f is the share of the class in the valid pixels of the images that hold it (Eigen and
        Fergus, ICCV 2015, section 6.3.2, as SegNet uses it, arXiv 1511.00561, section 4).
        """
        pixels, context = self._per_class()
        there = pixels > 0
        weights = np.ones(len(pixels))
        if there.any():
            frequency = pixels[there] / context[there]
            weights[there] = np.median(frequency) / frequency
        return weights

    def inverse_frequency_weights(self) -> np.ndarray:
        """float64 [K]: valid pixels / (classes that occur * its pixels); 1 for absent classes.

        So every class that occurs has the same total weight, and the sum over all pixels is the
        same as without weights.
        """
        pixels, _ = self._per_class()
        there = pixels > 0
        weights = np.ones(len(pixels))
        weights[there] = pixels.sum() / (there.sum() * pixels[there])
        return weights

    def mean_and_deviation(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel, float64 [3], uint8 units; nan without images."""
        pixels = sum(finding.size[0] * finding.size[1] for finding in self.findings)
        if not pixels:
            return np.full(3, math.nan), np.full(3, math.nan)
        mean = np.sum([finding.total for finding in self.findings], axis=0) / pixels
        square = np.sum([finding.squares for finding in self.findings], axis=0) / pixels
        return mean, np.sqrt(np.maximum(square - mean**2, 0))

    def sizes(self) -> Counter[tuple[int, int]]:
        """(height, width) -> number of images."""
        return Counter(finding.size for finding in self.findings if finding.size != (0, 0))

    def kinds(self) -> Counter[str]:
        """Encoding of ids -> number of masks."""
        return Counter(finding.kind for finding in self.findings if finding.kind)


def duplicates(surveys: Mapping[str, Survey]) -> list[list[Finding]]:
    """Groups of examples whose decoded images are equal, in one split or in several."""
    groups: dict[bytes, list[Finding]] = {}
    for survey in surveys.values():
        for finding in survey.findings:
            if finding.digest:
                groups.setdefault(finding.digest, []).append(finding)
    return [group for group in groups.values() if len(group) > 1]


def doubled(surveys: Mapping[str, Survey]) -> list[str]:
    """A line for each image that occurs twice in a split, or to train on and to evaluate."""
    lines = []
    for group in duplicates(surveys):
        apart = [f.split for f in group if f.split != "trainval"]  # the union of two others
        roles = {"train" if split.startswith("train") else split for split in apart}
        within = {f.split for f in group}
        if len(roles) > 1 or any(sum(f.split == s for f in group) > 1 for s in within):
            lines.append(f"the same image: {names_of([f'{f.split} {f.name}' for f in group])}")
    return lines


def evaluation_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The smallest (height, width) of the form 32 k + 1 that fits all images."""
    height, width = (max(side) for side in zip(*sizes, strict=True))
    return (
        _STRIDE * math.ceil((height - 1) / _STRIDE) + 1,
        _STRIDE * math.ceil((width - 1) / _STRIDE) + 1,
    )


def training_crop(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The evaluation size, at most 769 per side: 513 x 513 for VOC, 769 x 769 for Cityscapes."""
    height, width = evaluation_size(sizes)
    return min(height, _LARGEST_CROP), min(width, _LARGEST_CROP)
