"""Metrics of probabilities: area under the ROC curve, calibration error; streaming, void left out.

Each comes from a histogram of fixed size, whose integers add up over batches, devices and
processes. The area needs the order of the scores, and confident networks put nearly all of them
next to 0 and 1: its bins are as narrow as the scores there are dense (`score_histogram`). The
calibration error needs their sum: its bins are of equal width (`confidence_histogram`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, Integer, Num, Shaped

from jaxseg.types import Array, ArrayLike

_EVEN = 61440  # bins of equal width: 15 times 4096
# A float32 of at least 0 grows with its bits, read as an integer. Bins of a score in 0..0.5 are
# these bits without the last few: 13 bits of the fraction from 2^-48 up, 10 below.
_FINE_SHIFT, _COARSE_SHIFT = 10, 13
_TURN = int(np.float32(2.0**-48).view(np.int32))
_COARSE = _TURN >> _COARSE_SHIFT
_LAST = int(np.float32(0.5).view(np.int32))
_HALF = _COARSE + ((_LAST - _TURN) >> _FINE_SHIFT) + 1
_ORDERED = 2 * _HALF  # 810,498 bins of 0..1


def _place(tail: Array) -> Array:
    """The bin in 0 .. _HALF - 1 of a float32 that is clipped to 0..0.5; growing with it.

    Clipped are the bits: arithmetic would make 0 of what is below 2^-126.
    """
    bits = jnp.clip(jax.lax.bitcast_convert_type(tail, jnp.int32), 0, _LAST)
    fine = _COARSE + ((bits - _TURN) >> _FINE_SHIFT)
    return jnp.where(bits < _TURN, bits >> _COARSE_SHIFT, fine)


def _counted(place: Array, outcomes: ArrayLike, bins: int) -> Array:
    """int32 [2, bins] of places and outcomes [B, H, W]."""
    outcomes = jnp.asarray(outcomes).astype(jnp.int32)
    counted = (outcomes == 0) | (outcomes == 1)
    cell = jnp.where(counted, outcomes * bins + place, 2 * bins)
    return jnp.bincount(cell.ravel(), length=2 * bins + 1)[:-1].reshape(2, bins).astype(jnp.int32)


def score_histogram(
    scores: Float[ArrayLike, "b h w"],
    outcomes: Shaped[ArrayLike, "b h w"],
    complements: Float[ArrayLike, "b h w"] | None = None,
) -> Int32[Array, "2 bins"]:
    """Counts pixels by score, apart for both outcomes, in bins that are narrow beside 0 and 1.

    Scores of one bin differ by at most 1 part in 1024 of their distance to the nearer of 0 and 1,
    1 in 8192 where that is above 2^-48, and so by less than 2^-14. From 1 - 2^-11 up each float32
    has a bin of its own. Below 1.2e-41, where XLA's own softmax gives 0, all share one.

    Args:
      scores: in 0..1.
      outcomes: 1, 0, and anything else where the pixel is void.
      complements: 1 - scores, where it is known more exactly than from float32 scores,
        as the other of two probabilities: it orders scores that float32 rounds to 1.

    Returns:
      Counts of outcome 0 and of outcome 1.

    Raises:
      ValueError: shapes that differ or are not [B, H, W].

    Examples:
      >>> scores, outcomes = np.array([[[0.9, 0.8, 0.1]]]), np.array([[[1, 0, 0]]])
      >>> print(score_histogram(scores, outcomes).sum(axis=1))
      [2 1]
    """
    if np.shape(scores) != np.shape(outcomes) or np.ndim(scores) != 3:
        raise ValueError(
            f"scores {np.shape(scores)} and outcomes {np.shape(outcomes)} must both be [B, H, W]"
        )
    p = jnp.asarray(scores, jnp.float32)
    q = 1 - p if complements is None else jnp.asarray(complements, jnp.float32)
    if p.shape != q.shape:
        raise ValueError(f"complements {q.shape} of scores {p.shape}")
    low = p <= 0.5
    tail = _place(jnp.where(low, p, q))
    return _counted(jnp.where(low, tail, _ORDERED - 1 - tail), outcomes, _ORDERED)


def confidence_histogram(
    probabilities: Float[ArrayLike, "b h w k"],
    labels: Integer[ArrayLike, "b h w"],
    *,
    bins: int = _EVEN,
) -> Int32[Array, "2 {bins}"]:
    """Counts pixels by their greatest probability, apart for whether its class is right.

    Args:
      probabilities: of each class.
      labels: train ids; a pixel whose label is not in 0..K-1 is not counted.
      bins: of equal width; bin i holds i / bins < probability <= (i + 1) / bins, the first also 0.

    Returns:
      Counts of wrong and of right pixels.

    Raises:
      ValueError: shapes that do not fit; no bin.

    Examples:
      >>> probabilities = np.array([[[[0.9, 0.1], [0.4, 0.6]]]])
      >>> print(confidence_histogram(probabilities, np.array([[[0, 0]]]), bins=5))
      [[0 0 1 0 0]
       [0 0 0 0 1]]
    """
    if np.ndim(probabilities) != 4 or np.shape(probabilities)[:3] != np.shape(labels):
        raise ValueError(
            f"probabilities {np.shape(probabilities)} must be [B, H, W, K], and labels "
            f"{np.shape(labels)} [B, H, W]"
        )
    if bins < 1:
        raise ValueError(f"bins {bins}: one or more")
    probabilities, labels = jnp.asarray(probabilities), jnp.asarray(labels).astype(jnp.int32)
    valid = (labels >= 0) & (labels < probabilities.shape[-1])
    right = (probabilities.argmax(axis=-1) == labels).astype(jnp.int32)
    confidence = probabilities.max(axis=-1).astype(jnp.float32)
    place = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)
    return _counted(place, jnp.where(valid, right, -1), bins)


def _counts(histogram: ArrayLike) -> np.ndarray:
    counts = np.asarray(histogram).astype(np.int64)
    if counts.ndim != 2 or counts.shape[0] != 2:
        raise ValueError(f"a histogram is [2, bins], not {list(counts.shape)}")
    return counts


def roc_auc(histogram: Num[ArrayLike, "2 bins"]) -> float:
    """Area under the ROC curve: how often a pixel of outcome 1 scores above one of outcome 0.

    Equal scores, here those of one bin, count one half (Mann and Whitney; Fawcett, 2006). DRIVE's
    number for vessels, within the field of view alone. nan where an outcome has no pixel.

    Args:
      histogram: summed `score_histogram`, or any other whose bins are in order.

    Raises:
      ValueError: not a histogram [2, bins].

    Examples:
      >>> scores, outcomes = np.array([[[0.9, 0.8, 0.1, 0.2]]]), np.array([[[1, 0, 0, 1]]])
      >>> roc_auc(score_histogram(scores, outcomes))
      0.75
    """
    negative, positive = _counts(histogram).astype(np.float64)
    below = np.cumsum(negative) - negative
    pairs = negative.sum() * positive.sum()
    return float(np.sum(positive * (below + negative / 2)) / pairs) if pairs else float("nan")


def _middles(bins: int) -> np.ndarray:
    """The score in the middle of each bin, float64 [bins]."""
    if bins != _ORDERED:
        return (np.arange(bins) + 0.5) / bins
    coarse = np.arange(_COARSE, dtype=np.int32) << _COARSE_SHIFT
    fine = (np.arange(_HALF - _COARSE, dtype=np.int32) << _FINE_SHIFT) + _TURN
    edges = np.concatenate([coarse, fine]).view(np.float32).astype(np.float64)
    tails = np.minimum((edges + np.append(edges[1:], 0.5)) / 2, 0.5)
    return np.concatenate([tails, 1 - tails[::-1]])


def calibration_error(histogram: Num[ArrayLike, "2 fine"], *, bins: int = 15) -> float:
    """Expected calibration error: sum over bins of n / N |share that is right - mean confidence|.

    Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599), equation 3. A score
    stands for the middle of its fine bin, so the error of the result is at most half a fine bin:
    8.2e-6 by default.

    Args:
      histogram: summed `confidence_histogram` or `score_histogram`.
      bins: of equal width; the paper takes 15.

    Returns:
      In 0..1; nan where nothing is counted.

    Raises:
      ValueError: no histogram; a number of bins that does not divide that of the fine ones.

    Examples:
      >>> probabilities = np.array([[[[0.9, 0.1], [0.1, 0.9]]]])
      >>> histogram = confidence_histogram(probabilities, np.array([[[0, 0]]]))
      >>> round(calibration_error(histogram), 3)
      0.4
    """
    counts = _counts(histogram)
    fine = counts.shape[1]
    if bins < 1 or (fine % bins and fine != _ORDERED):
        raise ValueError(f"bins {bins}: a divisor of the histogram's {fine}")
    pixels, middles = counts.sum(axis=0), _middles(fine)
    place = np.minimum((middles * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=counts[1] - pixels * middles, minlength=bins)
    return float(np.abs(gaps).sum() / pixels.sum()) if pixels.sum() else float("nan")
