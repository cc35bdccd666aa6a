"""All boundary metrics of an evaluation, batch by batch: integer counts in, JSON out.

    suite = boundary_suite.Suite(num_classes)
    suite.add(labels, predictions, index, sizes)  # of each batch, on the device
    record["boundary"] = suite.to_json(names)

See `jaxseg.metrics.boundary` for the definitions. The results do not depend on the batch size, on
the padding or on the order of the images.
"""

import collections
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxseg.metrics import class_counts, class_iou, mean_iou
from jaxseg.metrics.boundary import (
    boundary_f_counts,
    boundary_iou_counts,
    f_scores,
    mean_f_score,
    trimap_confusions,
)
from jaxseg.metrics.hausdorff import hausdorff
from jaxseg.runtime.mesh import replicated
from jaxseg.types import Array

WIDTHS = (1, 2, 3, 5, 8, 12, 16, 20, 30, 40)  # pixels, of the trimap curve
RATIO = 0.02  # of boundary IoU, as in its paper
TOLERANCES = (0.0025, 0.005, 0.0075, 0.01)  # of the diagonal; SegNet's is 0.0075
PERCENTILE = 95.0

_AHEAD = 2  # batches dispatched to the device before waiting for the counts of the oldest


@functools.partial(jax.jit, static_argnames=("num_classes", "distances", "mesh"))
def _count(
    labels: Array,
    predictions: Array,
    index: Array,
    sizes: Array,
    *,
    num_classes: int,
    distances: bool,
    mesh: Mesh | None,
) -> dict[str, Array]:
    """Computes the counts of one batch, replicated with its index to every process."""
    given = (labels, predictions, num_classes)
    counts = {
        "void": trimap_confusions(*given, WIDTHS, around="void", sizes=sizes),
        "classes": trimap_confusions(*given, WIDTHS, around="classes", sizes=sizes),
        "iou": boundary_iou_counts(*given, ratio=RATIO, sizes=sizes),
        "f": boundary_f_counts(*given, tolerances=TOLERANCES, sizes=sizes),
        "index": jnp.asarray(index),
    }
    if distances:
        counts["hausdorff"] = hausdorff(*given, percentile=PERCENTILE, sizes=sizes)
    if mesh is None:
        return counts
    return jax.lax.with_sharding_constraint(counts, replicated(mesh))


class Suite:
    """Accumulates the boundary metrics of batches, in int64 on the host.

    Args:
      num_classes: K.
      distances: whether to compute the 95th percentile of the Hausdorff distance too. This is slow:
        exact distances over the whole image, one class after the other.
      mesh: from `mesh.make_mesh`, if batches are sharded over one.
    """

    def __init__(self, num_classes: int, distances: bool = False, mesh: Mesh | None = None) -> None:
        self._count = functools.partial(
            _count, num_classes=num_classes, distances=distances, mesh=mesh
        )
        trimap = (len(WIDTHS), num_classes, num_classes)
        self._sums = {
            "void": np.zeros(trimap, np.int64),
            "classes": np.zeros(trimap, np.int64),
            "iou": np.zeros((3, num_classes), np.int64),
        }
        self._f: dict[int, np.ndarray] = {}  # index -> int32 [tolerances, 4, K]
        self._hausdorff: dict[int, np.ndarray] = {}  # index -> float32 [K]
        self._pending: collections.deque[dict[str, Array]] = collections.deque()

    def add(self, labels: Array, predictions: Array, index: Array, sizes: Array) -> None:
        """Counts one batch; returns before the device has finished.

        Args:
          labels: [B, H, W] train ids; values outside 0..K-1 are void.
          predictions: [B, H, W] train ids.
          index: [B], of the images in the split; -1 for a filler, whose size is 0.
          sizes: [B, 2], heights and widths of the images without padding.
        """
        self._pending.append(self._count(labels, predictions, index, sizes))
        if len(self._pending) > _AHEAD:
            self._take(self._pending.popleft())

    def _take(self, counts: dict[str, Array]) -> None:
        for name, total in self._sums.items():
            total += np.asarray(counts[name])
        for name, kept in (("f", self._f), ("hausdorff", self._hausdorff)):
            if name in counts:
                values = np.asarray(counts[name])
                index = enumerate(np.asarray(counts["index"]))
                kept.update({int(i): values[b] for b, i in index if i >= 0})

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Returns the metrics as JSON values, with classes by name and null for 0 / 0.

        Returns:
          "images", their number.
          "trimap": "widths" in pixels; "void" and "classes", the curve around each: "miou" and
            "pixels" of each width; "around", the one that suits the data set: "void" if more pixels
            touch void than another class, as when void outlines every object (VOC).
          "boundary_iou": "ratio" to the diagonal, "mean", "classes".
          "boundary_f": "tolerances" as shares of the diagonal; "mean" of each, over the classes of
            an image and then over images; "classes", each over the images with it. It is
            meaningless if "around" is "void": see `jaxseg.metrics.boundary.boundary_f_counts`.
          "hausdorff_95", if it was requested, in pixels: "classes", the mean over images that have
            the class in truth and prediction; "images", their number; "one_sided", the number of
            images with the class in only one of the two, where the distance is infinite; "mean"
            over the classes.
        """
        while self._pending:
            self._take(self._pending.popleft())
        result = {
            "images": len(self._f),
            "trimap": self._trimap(),
            "boundary_iou": self._boundary_iou(names),
            "boundary_f": self._boundary_f(names),
        }
        if self._hausdorff:
            result["hausdorff_95"] = _distances(self._hausdorff, names)
        return result

    def _trimap(self) -> dict[str, Any]:
        curves: dict[str, Any] = {}
        for around in ("void", "classes"):
            confusions = self._sums[around]
            curves[around] = {
                "miou": _list(np.asarray(mean_iou(*class_counts(confusions)))),
                "pixels": confusions.sum(axis=(1, 2)).tolist(),
            }
        touching = {around: curve["pixels"][0] for around, curve in curves.items()}
        around = "void" if touching["void"] > touching["classes"] else "classes"
        return {"around": around, "widths": list(WIDTHS), **curves}

    def _boundary_iou(self, names: Sequence[str]) -> dict[str, Any]:
        counts = self._sums["iou"]
        classes = dict(zip(names, _list(class_iou(*counts)), strict=True))
        return {"ratio": RATIO, "mean": _number(float(mean_iou(*counts))), "classes": classes}

    def _boundary_f(self, names: Sequence[str]) -> dict[str, Any]:
        tolerances = range(len(TOLERANCES))
        shape = (0, len(TOLERANCES), 4, len(names))
        kept = [self._f[i] for i in sorted(self._f)]
        counts = np.stack(kept) if kept else np.zeros(shape, np.int32)  # [N, tolerances, 4, K]
        classes = np.stack([_mean(f_scores(counts[:, t])) for t in tolerances], axis=1)
        return {
            "tolerances": list(TOLERANCES),
            "mean": [_number(mean_f_score(counts[:, t])) for t in tolerances],
            "classes": dict(zip(names, map(_list, classes), strict=True)),
        }


def _distances(kept: dict[int, np.ndarray], names: Sequence[str]) -> dict[str, Any]:
    values = np.stack([kept[i] for i in sorted(kept)]).astype(np.float64)  # [N, K]
    means = _mean(np.where(np.isinf(values), np.nan, values))
    return {
        "mean": _number(float(_mean(means[:, None])[0])),
        "classes": dict(zip(names, _list(means), strict=True)),
        "images": dict(zip(names, np.isfinite(values).sum(axis=0).tolist(), strict=True)),
        "one_sided": dict(zip(names, np.isinf(values).sum(axis=0).tolist(), strict=True)),
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each column of [N, K], ignoring nan; nan if all values are."""
    defined = ~np.isnan(values)
    number = defined.sum(axis=0)
    total = np.where(defined, values, 0).sum(axis=0)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _list(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values]
