"""The confusion matrix of a whole set, and the metrics derived from it.

Counts are exact integers, so the result does not depend on how the set was split into batches, over
devices or over processes. Batches are counted in int32 on the device and summed in int64 on the
host: int32 ends at 2.1e9 pixels, fewer than Cityscapes has.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int32, Int64, Integer, Num

from jaxseg.types import Array, ArrayLike

# Columns of an image that one matrix product counts: limits the memory of one-hot maps.
_COLUMNS = 64
_OTHER_RULES = ("truth", "zero", "one")  # of `mean_iou`, besides its default


def confusion_matrix(
    labels: Integer[ArrayLike, "b h w"],
    predictions: Integer[ArrayLike, "b h w"],
    num_classes: int,
    *,
    form: str = "auto",
) -> Int32[Array, "{num_classes} {num_classes}"]:
    """Counts pixels by (true class, predicted class).

    Args:
      labels: train ids; a pixel whose label is not in 0..K-1 is not counted.
      predictions: train ids; one outside 0..K-1 is not counted either.
      num_classes: K.
      form: "bincount" (100 times faster on CPU; a scatter, slow on TPU, which gathers sharded label
        maps), "matmul" (product of one-hot maps, which stays sharded), or "auto": bincount for a
        single CPU device, else matmul. Both are exact.

    Returns:
      The matrix, with the truth in rows and the prediction in columns.

    Raises:
      ValueError: the shapes differ or are not [B, H, W]; `form` is unknown.

    Examples:
      >>> labels = np.array([[[0, 0, 1, 255]]])
      >>> print(confusion_matrix(labels, np.array([[[0, 1, 1, 1]]]), num_classes=2))
      [[1 1]
       [0 1]]
    """
    if np.shape(labels) != np.shape(predictions) or np.ndim(labels) != 3:
        raise ValueError(
            f"labels {np.shape(labels)} and predictions {np.shape(predictions)} "
            "must both be [B, H, W]"
        )
    if form == "auto":
        alone = jax.default_backend() == "cpu" and jax.device_count() == 1
        form = "bincount" if alone else "matmul"
    labels = jnp.asarray(labels).astype(jnp.int32)
    predictions = jnp.asarray(predictions).astype(jnp.int32)
    counted = (labels >= 0) & (labels < num_classes)
    counted &= (predictions >= 0) & (predictions < num_classes)
    if form == "bincount":
        spare = num_classes * num_classes  # the bin of pixels that are not counted
        cell = jnp.where(counted, labels * num_classes + predictions, spare)
        counts = jnp.bincount(cell.ravel(), length=spare + 1)[:spare]
        return counts.reshape(num_classes, num_classes).astype(jnp.int32)
    if form == "matmul":
        return _count_by_matmul(jnp.where(counted, labels, -1), predictions, num_classes)
    raise ValueError(f"form {form!r}: must be auto, bincount or matmul")


def _count_by_matmul(labels: Array, predictions: Array, num_classes: int) -> Array:
    """Sums onehot^T onehot over bands of columns, the one axis that is never sharded.

    bfloat16 represents 0 and 1 exactly, and the products are accumulated in float32, which is exact
    up to 2^24 pixels: the band of an image must have less than 2^24 / 64 = 262,144 rows.
    """
    b, h, w = labels.shape
    bands = -(-w // _COLUMNS)
    gap = ((0, 0), (0, 0), (0, bands * _COLUMNS - w))
    labels = jnp.pad(labels, gap, constant_values=-1).reshape(b, h, bands, _COLUMNS)
    predictions = jnp.pad(predictions, gap).reshape(b, h, bands, _COLUMNS)

    def add_band(total: Array, band: Array) -> tuple[Array, None]:
        truth = jax.nn.one_hot(labels[:, :, band], num_classes, dtype=jnp.bfloat16)
        guess = jax.nn.one_hot(predictions[:, :, band], num_classes, dtype=jnp.bfloat16)
        counts = jnp.einsum("bhwi,bhwj->bij", truth, guess, preferred_element_type=jnp.float32)
        return total + counts.astype(jnp.int32).sum(axis=0, dtype=jnp.int32), None

    zero = jnp.zeros((num_classes, num_classes), jnp.int32)
    return jax.lax.scan(add_band, zero, jnp.arange(bands))[0]


def class_counts(
    confusion: Num[ArrayLike, "*n k k"],
) -> tuple[Int64[np.ndarray, "*n k"], Int64[np.ndarray, "*n k"], Int64[np.ndarray, "*n k"]]:
    """Returns (hits, truth, predicted) of each class of confusion matrices.

    They can be added over images and batches, like the matrices.

    Raises:
      ValueError: the matrices are not square.

    Examples:
      >>> hits, truth, predicted = class_counts(np.array([[6, 2], [1, 3]]))
      >>> print(hits, truth, predicted)
      [6 3] [8 4] [7 5]
    """
    counts = np.asarray(confusion).astype(np.int64)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"a confusion matrix is [..., K, K], not {list(counts.shape)}")
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)


def class_iou(
    hits: Num[ArrayLike, "*n k"],
    truth: Num[ArrayLike, "*n k"],
    predicted: Num[ArrayLike, "*n k"],
) -> Float64[np.ndarray, "*n k"]:
    """hits / (truth + predicted - hits) of each class; nan for 0 / 0.

    Examples:
      >>> print(class_iou(*class_counts(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))).round(3))
      [0.667 0.5     nan]
    """
    hits, truth, predicted = (_wide(part) for part in (hits, truth, predicted))
    return _ratio(hits, truth + predicted - hits)


def mean_iou(
    hits: Num[ArrayLike, "*n k"],
    truth: Num[ArrayLike, "*n k"],
    predicted: Num[ArrayLike, "*n k"],
    *,
    absent: str = "skip",
) -> Float64[np.ndarray, "*n"] | np.float64:
    """Mean over the classes of hits / (truth + predicted - hits), with a rule for absent classes.

    Args:
      hits: correctly predicted pixels of each class.
      truth: pixels of each class.
      predicted: pixels predicted as each class.
      absent: the value of a class without a pixel in truth and prediction, whose IoU is 0 / 0:
        "skip" (left out, as in FCN's score.py and the evaluation of VOC and Cityscapes), "zero" (a
        mean over all K, scikit-learn's zero_division=0) or "one" (zero_division=1). "truth" leaves
        out every class that the truth lacks, including predicted ones, which the other rules count
        as 0.

    Returns:
      The mean, or nan if no class remains.

    Raises:
      ValueError: `absent` is unknown.

    Examples:
      >>> counts = class_counts(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
      >>> print(mean_iou(*counts).round(3), mean_iou(*counts, absent="zero").round(3))
      0.583 0.389
    """
    iou = class_iou(hits, truth, predicted)
    if absent in ("skip", "truth"):
        counted = (np.asarray(truth) > 0) if absent == "truth" else ~np.isnan(iou)
        return _ratio(np.where(counted, iou, 0).sum(axis=-1), counted.sum(axis=-1))
    if absent in ("zero", "one"):
        return np.nan_to_num(iou, nan=float(absent == "one")).mean(axis=-1)
    raise ValueError(f"absent {absent!r}: must be skip, truth, zero or one")


def image_numbers(confusion: ArrayLike) -> tuple[float, float]:
    """Returns (mIoU, pixel accuracy) of an image from its confusion matrix; nan if all is void.

    The mean is over the classes of the image's truth: most classes of a set are not in it, and a
    class that is only predicted would count as much as those in the truth.

    Examples:
      >>> image_numbers(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
      (0.775, 0.875)
    """
    hits, truth, predicted = class_counts(confusion)
    iou = class_iou(hits, truth, predicted)[truth > 0]
    return _mean(iou), float(_ratio(hits.sum(), truth.sum()))


@dataclasses.dataclass(frozen=True)
class Summary:
    """The metrics of one confusion matrix; nan where they are 0 / 0.

    With n[i, j] pixels of class i predicted as j, t[i] = sum_j n[i, j], p[j] = sum_i n[i, j] and N
    pixels (Long et al., FCN, 2015, section 5), pixel accuracy is sum_i n[i, i] / N, mean accuracy
    the mean of n[i, i] / t[i], and IoU n[i, i] / (t[i] + p[i] - n[i, i]), of which there are a mean
    and a mean weighted by t. Dice, the F1 of pixels, is 2 n[i, i] / (t[i] + p[i]). Kappa is
    (a - e) / (1 - e) with the pixel accuracy a and e = sum_i t[i] p[i] / N^2, the accuracy expected
    by chance (Cohen, 1960).

    Means leave out classes whose value is nan. So a class without a pixel in truth and prediction
    does not count in mIoU, and a class that is predicted but not in the truth counts as 0, as in
    the evaluation of VOC, Cityscapes and TensorFlow. Means by the other rules for such classes are
    given too: see `mean_iou`.
    """

    pixel_accuracy: float
    mean_accuracy: float
    miou: float
    miou_truth: float  # over the classes of the truth alone
    miou_zero: float  # over all K, 0 / 0 counted as 0
    miou_one: float  # over all K, 0 / 0 counted as 1
    fwiou: float
    mean_dice: float
    kappa: float
    iou: Float64[np.ndarray, " k"]
    dice: Float64[np.ndarray, " k"]
    precision: Float64[np.ndarray, " k"]
    recall: Float64[np.ndarray, " k"]  # the accuracy of each class
    absent: tuple[int, ...]  # classes without a pixel in the truth


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _wide(counts: ArrayLike) -> np.ndarray:
    """Converts integers to int64, so that sums of int32 counts do not overflow; keeps floats."""
    array = np.asarray(counts)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.int64)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def summarize(confusion: Num[ArrayLike, "k k"]) -> Summary:
    """Computes all metrics of a confusion matrix (truth in rows, prediction in columns).

    Raises:
      ValueError: `confusion` is not a single square matrix.

    Examples:
      >>> found = summarize(np.array([[6, 2], [1, 3]]))
      >>> print(f"{found.miou:.3f} {found.pixel_accuracy:.3f} {found.mean_dice:.3f}")
      0.583 0.750 0.733
    """
    if np.ndim(confusion) != 2:
        raise ValueError(f"one confusion matrix is [K, K], not {list(np.shape(confusion))}")
    hits, truth, predicted = class_counts(confusion)
    iou = class_iou(hits, truth, predicted)
    dice = _ratio(2 * hits, truth + predicted)
    recall = _ratio(hits, truth)
    present = truth > 0
    share = _ratio(truth, np.full(truth.shape, truth.sum()))
    accuracy = float(_ratio(hits.sum(), truth.sum()))
    chance = np.sum(share * _ratio(predicted, np.full(truth.shape, truth.sum())))
    means = {rule: float(mean_iou(hits, truth, predicted, absent=rule)) for rule in _OTHER_RULES}
    return Summary(
        pixel_accuracy=accuracy,
        mean_accuracy=_mean(recall),
        miou=_mean(iou),
        miou_truth=means["truth"],
        miou_zero=means["zero"],
        miou_one=means["one"],
        fwiou=float(np.sum(share[present] * iou[present])) if present.any() else float("nan"),
        mean_dice=_mean(dice),
        kappa=float(_ratio(accuracy - chance, 1 - chance)),
        iou=iou,
        dice=dice,
        precision=_ratio(hits, predicted),
        recall=recall,
        absent=tuple(int(c) for c in np.flatnonzero(~present)),
    )
