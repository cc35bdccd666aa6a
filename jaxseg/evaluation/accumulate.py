"""Accumulates an evaluation: confusion matrices from the device, added in int64 on the host."""

import collections
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data import loader
from jaxseg.evaluation.boundary_suite import Suite
from jaxseg.evaluation.calibration import Calibration
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference.batches import Predicted
from jaxseg.metrics.confusion import confusion_matrix, image_numbers
from jaxseg.runtime.mesh import replicated
from jaxseg.types import Array
from jaxseg.workdir import per_image

_AHEAD = 2  # batches dispatched to the device before waiting for the counts of the oldest
_NAMED = 5  # most images named in an error


@functools.partial(jax.jit, static_argnames=("num_classes", "mesh"))
def _count(
    labels: Array,
    predictions: Array,
    finite: Array,
    index: Array,
    losses: Array | None = None,
    *,
    num_classes: int,
    mesh: Mesh | None,
) -> tuple[Array, Array, Array, Array | None]:
    """Computes a confusion matrix per image, int32 [B, K, K], replicated to every process.

    The other arrays [B] are replicated with it.
    """

    def of_image(label: Array, prediction: Array) -> Array:
        return confusion_matrix(label[None], prediction[None], num_classes)

    result = jax.vmap(of_image)(labels, predictions), finite, index, losses
    if mesh is None:
        return result
    return jax.lax.with_sharding_constraint(result, replicated(mesh))


class Totals:
    """Accumulates the results of the batches of a split.

    Args:
      num_classes: K.
      protocol: selects the metrics of boundaries and probabilities.
      mesh: over which the batches are sharded; None means one device.
    """

    def __init__(self, num_classes: int, protocol: config.Eval, mesh: Mesh | None) -> None:
        self._count = functools.partial(_count, num_classes=num_classes, mesh=mesh)
        self._pending: collections.deque[tuple[Array, Array, Array, Array | None]] = (
            collections.deque()
        )
        self._tally = _Tally(num_classes)
        self._calibration = Calibration(mesh) if protocol.calibration else None
        self._suite = Suite(num_classes, protocol.hausdorff, mesh) if protocol.boundary else None

    @property
    def is_broken(self) -> bool:
        """Whether any scores were not finite; the same on every process."""
        return bool(self._tally.broken)

    def add(self, found: Predicted) -> int:
        """Counts one batch; returns the number of images whose counts have arrived meanwhile."""
        known = found.label, found.classes, found.finite, found.index, found.losses
        self._pending.append(self._count(*known))
        if self._calibration and found.probabilities is not None:
            self._calibration.add(found.probabilities, found.label)
        if self._suite:
            self._suite.add(found.label, found.classes, found.index, found.size)
        return self._take(_AHEAD)

    def finish(self) -> int:
        """Waits for the last batches; returns their number of images."""
        return self._take(0)

    def _take(self, left: int) -> int:
        images = 0
        while len(self._pending) > left:
            images += self._tally.add(*self._pending.popleft())
        return images

    def evaluation(
        self, source: loader.Source, seconds: float, frames: Mapping[tuple[int, int], int]
    ) -> Evaluation:
        """Returns the evaluation of the split.

        Args:
          source: the split, with the names of images and classes.
          seconds: the duration.
          frames: frame -> number of images.

        Raises:
          ValueError: scores are not finite; the message names the images.
        """
        self._tally.refuse_broken(source)
        images, counts = self._tally.of_images(source)
        return Evaluation(
            confusion=self._tally.confusion,
            images=images,
            seconds=seconds,
            per_image=counts,
            boundary=self._suite.to_json(source.labels.names) if self._suite else None,
            probabilities=self._calibration.numbers() if self._calibration else {},
            frames=frames,
            loss=self._tally.mean_loss(),
        )


class _Tally:
    """The sums on the host, in int64, because a large set has more pixels than fit int32."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.images: dict[int, tuple[float, float]] = {}  # index -> (miou, pixel accuracy)
        self.entries: dict[int, per_image.Entries] = {}  # index -> of `per_image.entries`
        self.broken: list[int] = []  # images with scores that are not finite
        self.losses: dict[int, float] = {}  # index -> sum over the valid pixels

    def add(self, counts: Array, finite: Array, index: Array, losses: Array | None = None) -> int:
        """Adds one batch of `_count`; returns its number of images, without fillers."""
        before = len(self.images)
        batch = zip(*map(np.asarray, (counts, finite, index)), strict=True)
        for confusion, is_finite, i in batch:
            if i < 0:
                continue
            self.confusion += confusion
            self.images[int(i)] = image_numbers(confusion)
            self.entries[int(i)] = per_image.entries(confusion)
            if not is_finite:
                self.broken.append(int(i))
        if losses is not None:
            pairs = zip(np.asarray(index), np.asarray(losses), strict=True)
            self.losses |= {int(i): float(loss) for i, loss in pairs if i >= 0}
        return len(self.images) - before

    def mean_loss(self) -> float | None:
        """The mean loss of all valid pixels; nan if there are none, None without losses."""
        if not self.losses:
            return None
        pixels = int(self.confusion.sum())
        return math.fsum(self.losses.values()) / pixels if pixels else math.nan

    def of_images(self, source: loader.Source) -> tuple[list[dict[str, Any]], per_image.PerImage]:
        """Returns the metrics and the counts of each image, both in the order of the split."""
        images: list[dict[str, Any]] = [
            {"index": i, "name": name_of(source, i), "miou": miou, "pixel_accuracy": accuracy}
            for i, (miou, accuracy) in sorted(self.images.items())
        ]
        kept = (self.entries[i] for i in sorted(self.entries))
        names = [image["name"] for image in images]
        return images, per_image.gather(names, len(self.confusion), kept)

    def refuse_broken(self, source: loader.Source) -> None:
        """Raises a ValueError if any score was not finite."""
        if not self.broken:
            return
        names = [name_of(source, i) for i in sorted(self.broken)[:_NAMED]]
        more = ", ..." if len(self.broken) > _NAMED else ""
        raise ValueError(
            "the model's scores are not finite (NaN or infinite) on "
            f"{len(self.broken)} of {len(self.images)} images: {', '.join(names)}{more}"
        )


def name_of(source: loader.Source, index: int) -> str:
    """Returns the name of an example, without decoding its image if the source allows it."""
    read = source.encoded if isinstance(source, loader.Source) else source.__getitem__
    return read(index)["name"]
