"""K. Situations from bug reports of other segmentation libraries: losses and metrics.

They do not occur in A to J. `others_training` covers evaluation and training, `others_data` files
and masks.
"""

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.robustness.field_reports.situation import Seen, Situation, check, right
from jaxseg import config, losses, metrics
from jaxseg.evaluation import boundary_suite
from jaxseg.layers.norm import NormLayer
from jaxseg.reporting import boundary
from jaxseg.types import IGNORE

_RNG_SHAPE = (2, 6, 7, 4)  # logits [B, H, W, K]


def _made(void: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, _RNG_SHAPE[-1], _RNG_SHAPE[:3])
    labels[rng.random(labels.shape) < void] = IGNORE
    return rng.normal(size=_RNG_SHAPE).astype(np.float32), labels.astype(np.uint8)


def _loss(logits: np.ndarray, labels: np.ndarray, **fields: float) -> float:
    settings = config.Loss(cross_entropy=0.0)
    for name, value in fields.items():
        setattr(settings, name, value)
    outputs = {"logits": jnp.asarray(logits)}
    return float(losses.segmentation(outputs, jnp.asarray(labels), settings)["loss"])


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _set_not_batches(_: pathlib.Path) -> Seen:
    """Two batches of unequal content: the mIoU of the data set is that of the summed matrices."""
    labels = np.array([[[0, 0, 0, 1]], [[1, 1, 1, 1]]])
    guess = np.array([[[0, 0, 1, 1]], [[1, 1, 1, 0]]])
    parts = [metrics.confusion_matrix(labels[i : i + 1], guess[i : i + 1], 2) for i in (0, 1)]
    found = metrics.summarize(np.asarray(parts[0]) + np.asarray(parts[1])).miou
    expected = (2 / 4 + 4 / 6) / 2
    return right(abs(found - expected) < 1e-12, f"mIoU {found:.4f} of the set, by hand the same")


def _many_classes(_: pathlib.Path) -> Seen:
    """The index 40 * class + class does not fit in the uint8 of the masks."""
    labels = np.arange(40, dtype=np.uint8)[None, None]
    counts = np.asarray(metrics.confusion_matrix(labels, labels, 40))
    return right((counts == np.eye(40, dtype=int)).all(), "uint8 masks of 40 classes: the identity")


def _void_in_the_mean(_: pathlib.Path) -> Seen:
    logits, labels = _made()
    valid = labels != IGNORE
    each = -np.take_along_axis(_log_softmax(logits), np.where(valid, labels, 0)[..., None], -1)
    expected = each[..., 0][valid].mean()
    found = _loss(logits, labels, cross_entropy=1.0)
    return right(abs(found - expected) < 1e-5, f"{found:.5f}, the mean over valid pixels")


def _all_void(_: pathlib.Path) -> Seen:
    """Every term and its gradient."""
    logits, labels = _made(void=1.1)
    settings = config.Loss(cross_entropy=1.0, dice=1.0, lovasz=1.0, focal=1.0, hardest=0.5)

    def loss(x: jax.Array) -> jax.Array:
        return losses.segmentation({"logits": x}, jnp.asarray(labels), settings)["loss"]

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(logits))
    fine = float(value) == 0 and not np.any(np.asarray(gradient))
    return right(fine, "a batch without a valid pixel: loss 0, gradient 0, for five terms together")


def _dice_of_void(_: pathlib.Path) -> Seen:
    """The logits of void pixels have no influence, not even on the denominator."""
    logits, labels = _made()
    wild = np.where((labels == IGNORE)[..., None], 50 * logits, logits)
    found = [_loss(x, labels, dice=1.0) for x in (logits, wild)]
    return right(found[0] == found[1], f"{found[0]:.5f} whatever void pixels score")


def _smoothed_void(_: pathlib.Path) -> Seen:
    logits, labels = _made()
    valid, logs = labels != IGNORE, _log_softmax(logits)
    own = np.take_along_axis(logs, np.where(valid, labels, 0)[..., None], -1)[..., 0]
    expected = -(0.8 * own + 0.2 * logs.mean(-1))[valid].mean()
    found = _loss(logits, labels, cross_entropy=1.0, label_smoothing=0.2)
    return right(abs(found - expected) < 1e-5, f"{found:.5f}, void left out of both parts")


def _half_precision_dice(_: pathlib.Path) -> Seen:
    """262,144 pixels of probability 1, a sum that exceeds the range of float16."""
    logits = np.zeros((1, 512, 512, 2), np.float16)
    logits[..., 1] = 20
    found = _loss(logits, np.ones((1, 512, 512), np.uint8), dice=1.0)
    return right(abs(found) < 1e-5, f"Dice of 512 x 512 float16 logits, all right: {found:.1e}")


def _focal_weights(_: pathlib.Path) -> Seen:
    """Each class has its own weight, not one factor for all."""
    logits, labels = _made(void=0)
    weights = (1.0, 2.0, 0.5, 4.0)
    probability = np.exp(np.take_along_axis(_log_softmax(logits), labels[..., None], -1))[..., 0]
    each = -((1 - probability) ** 2) * np.log(probability)
    expected = (np.asarray(weights)[labels] * each).mean()
    settings = config.Loss(cross_entropy=0.0, focal=1.0, class_weights=weights)
    terms = losses.segmentation({"logits": jnp.asarray(logits)}, jnp.asarray(labels), settings)
    found = float(terms["loss"])
    return right(abs(found - expected) < 1e-5, f"{found:.5f}, by hand the same")


def _one_value_norm(_: pathlib.Path) -> Seen:
    """The image pooling branch of ASPP with a batch of one: no error, and not 0 for every input."""
    x = jnp.arange(1.0, 5)[None, None, None]  # [1, 1, 1, 4]
    norm = NormLayer()
    variables = norm.init(jax.random.key(0), x, train=False)
    y, updated = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    same = jax.tree.map(jnp.array_equal, updated["batch_stats"], variables["batch_stats"])
    check(all(jax.tree.leaves(same)), "running statistics were moved by a single value")
    return right(np.ptp(np.asarray(y)) > 1, "one image, 1 x 1 map: running statistics are used")


def _label_out_of_range(_: pathlib.Path) -> Seen:
    """The label 4 with 4 classes neither counts as another class nor is ignored."""
    logits, labels = _made(void=0)
    labels[0, 0, 0] = 4
    found = [_loss(logits, labels, **{term: 1.0}) for term in ("cross_entropy", "dice", "focal")]
    return right(np.isnan(found).all(), "NaN in each term, at which training stops with its step")


def _absent_class(_: pathlib.Path) -> Seen:
    summary = metrics.summarize(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    expected = (3 / 4 + 4 / 5) / 2
    fine = abs(summary.miou - expected) < 1e-12 and list(summary.absent) == [2]
    return right(fine, f"mIoU {summary.miou:.3f} over the two that occur; class 2 is named absent")


def _missed_distance(_: pathlib.Path) -> Seen:
    """A class missed in one of two images is not silently dropped from the mean distance."""
    truth = np.zeros((2, 12, 12), np.uint8)
    truth[:, 3:7, 3:7] = 1
    guess = truth.copy()
    guess[1] = 0
    suite = boundary_suite.Suite(2, distances=True)
    suite.add(*map(jnp.asarray, (truth, guess, np.arange(2), np.full((2, 2), 12))))
    found = suite.to_json(("ground", "cell"))["hausdorff_95"]
    shown = boundary.distance(found["classes"]["cell"], found["one_sided"]["cell"])
    return right("1 infinite" in shown, f"the report shows {shown!r}")


_TEST = (
    "tests/experiments/test_field_reports_others.py"
    "::test_each_ends_in_a_right_value_or_a_clear_line"
)
_MADE: tuple[tuple[str, str, Callable[[pathlib.Path], Seen]], ...] = (
    ("mIoU averaged over batches", "Lightning-AI/torchmetrics#2558", _set_not_batches),
    ("40 classes in uint8 masks", "open-mmlab/mmsegmentation#3583", _many_classes),
    (
        "void pixels in the mean of the cross-entropy",
        "open-mmlab/mmsegmentation#886",
        _void_in_the_mean,
    ),
    ("a batch without any valid pixel", "ultralytics/ultralytics#25096", _all_void),
    ("void pixels in Dice's denominator", "open-mmlab/mmsegmentation#1088", _dice_of_void),
    ("label smoothing of void pixels", "pytorch/pytorch#73205", _smoothed_void),
    (
        "Dice of a large map in float16",
        "qubvel-org/segmentation_models.pytorch#463",
        _half_precision_dice,
    ),
    ("focal loss with class weights", "kornia/kornia#875", _focal_weights),
    (
        "batch norm of one value, in ASPP's pooled branch",
        "jfzhang95/pytorch-deeplab-xception#41",
        _one_value_norm,
    ),
    ("a label that names no class", "google-deepmind/optax#1185", _label_out_of_range),
    ("a class that no image has", "MIC-DKFZ/nnUNet#1700", _absent_class),
    ("Hausdorff distance of a class that is missed", "Project-MONAI/MONAI#9095", _missed_distance),
)
_BEFORE = {
    "Hausdorff distance of a class that is missed": "wrong, silently: dropped from the mean; the "
    "report did not say how many",
}
SITUATIONS = tuple(
    Situation("K", name, _BEFORE.get(name, "right"), f"{_TEST}[{name}]", run, source)
    for name, source, run in _MADE
)
