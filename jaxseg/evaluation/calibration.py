"""The calibration of a split's probabilities, accumulated batch by batch."""

import functools

import jax
import numpy as np
from jax.sharding import Mesh

from jaxseg.metrics import probability
from jaxseg.runtime.mesh import replicated
from jaxseg.types import Array


@functools.partial(jax.jit, static_argnames="mesh")
def _histograms(scores: Array, labels: Array, *, mesh: Mesh | None) -> list[Array]:
    """Computes the histogram of confidence and, for two classes, of class 1, int32 [2, bins]."""
    found = [probability.confidence_histogram(scores, labels)]
    if scores.shape[-1] == 2:
        found.append(probability.score_histogram(scores[..., 1], labels, scores[..., 0]))
    if mesh is None:
        return found
    return jax.lax.with_sharding_constraint(found, replicated(mesh))


class Calibration:
    """Accumulates histograms of probabilities, in int64 on the host."""

    def __init__(self, mesh: Mesh | None) -> None:
        self._mesh = mesh
        self._sums: list[np.ndarray] = []

    def add(self, scores: Array, labels: Array) -> None:
        """Counts one batch: probabilities [B, H, W, K] and labels [B, H, W]."""
        found = [np.asarray(h, np.int64) for h in _histograms(scores, labels, mesh=self._mesh)]
        before = self._sums or [np.zeros((), np.int64)] * len(found)
        self._sums = [a + b for a, b in zip(before, found, strict=True)]

    def numbers(self) -> dict[str, float]:
        """Returns calibration_error and, for two classes, roc_auc; nan if no pixel is counted."""
        confidence, *of_class = self._sums
        found = {"calibration_error": probability.calibration_error(confidence)}
        return found | ({"roc_auc": probability.roc_auc(of_class[0])} if of_class else {})
