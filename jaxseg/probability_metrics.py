"""Metrics of probabilities: area under the ROC curve, calibration error; void-aware, streaming.

Both come from one histogram of scores, whose integers add up over batches. Its bins are fine: what
is read from it differs from the number of the scores themselves by what they move within a bin.
"""

import jax.numpy as jnp
import numpy as np

from jaxseg.types import Array, ArrayLike

_FINE = 3840  # bins of a histogram: 15 times 256


def score_histogram(scores: ArrayLike, outcomes: ArrayLike, *, bins: int = _FINE) -> Array:
    """Counts pixels by score, apart for both outcomes.

    Args:
      scores: [B, H, W] in 0..1; bin i holds i / bins < score <= (i + 1) / bins, the first also 0.
      outcomes: [B, H, W]: 1, 0, and anything else where the pixel is void.
      bins: of equal width.

    Returns:
      int32 [2, bins]: counts of outcome 0 and of outcome 1.

    Raises:
      ValueError: shapes that differ or are not [B, H, W]; no bin.
    """
    if np.shape(scores) != np.shape(outcomes) or np.ndim(scores) != 3:
        raise ValueError(
            f"scores {np.shape(scores)} and outcomes {np.shape(outcomes)} must both be [B, H, W]"
        )
    if bins < 1:
        raise ValueError(f"bins {bins}: one or more")
    place = jnp.ceil(jnp.asarray(scores, jnp.float32) * bins).astype(jnp.int32) - 1
    place = jnp.clip(place, 0, bins - 1)
    outcomes = jnp.asarray(outcomes).astype(jnp.int32)
    counted = (outcomes == 0) | (outcomes == 1)
    cell = jnp.where(counted, outcomes * bins + place, 2 * bins)
    return jnp.bincount(cell.ravel(), length=2 * bins + 1)[:-1].reshape(2, bins).astype(jnp.int32)


def confidence_histogram(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = _FINE
) -> Array:
    """`score_histogram` of the greatest probability; the outcome is whether its class is right.

    Args:
      probabilities: [B, H, W, K].
      labels: [B, H, W]; a pixel whose label is not in 0..K-1 is not counted.
      bins: of equal width.

    Returns:
      int32 [2, bins]: counts of wrong and of right pixels.

    Raises:
      ValueError: shapes that do not fit.
    """
    if np.ndim(probabilities) != 4:
        raise ValueError(f"probabilities {np.shape(probabilities)}: [B, H, W, K]")
    probabilities, labels = jnp.asarray(probabilities), jnp.asarray(labels).astype(jnp.int32)
    valid = (labels >= 0) & (labels < probabilities.shape[-1])
    right = (probabilities.argmax(axis=-1) == labels).astype(jnp.int32)
    return score_histogram(probabilities.max(axis=-1), jnp.where(valid, right, -1), bins=bins)


def _counts(histogram: ArrayLike) -> np.ndarray:
    counts = np.asarray(histogram).astype(np.int64)
    if counts.ndim != 2 or counts.shape[0] != 2:
        raise ValueError(f"a histogram is [2, bins], not {list(counts.shape)}")
    return counts


def roc_auc(histogram: ArrayLike) -> float:
    """Area under the ROC curve: how often a pixel of outcome 1 scores above one of outcome 0.

    Equal scores, here those of one bin, count one half (Mann and Whitney; Fawcett, 2006). DRIVE's
    number for vessels, within the field of view alone. nan where an outcome has no pixel.

    Raises:
      ValueError: no histogram [2, bins].
    """
    negative, positive = _counts(histogram).astype(np.float64)
    below = np.cumsum(negative) - negative
    pairs = negative.sum() * positive.sum()
    return float(np.sum(positive * (below + negative / 2)) / pairs) if pairs else float("nan")


def calibration_error(histogram: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error: sum over bins of n / N |share that is right - mean confidence|.

    Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599), equation 3. A score
    stands for the middle of its fine bin, so the error of the result is at most half a fine bin.

    Args:
      histogram: summed `confidence_histogram` [2, fine bins].
      bins: of equal width; the paper takes 15.

    Returns:
      In 0..1; nan where nothing is counted.

    Raises:
      ValueError: no histogram; a number of bins that does not divide that of the fine ones.
    """
    counts = _counts(histogram)
    fine = counts.shape[1]
    if bins < 1 or fine % bins:
        raise ValueError(f"bins {bins}: a divisor of the histogram's {fine}")
    pixels = counts.sum(axis=0)
    confidence = pixels * (np.arange(fine) + 0.5) / fine
    gaps = (counts[1] - confidence).reshape(bins, -1).sum(axis=1)
    return float(np.abs(gaps).sum() / pixels.sum()) if pixels.sum() else float("nan")
