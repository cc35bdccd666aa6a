"""Sums up an evaluation: confusion matrices counted on the device, added in int64 on the host."""

import functools
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxseg.data import loader
from jaxseg.metrics import confusion_matrix, probability
from jaxseg.runtime.mesh import replicated
from jaxseg.types import Array
from jaxseg.workdir import per_image

_NAMED = 5  # images named in an error


@functools.partial(jax.jit, static_argnames=("num_classes", "mesh"))
def count(
    labels: Array,
    predictions: Array,
    finite: Array,
    index: Array,
    losses: Array | None = None,
    *,
    num_classes: int,
    mesh: Mesh | None,
) -> tuple[Array, Array, Array, Array | None]:
    """One confusion matrix per image, int32 [B, K, K], held by every process when done.

    What else is known of each image, [B], is handed on in the same way.
    """

    def of_image(label: Array, prediction: Array) -> Array:
        return confusion_matrix(label[None], prediction[None], num_classes)

    result = jax.vmap(of_image)(labels, predictions), finite, index, losses
    if mesh is None:
        return result
    return jax.lax.with_sharding_constraint(result, replicated(mesh))


class Tally:
    """The sums on the host: int64, because int32 ends before the pixels of a large set."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.images: dict[int, tuple[float, float]] = {}  # index -> (miou, pixel accuracy)
        self.entries: dict[int, per_image.Entries] = {}  # index -> of `per_image.entries`
        self.broken: list[int] = []  # images with scores that are not finite
        self.losses: dict[int, float] = {}  # index -> sum over the valid pixels

    def add(self, counts: Array, finite: Array, index: Array, losses: Array | None = None) -> int:
        """Takes one batch of `count`; how many images were in it, fillers aside."""
        before = len(self.images)
        batch = zip(*map(np.asarray, (counts, finite, index)), strict=True)
        for confusion, is_finite, i in batch:
            if i < 0:
                continue
            self.confusion += confusion
            self.images[int(i)] = _image_numbers(confusion.astype(np.int64))
            self.entries[int(i)] = per_image.entries(confusion)
            if not is_finite:
                self.broken.append(int(i))
        if losses is not None:
            pairs = zip(np.asarray(index), np.asarray(losses), strict=True)
            self.losses |= {int(i): float(loss) for i, loss in pairs if i >= 0}
        return len(self.images) - before

    def mean_loss(self) -> float | None:
        """Over the valid pixels of all images; nan where there are none, None without losses."""
        if not self.losses:
            return None
        pixels = int(self.confusion.sum())
        return math.fsum(self.losses.values()) / pixels if pixels else math.nan

    def of_images(self, source: loader.Source) -> tuple[list[dict[str, Any]], per_image.PerImage]:
        """What is told of each image, and its counts, both in the order of the split."""
        images: list[dict[str, Any]] = [
            {"index": i, "name": name_of(source, i), "miou": miou, "pixel_accuracy": accuracy}
            for i, (miou, accuracy) in sorted(self.images.items())
        ]
        kept = (self.entries[i] for i in sorted(self.entries))
        names = [image["name"] for image in images]
        return images, per_image.gather(names, len(self.confusion), kept)

    def refuse_broken(self, source: loader.Source) -> None:
        """Stops an evaluation in which any score was not finite."""
        if not self.broken:
            return
        names = [name_of(source, i) for i in sorted(self.broken)[:_NAMED]]
        more = ", ..." if len(self.broken) > _NAMED else ""
        raise ValueError(
            "the model's scores are not finite (NaN or infinite) on "
            f"{len(self.broken)} of {len(self.images)} images: {', '.join(names)}{more}"
        )


def _image_numbers(confusion: np.ndarray) -> tuple[float, float]:
    """(mIoU over the classes present in the image's truth, pixel accuracy) of one image [K, K]."""
    hits, truth = np.diagonal(confusion), confusion.sum(axis=1)
    present = truth > 0
    if not present.any():
        return math.nan, math.nan
    union = truth + confusion.sum(axis=0) - hits
    return float(np.mean(hits[present] / union[present])), float(hits.sum() / truth.sum())


@functools.partial(jax.jit, static_argnames="mesh")
def _histograms(scores: Array, labels: Array, *, mesh: Mesh | None) -> list[Array]:
    """Of the confidence and, of two classes, of class 1: int32 [2, bins], held by every process."""
    found = [probability.confidence_histogram(scores, labels)]
    if scores.shape[-1] == 2:
        found.append(probability.score_histogram(scores[..., 1], labels, scores[..., 0]))
    if mesh is None:
        return found
    return jax.lax.with_sharding_constraint(found, replicated(mesh))


class Calibration:
    """The sums of histograms of probabilities, in int64."""

    def __init__(self, mesh: Mesh | None) -> None:
        self._mesh = mesh
        self._sums: list[np.ndarray] = []

    def add(self, scores: Array, labels: Array) -> None:
        """Counts one batch: probabilities [B, H, W, K] and labels [B, H, W]."""
        found = [np.asarray(h, np.int64) for h in _histograms(scores, labels, mesh=self._mesh)]
        before = self._sums or [np.zeros((), np.int64)] * len(found)
        self._sums = [a + b for a, b in zip(before, found, strict=True)]

    def numbers(self) -> dict[str, float]:
        """By name: calibration_error and, of two classes, roc_auc; nan where nothing is counted."""
        confidence, *of_class = self._sums
        found = {"calibration_error": probability.calibration_error(confidence)}
        return found | ({"roc_auc": probability.roc_auc(of_class[0])} if of_class else {})


def name_of(source: loader.Source, index: int) -> str:
    """The name of an example, without decoding its image where the source can."""
    read = source.encoded if isinstance(source, loader.Source) else source.__getitem__
    return read(index)["name"]
