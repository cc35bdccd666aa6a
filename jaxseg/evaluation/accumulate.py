"""Sums up an evaluation: confusion matrices counted on the device, added in int64 on the host."""

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

_AHEAD = 2  # batches given to the device before the oldest one's counts are waited for
_NAMED = 5  # images named in an error


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
    """One confusion matrix per image, int32 [B, K, K], held by every process when done.

    What else is known of each image, [B], is handed on in the same way.
    """

    def of_image(label: Array, prediction: Array) -> Array:
        return confusion_matrix(label[None], prediction[None], num_classes)

    result = jax.vmap(of_image)(labels, predictions), finite, index, losses
    if mesh is None:
        return result
    return jax.lax.with_sharding_constraint(result, replicated(mesh))


class Totals:
    """All that is added up over the batches of a split.

    Args:
      num_classes: K.
      protocol: says whether boundaries and probabilities are judged too.
      mesh: that the batches lie on; None: on one device.
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
        """Whether scores were not finite; every process has read the same counts."""
        return bool(self._tally.broken)

    def add(self, found: Predicted) -> int:
        """Counts one batch; returns how many images of earlier ones are counted by now."""
        known = found.label, found.classes, found.finite, found.index, found.losses
        self._pending.append(self._count(*known))
        if self._calibration and found.probabilities is not None:
            self._calibration.add(found.probabilities, found.label)
        if self._suite:
            self._suite.add(found.label, found.classes, found.index, found.size)
        return self._take(_AHEAD)

    def finish(self) -> int:
        """Waits for the last batches; returns how many images were in them."""
        return self._take(0)

    def _take(self, left: int) -> int:
        images = 0
        while len(self._pending) > left:
            images += self._tally.add(*self._pending.popleft())
        return images

    def evaluation(
        self, source: loader.Source, seconds: float, frames: Mapping[tuple[int, int], int]
    ) -> Evaluation:
        """What came of the split.

        Args:
          source: names the images and the classes.
          seconds: that it took.
          frames: of the images -> how many have each.

        Raises:
          ValueError: scores that are not finite; the images are named.
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
    """The sums on the host: int64, because int32 ends before the pixels of a large set."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.images: dict[int, tuple[float, float]] = {}  # index -> (miou, pixel accuracy)
        self.entries: dict[int, per_image.Entries] = {}  # index -> of `per_image.entries`
        self.broken: list[int] = []  # images with scores that are not finite
        self.losses: dict[int, float] = {}  # index -> sum over the valid pixels

    def add(self, counts: Array, finite: Array, index: Array, losses: Array | None = None) -> int:
        """Takes one batch of `_count`; how many images were in it, fillers aside."""
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


def name_of(source: loader.Source, index: int) -> str:
    """The name of an example, without decoding its image where the source can."""
    read = source.encoded if isinstance(source, loader.Source) else source.__getitem__
    return read(index)["name"]
