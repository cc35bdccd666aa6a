"""Panoptic quality of a split: detections are merged to segments and counted image by image.

No map is kept: an image leaves a few numbers for each category that it has. Their sum does not
depend on batches, or on which process has seen which image.

The truth consists of the objects and, where the set has them, of the classes of stuff. A pixel of
several objects belongs to the smallest of them. Annotations do not say which object is in front,
but in COCO the outline of a table usually includes what stands on it, and that of a person what is
worn. No pixel of shapes/instances or Cityscapes belongs to several objects. The crowds of a
category are one segment, and count as `metrics.panoptic` says. In a set without classes of stuff,
the pixels outside all objects are not void: a thing that is found there is an error.
"""

import dataclasses
import functools
import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int32, UInt8
from pycocotools import mask as rle

from jaxseg.data.instances import Objects
from jaxseg.evaluation.coco import ImageDetections
from jaxseg.ignore import IGNORE
from jaxseg.metrics.definitions import LEVEL, PANOPTIC_GROUPS
from jaxseg.metrics.intervals import Interval
from jaxseg.metrics.panoptic import Counts, Quality, Segment, count_segments, quality
from jaxseg.metrics.panoptic_intervals import bootstrap_pq
from jaxseg.postprocess.panoptic import SCORE, STUFF_AREA, THINGS, Panoptic, merged
from jaxseg.runtime import gather

_COLUMNS = 6  # image, category and the four fields of Counts


@dataclasses.dataclass(frozen=True)
class PanopticQuality:
    """PQ of a split.

    Attributes:
      counts: of all images, of the things and then of stuff.
      things: names.
      stuff: names; none if only things are judged.
      rows: image, category and the four fields of `Counts`, where an image has the category; for
        intervals.
    """

    counts: Counts
    things: tuple[str, ...]
    stuff: tuple[str, ...] = ()
    rows: Float[np.ndarray, "n 6"] | None = None

    @functools.cached_property
    def quality(self) -> Quality:
        """Of each category."""
        return quality(self.counts)

    def summary(self) -> dict[str, float]:
        """The means over all categories, "PQ", over things, "PQ things", and over stuff.

        Without stuff, those of things alone.
        """
        return {
            f"{name} {group}".strip(): value
            for group, of in self._groups().items()
            for name, value in self.quality.mean(of).items()
        }

    def intervals(self, images: int) -> dict[str, Interval]:
        """Those of "PQ", "PQ things" and "PQ stuff" over images, of what the summary has.

        None with fewer than two images, and of a group without any segment.

        Args:
          images: of the split, also those without segments.
        """
        if self.rows is None or images < 2:
            return {}
        counts = np.zeros((images, len(self.quality.pq), 4))
        places = self.rows[:, :2].astype(np.int64)
        counts[places[:, 0], places[:, 1]] = self.rows[:, 2:]
        return {
            f"PQ {group}".strip(): bootstrap_pq(counts, of, level=LEVEL)
            for group, of in self._groups().items()
            if counts[:, list(of)].any()
        }

    def _groups(self) -> dict[str, range]:
        """The categories of each group; without stuff, those of things alone."""
        split = len(self.things)
        everything = range(split + len(self.stuff))
        rows = (everything, everything[:split], everything[split:])
        return {
            group: of
            for group, of in zip(PANOPTIC_GROUPS, rows, strict=True)
            if self.stuff or group == "things"
        }

    def per_category(self) -> dict[str, dict[str, float]]:
        """Name -> "PQ", "SQ" and "RQ"; nan for a category in neither truth nor prediction."""
        found = self.quality
        return {
            name: {"PQ": float(found.pq[k]), "SQ": float(found.sq[k]), "RQ": float(found.rq[k])}
            for k, name in enumerate((*self.things, *self.stuff))
        }


class PanopticCounts:
    """The counts of a split, or of one process's images of it.

    Attributes:
      things: names of the K classes of things.
      stuff: names of the classes of stuff; none: things alone are judged.
    """

    def __init__(
        self, things: Sequence[str], stuff: Sequence[str] = (), stuff_area: int = STUFF_AREA
    ) -> None:
        self.things, self.stuff = tuple(things), tuple(stuff)
        self._stuff_area = stuff_area
        self._rows: list[np.ndarray] = []

    def add(
        self,
        image: int,
        objects: Objects,
        detections: ImageDetections,
        truth: UInt8[np.ndarray, "h w"] | None = None,
        found: UInt8[np.ndarray, "h w"] | None = None,
    ) -> None:
        """Counts the segments of one image.

        Args:
          image: its index in the split.
          objects: the true ones, with classes 1 to K.
          detections: by descending score.
          truth: the class of each pixel: 0 for things, 1, 2, ... for stuff, `IGNORE`.
          found: the class that the network gives it; both None: things alone are judged.
        """
        things = len(self.things)
        ids, segments = true_segments(objects, truth, things)
        shown = int((detections.scores >= SCORE).sum())
        segmented = merged(
            (rle.decode(mask) for mask in detections.masks[:shown]),
            detections.classes[:shown].tolist(),
            detections.scores[:shown].tolist(),
            np.full(ids.shape, THINGS, np.uint8) if found is None else found,
            things,
            stuff_area=self._stuff_area,
        )
        counts = count_segments(ids, segments, *_described(segmented), self._categories + 1)
        each = np.stack([counts.iou, counts.hits, counts.wrong, counts.missed], axis=1)
        each = each[: self._categories]
        there = np.flatnonzero(each.any(axis=1))
        about = np.stack([np.full(len(there), image), there], axis=1)
        self._rows.append(np.concatenate([about, each[there]], axis=1))

    @property
    def _categories(self) -> int:
        return len(self.things) + len(self.stuff)

    def of_all_processes(self) -> "PanopticCounts":
        """The counts of all processes; every process must call this."""
        every, buffer = PanopticCounts(self.things, self.stuff, self._stuff_area), io.BytesIO()
        np.save(buffer, self._table())  # of no rows, too, it has bytes
        every._rows = [
            np.load(io.BytesIO(data), allow_pickle=False)
            for data in gather.bytes_of_all(buffer.getvalue())
        ]
        return every

    def _table(self) -> np.ndarray:
        return np.concatenate([np.zeros((0, _COLUMNS)), *self._rows])

    def total(self) -> PanopticQuality:
        """The sum over the images, in their order, so that it is the same to the last bit."""
        rows = self._table()
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        sums = np.zeros((self._categories, 4))
        np.add.at(sums, rows[:, 1].astype(np.int64), rows[:, 2:])
        counts = Counts(sums[:, 0], *sums[:, 1:].astype(np.int64).T)
        return PanopticQuality(counts, self.things, self.stuff, rows)


def true_segments(
    objects: Objects, semantic: UInt8[np.ndarray, "h w"] | None, things: int
) -> tuple[Int32[np.ndarray, "h w"], dict[int, Segment]]:
    """The segments of the truth.

    Args:
      objects: with classes 1 to K.
      semantic: the class of each pixel: 0 for things, 1, 2, ... for stuff, `IGNORE`. None: the
        pixels outside all objects are a segment of category K.
      things: K.

    Returns:
      The ids and their segments: category k - 1 for objects of class k, then K for the first class
      of stuff. An object that smaller ones hide has none.
    """
    ids = np.zeros(objects.size, np.int32)
    segments: dict[int, Segment] = {}
    single = np.flatnonzero(~objects.crowd).tolist()
    for i in sorted(single, key=lambda i: -int(rle.area(objects.encoded(i)))):
        np.copyto(ids, i + 1, where=rle.decode(objects.encoded(i)) != 0)
        segments[i + 1] = Segment(int(objects.classes[i]) - 1)
    free = ids == 0
    for kind in np.unique(objects.classes[objects.crowd]).tolist():
        own = np.flatnonzero(objects.crowd & (objects.classes == kind)).tolist()
        region = rle.decode(rle.merge([objects.encoded(i) for i in own])) != 0
        ids[region & free] = len(objects) + kind
        segments[len(objects) + kind] = Segment(kind - 1, crowd=True)
    free &= ids == 0
    first = len(objects) + things  # the number of stuff k is above all others
    kinds = np.ones(objects.size, np.uint8) if semantic is None else semantic
    stuff = free & (kinds != THINGS) & (kinds != IGNORE)
    np.copyto(ids, first + kinds.astype(np.int32), where=stuff)
    for kind in np.flatnonzero(np.bincount(kinds[stuff])).tolist():
        segments[first + kind] = Segment(things + kind - 1)
    pixels = np.bincount(ids.ravel(), minlength=first + 1 + IGNORE)
    return ids, {number: segment for number, segment in segments.items() if pixels[number]}


def _described(found: Panoptic) -> tuple[np.ndarray, Mapping[int, Segment]]:
    return found.ids, {number: Segment(kind) for number, kind in found.categories.items()}
