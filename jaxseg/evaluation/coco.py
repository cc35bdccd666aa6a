"""Collects the detections of a split for COCO's metric, one image at a time.

Each mask is encoded as run lengths when it arrives, so at most one is held as pixels. The result
depends on the images alone, not on their order, on batches, or on which process has seen which. The
detections of an image keep the order in which they are given, which breaks ties between scores.
"""

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as rle

from jaxseg.data.instances import Objects
from jaxseg.metrics import coco
from jaxseg.metrics.coco import Judged, Kind
from jaxseg.runtime import gather


@dataclasses.dataclass(frozen=True)
class _OfImage:
    """Detections of one image: boxes [D, 4] as x1, y1, x2, y2; `regions` is empty without masks."""

    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    regions: tuple[bytes, ...]


class ImageDetections(NamedTuple):
    """The detections of one image, by descending score."""

    boxes: np.ndarray  # x1, y1, x2, y2 in pixels of the image, float64 [D, 4]
    scores: np.ndarray  # float64 [D]
    classes: np.ndarray  # int64 [D], 1 to K
    masks: tuple[dict[str, Any], ...]  # run lengths of each, as pycocotools has them; () without


class Detections:
    """The detections of a split, or of one process's images of it."""

    def __init__(self) -> None:
        self._images: dict[int, _OfImage] = {}

    def __len__(self) -> int:
        return len(self._images)

    def add(
        self,
        image: int,
        boxes: np.ndarray,
        scores: np.ndarray,
        classes: np.ndarray,
        masks: Iterable[np.ndarray] | None = None,
    ) -> None:
        """Adds one image; images in which nothing was found are added too.

        Args:
          image: its index in the split.
          boxes: x1, y1, x2, y2 in pixels of the original image, [D, 4].
          scores: [D].
          classes: 1 to K, [D].
          masks: of each detection [H, W], non-zero inside; an iterator may produce one at a time.

        Raises:
          ValueError: the image was added before; the numbers of boxes, scores, classes and masks
            differ; or scores or boxes are not finite.
        """
        if image in self._images:
            raise ValueError(f"image {image} is added for the second time")
        regions, size = [], (0, 0)
        for mask in masks if masks is not None else ():
            size = mask.shape[0], mask.shape[1]
            regions.append(rle.encode(np.asfortranarray(mask != 0, np.uint8))["counts"])
        counts = {len(boxes), len(scores), len(classes), *([len(regions)] * (masks is not None))}
        if len(counts) > 1:
            raise ValueError(
                f"image {image}: {len(boxes)} boxes, {len(scores)} scores, {len(classes)} classes"
                + (f", {len(regions)} masks" if masks is not None else "")
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError(f"image {image}: boxes or scores are not finite (NaN or infinite)")
        self._images[image] = _OfImage(
            size,
            np.asarray(boxes, np.float64).reshape(-1, 4),
            np.asarray(scores, np.float64).reshape(-1),
            np.asarray(classes, np.int64).reshape(-1),
            tuple(regions),
        )

    def of(self, image: int) -> ImageDetections:
        """The detections of one image; none if it was not added."""
        none = np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)
        of = self._images.get(image, _OfImage((0, 0), *none, ()))
        height, width = of.size
        masks = tuple({"size": [height, width], "counts": region} for region in of.regions)
        return ImageDetections(of.boxes, of.scores, of.classes, masks)

    def results(self, categories: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
        """COCO's results, ordered by image and then as they were given; "counts" are bytes.

        Args:
          categories: class -> published category id; without it the class itself is written.
        """
        found = []
        for image, of in sorted(self._images.items()):
            for i, (box, score, kind) in enumerate(
                zip(of.boxes.tolist(), of.scores.tolist(), of.classes.tolist(), strict=True)
            ):
                x1, y1, x2, y2 = box
                one = {
                    "image_id": image,
                    "category_id": categories[kind] if categories else kind,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                }
                if of.regions:
                    one["segmentation"] = {"size": list(of.size), "counts": of.regions[i]}
                found.append(one)
        return found

    def to_bytes(self) -> bytes:
        """The detections as an npz file; `from_bytes` reads it."""
        every = sorted(self._images.items())
        regions = [region for _, of in every for region in of.regions]
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            image=np.array([image for image, _ in every], np.int64),
            size=np.array([of.size for _, of in every], np.int64).reshape(-1, 2),
            count=np.array([len(of.scores) for _, of in every], np.int64),
            masks=np.array([len(of.regions) for _, of in every], np.int64),
            boxes=np.concatenate([np.zeros((0, 4)), *(of.boxes for _, of in every)]),
            scores=np.concatenate([np.zeros(0), *(of.scores for _, of in every)]),
            classes=np.concatenate([np.zeros(0, np.int64), *(of.classes for _, of in every)]),
            length=np.array([len(region) for region in regions], np.int64),
            regions=np.frombuffer(b"".join(regions), np.uint8),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Detections":
        """The inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            of = {name: stored[name] for name in stored.files}
        ends = np.cumsum(of["length"])
        text = of["regions"].tobytes()
        regions = [text[end - n : end] for n, end in zip(of["length"], ends, strict=True)]
        made, start, first = cls(), 0, 0
        for image, (height, width), count, masks in zip(
            of["image"].tolist(), of["size"].tolist(), of["count"], of["masks"], strict=True
        ):
            own = slice(start, start + count)
            made._images[image] = _OfImage(
                (height, width),
                of["boxes"][own],
                of["scores"][own],
                of["classes"][own],
                tuple(regions[first : first + masks]),
            )
            start, first = start + count, first + masks
        return made

    def of_all_processes(self) -> "Detections":
        """The detections of all processes; every process must call this and gets all of them.

        Raises:
          ValueError: two processes added the same image.
        """
        merged = Detections()
        for data in gather.bytes_of_all(self.to_bytes()):
            for image, of in Detections.from_bytes(data)._images.items():
                if image in merged._images:
                    raise ValueError(f"image {image} is added by two processes")
                merged._images[image] = of
        return merged


def truth_of(objects: Iterable[tuple[int, Objects]], names: Sequence[str]) -> dict[str, Any]:
    """The annotations of a split in COCO's format, including crowds.

    Args:
      objects: the index of each image in the split and its objects, with classes 1 to K.
      names: of the K classes.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, of in objects:
        images.append({"id": image, "height": of.size[0], "width": of.size[1]})
        for i, (x1, y1, x2, y2) in enumerate(of.boxes.tolist()):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(of.classes[i]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(of.areas[i]),
                    "iscrowd": int(of.crowd[i]),
                    "segmentation": of.encoded(i),
                }
            )
    categories = [{"id": k, "name": name} for k, name in enumerate(names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def judge(truth: Mapping[str, Any], detections: Detections, kind: Kind) -> Judged:
    """AP and AR of detections whose classes are the truth's categories; see `metrics.coco`."""
    return coco.judge(truth, detections.results(), kind)


def judge_proposals(truth: Mapping[str, Any], detections: Detections, kind: Kind) -> Judged:
    """AR of proposals, whatever their classes; see `metrics.coco`."""
    return coco.judge_proposals(truth, detections.results(), kind)
