"""Metrics of probabilities: area under the ROC curve and calibration error, ignoring void.

Each is computed from a histogram of fixed size, whose integer counts can be added over batches,
devices and processes. The area needs the order of the scores, nearly all of which are close to 0 or
1 for confident networks, so its bins are narrow there (`score_histogram`). The calibration error
needs sums of scores, so its bins have equal width (`confidence_histogram`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, Integer, Num, Shaped

from jaxseg.types import Array, ArrayLike

_EVEN = 61440  # bins of equal width: 15 times 4096
# Nonnegative float32 numbers are ordered like their bits, read as integers. The bin of a score in
# 0..0.5 is these bits without the last few: 13 bits of the fraction remain from 2^-48 up, 10 below.
_FINE_SHIFT, _COARSE_SHIFT = 10, 13
_TURN = int(np.float32(2.0**-48).view(np.int32))
_COARSE = _TURN >> _COARSE_SHIFT
_LAST = int(np.float32(0.5).view(np.int32))
_HALF = _COARSE + ((_LAST - _TURN) >> _FINE_SHIFT) + 1
_ORDERED = 2 * _HALF  # 810,498 bins in 0..1


def _place(tail: Array) -> Array:
    """Returns the bin in 0 .. _HALF - 1 of a float32 clipped to 0..0.5, in ascending order.

    The bits are clipped, since arithmetic would flush numbers below 2^-126 to 0.
    """
    bits = jnp.clip(jax.lax.bitcast_convert_type(tail, jnp.int32), 0, _LAST)
    fine = _COARSE + ((bits - _TURN) >> _FINE_SHIFT)
    return jnp.where(bits < _TURN, bits >> _COARSE_SHIFT, fine)


def _counted(place: Array, outcomes: ArrayLike, bins: int) -> Array:
    """Counts bins by outcome, int32 [2, bins], from places and outcomes [B, H, W]."""
    outcomes = jnp.asarray(outcomes).astype(jnp.int32)
    counted = (outcomes == 0) | (outcomes == 1)
    cell = jnp.where(counted, outcomes * bins + place, 2 * bins)
    return jnp.bincount(cell.ravel(), length=2 * bins + 1)[:-1].reshape(2, bins).astype(jnp.int32)


def score_histogram(
    scores: Float[ArrayLike, "b h w"],
    outcomes: Shaped[ArrayLike, "b h w"],
    complements: Float[ArrayLike, "b h w"] | None = None,
) -> Int32[Array, "2 bins"]:
    """Counts pixels by score, separately for both outcomes, in bins that are narrow near 0 and 1.

    Scores in one bin differ by at most 1/1024 of their distance to the nearer of 0 and 1, or 1/8192
    if that is above 2^-48, and so by less than 2^-14. From 1 - 2^-11 up, each float32 has its own
    bin. Scores below 1.2e-41, where XLA's softmax gives 0, share one bin.

    Args:
      scores: in 0..1.
      outcomes: 1 or 0; other values where the pixel is void.
      complements: 1 - scores, if it is known more accurately than from float32 scores, such as the
        probability of the other of two classes: it orders scores that float32 rounds to 1.

    Returns:
      Counts of outcome 0 and of outcome 1.

    Raises:
      ValueError: the shapes differ or are not [B, H, W].

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
        raise ValueError(f"complements {q.shape} and scores {p.shape} must have one shape")
    low = p <= 0.5
    tail = _place(jnp.where(low, p, q))
    return _counted(jnp.where(low, tail, _ORDERED - 1 - tail), outcomes, _ORDERED)


def confidence_histogram(
    probabilities: Float[ArrayLike, "b h w k"],
    labels: Integer[ArrayLike, "b h w"],
    *,
    bins: int = _EVEN,
) -> Int32[Array, "2 {bins}"]:
    """Counts pixels by their largest probability, separately for wrong and right predictions.

    Args:
      probabilities: of each class.
      labels: train ids; a pixel whose label is not in 0..K-1 is not counted.
      bins: number of bins of equal width; bin i has i / bins < probability <= (i + 1) / bins, and
        the first one also 0.

    Returns:
      Counts of wrong and of right pixels.

    Raises:
      ValueError: the shapes do not match, or `bins` is less than 1.

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
        raise ValueError(f"bins {bins}: must be at least 1")
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
    """Area under the ROC curve: the probability that outcome 1 scores above outcome 0.

    Equal scores, here those in one bin, count one half (Mann and Whitney; Fawcett, 2006). This is
    the metric of DRIVE for vessels, restricted to the field of view.

    Args:
      histogram: summed `score_histogram`, or any other with bins in ascending order.

    Returns:
      The area, or nan if an outcome has no pixel.

    Raises:
      ValueError: `histogram` is not [2, bins].

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
    """Returns the score at the centre of each bin, float64 [bins]."""
    if bins != _ORDERED:
        return (np.arange(bins) + 0.5) / bins
    coarse = np.arange(_COARSE, dtype=np.int32) << _COARSE_SHIFT
    fine = (np.arange(_HALF - _COARSE, dtype=np.int32) << _FINE_SHIFT) + _TURN
    edges = np.concatenate([coarse, fine]).view(np.float32).astype(np.float64)
    tails = np.minimum((edges + np.append(edges[1:], 0.5)) / 2, 0.5)
    return np.concatenate([tails, 1 - tails[::-1]])


def calibration_error(histogram: Num[ArrayLike, "2 fine"], *, bins: int = 15) -> float:
    """Expected calibration error: the sum over bins of n / N |accuracy - mean confidence|.

    See Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599), equation 3. Each
    score is rounded to the centre of its fine bin, so the result is accurate to half a fine bin:
    8.2e-6 by default.

    Args:
      histogram: summed `confidence_histogram` or `score_histogram`.
      bins: number of bins of equal width; 15 in the paper.

    Returns:
      The error in 0..1, or nan if no pixel is counted.

    Raises:
      ValueError: `histogram` is not [2, fine], or `bins` does not divide the number of fine bins.

    Examples:
      >>> probabilities = np.array([[[[0.9, 0.1], [0.1, 0.9]]]])
      >>> histogram = confidence_histogram(probabilities, np.array([[[0, 0]]]))
      >>> round(calibration_error(histogram), 3)
      0.4
    """
    counts = _counts(histogram)
    fine = counts.shape[1]
    if bins < 1 or (fine % bins and fine != _ORDERED):
        raise ValueError(f"bins {bins}: must be a divisor of the histogram's {fine} bins")
    pixels, middles = counts.sum(axis=0), _middles(fine)
    place = np.minimum((middles * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=counts[1] - pixels * middles, minlength=bins)
    return float(np.abs(gaps).sum() / pixels.sum()) if pixels.sum() else float("nan")
