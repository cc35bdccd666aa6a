"""The weighted sum of terms."""

import functools

import jax
import numpy as np
import pytest

from jaxseg import config, losses
from jaxseg.types import IGNORE
from tests.helpers.programs import tiny

K = 4
TERMS = ("cross_entropy", "focal", "dice", "lovasz", "coarse", "aux_weight", "presence")
NAMES = {"aux_weight": "aux"}


def segmentation(outputs, labels, loss, extra=None, whole=None):
    """Compiles the loss as one program, which is faster than single operations."""
    run = jax.jit(functools.partial(losses.segmentation, loss=loss), compiler_options=tiny.QUICK)
    return run(outputs, labels, extra_weights=extra, whole=whole)


def gradient_of(outputs, labels, loss, extra=None):
    """Returns the gradient of the loss with respect to each output."""
    value = lambda o: losses.segmentation(o, labels, loss, extra)["loss"]
    return jax.jit(jax.grad(value), compiler_options=tiny.QUICK)(outputs)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, (2, 5, 7)).astype(np.uint8)
    labels[0, :2] = IGNORE
    outputs = {
        "logits": rng.normal(size=(2, 5, 7, K)).astype(np.float32),
        "aux_logits": rng.normal(size=(2, 5, 7, K)).astype(np.float32),
        "presence_logits": rng.normal(size=(2, K)).astype(np.float32),
        "coarse_logits": rng.normal(size=(2, 3, 4, K)).astype(np.float32),
        "coarse_logits_scale50": rng.normal(size=(2, 2, 2, K)).astype(np.float32),
    }
    return outputs, labels


def test_the_loss_is_the_weighted_sum_of_its_terms(batch):
    weights = dict(zip(TERMS, (1.0, 0.5, 2.0, 0.25, 1.5, 0.4, 0.2), strict=True))
    found = segmentation(*batch, config.Loss(**weights))
    assert set(found) == {"loss", *(NAMES.get(t, t) for t in TERMS)}
    expected = sum(weight * found[NAMES.get(t, t)] for t, weight in weights.items())
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-6)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_weight_0_is_left_out(batch, term):
    only = dict.fromkeys(TERMS, 0.0) | {term: 3.0}
    found = segmentation(*batch, config.Loss(**only))
    name = NAMES.get(term, term)
    assert set(found) == {"loss", name}
    np.testing.assert_allclose(found["loss"], 3 * found[name], rtol=1e-6)
    used = {n for n, g in gradient_of(*batch, config.Loss(**only)).items() if np.any(g)}
    output = {
        "aux_weight": {"aux_logits"},
        "presence": {"presence_logits"},
        "coarse": {"coarse_logits", "coarse_logits_scale50"},
    }
    assert used == output.get(term, {"logits"})


def test_without_other_heads_there_is_only_cross_entropy(batch):
    outputs, labels = batch
    found = segmentation({"logits": outputs["logits"]}, labels, config.Loss())
    assert set(found) == {"loss", "cross_entropy"}
    each = losses.cross_entropy(outputs["logits"], labels, labels != IGNORE)
    np.testing.assert_array_equal(found["loss"], losses.masked_mean(each, labels != IGNORE))


def test_extra_weights_add_to_those_of_the_classes(batch):
    outputs, labels = {"logits": batch[0]["logits"]}, batch[1]
    extra = np.random.default_rng(1).uniform(size=labels.shape).astype(np.float32)
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    found = segmentation(outputs, labels, config.Loss(class_weights=tuple(weights)), extra)
    valid = labels != IGNORE
    plain = np.asarray(losses.cross_entropy(outputs["logits"], labels, valid))[valid]
    of_pixel = weights[labels[valid]] + extra[valid]
    np.testing.assert_allclose(found["loss"], np.mean(of_pixel * plain), rtol=1e-6)
    options = config.Loss(class_weights=tuple(weights))
    gradient = gradient_of(outputs, labels, options, extra)
    p = jax.nn.softmax(outputs["logits"][valid])
    slope = of_pixel[:, None] * (p - np.eye(K)[labels[valid]]) / valid.sum()
    np.testing.assert_allclose(gradient["logits"][valid], slope, atol=1e-6)
    assert not np.any(gradient["logits"][~valid])
    void = segmentation(outputs, np.full_like(labels, IGNORE), options, extra)
    assert void["loss"] == 0


@pytest.mark.parametrize(
    ("options", "term"),
    [
        ({"hardest": 0.25}, "cross_entropy"),
        ({"label_smoothing": 0.1}, "cross_entropy"),
        ({"class_weights": (1.0, 2.0, 3.0, 4.0)}, "cross_entropy"),
        ({"class_weights": (1.0, 2.0, 3.0, 4.0)}, "focal"),
        ({"focal_gamma": 1.0}, "focal"),
        ({"dice_squared": True}, "dice"),
        ({"dice_per_class": False}, "dice"),
        ({"per_image": True}, "dice"),
        ({"per_image": True}, "lovasz"),
    ],
)
def test_every_option_changes_its_term(batch, options, term):
    alone = dict.fromkeys(TERMS, 0.0) | {term: 1.0}
    plain = segmentation(*batch, config.Loss(**alone))
    changed = segmentation(*batch, config.Loss(**alone, **options))
    assert abs(plain[term] - changed[term]) > 1e-4


def per_pixel(logits, labels):
    """Returns -log p of the valid pixels in float64."""
    x = logits.astype(np.float64)[labels != IGNORE]
    p = np.exp(x - x.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return -np.log(p[np.arange(len(p)), labels[labels != IGNORE]])


def test_coarse_logits_use_labels_subsampled_to_their_map(batch):
    """For maps of 3 x 4 and 2 x 2 and labels of 5 x 7, every 2nd and every 4th label."""
    outputs, labels = batch
    options = config.Loss(cross_entropy=0, aux_weight=0, presence=0, coarse=1.0)
    found = segmentation(outputs, labels, options)
    maps = {"coarse_logits": labels[:, ::2, ::2], "coarse_logits_scale50": labels[:, ::4, ::4]}
    expected = sum(np.mean(per_pixel(outputs[name], y)) for name, y in maps.items())
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-6)

    clean = gradient_of(outputs, labels, options)
    poisoned = dict(outputs)
    for name, y in maps.items():
        assert (y == IGNORE).any()
        poisoned[name] = np.where((y == IGNORE)[..., None], np.float32(np.nan), outputs[name])
    assert segmentation(poisoned, labels, options)["loss"] == found["loss"]
    for name, gradient in gradient_of(poisoned, labels, options).items():
        np.testing.assert_array_equal(gradient, clean[name])
    assert segmentation(outputs, np.full_like(labels, IGNORE), options)["loss"] == 0


def test_labels_are_subsampled_by_integer_strides_or_aligned_corners_without_mixing():
    rng = np.random.default_rng(3)
    labels = rng.choice([0, 1, 7, IGNORE], (2, 321, 513)).astype(np.uint8)
    np.testing.assert_array_equal(losses.subsampled(labels, (41, 65)), labels[:, ::8, ::8])
    smaller = losses.subsampled(labels, (31, 49))  # the map of scale 0.75
    rows = [int(np.floor(i * 320 / 30 + 0.5)) for i in range(31)]
    columns = [int(np.floor(i * 512 / 48 + 0.5)) for i in range(49)]
    np.testing.assert_array_equal(smaller, labels[:, rows][:, :, columns])
    assert smaller.dtype == labels.dtype
    np.testing.assert_array_equal(losses.subsampled(labels, (321, 513)), labels)
    # Corners are not aligned: 64 pixels of stride 8 for 512 labels, or 46 of Caffe's pools for 360.
    even = losses.subsampled(labels[:, :, :512], (41, 64))
    np.testing.assert_array_equal(even, labels[:, ::8, :512:8])
    pooled = losses.subsampled(labels[:, :, :360], (21, 46))
    np.testing.assert_array_equal(pooled, labels[:, ::16, [*range(0, 360, 8), 359]])


def test_sums_over_pixels_by_images_are_divided_by_their_number(batch):
    """Void images count, since Caffe divides by the size of the batch."""
    outputs, labels = batch
    labels[1] = IGNORE
    weights = dict.fromkeys(("cross_entropy", "focal", "dice", "coarse", "aux_weight"), 1.0)
    found = segmentation(outputs, labels, config.Loss(**weights, reduction="images"))
    means = segmentation(outputs, labels, config.Loss(**weights))
    expected = per_pixel(outputs["logits"], labels).sum() / 2
    np.testing.assert_allclose(found["cross_entropy"], expected, rtol=1e-6)
    for name in ("cross_entropy", "focal", "aux"):
        pixels = (labels != IGNORE).sum()
        np.testing.assert_allclose(found[name], means[name] * pixels / 2, rtol=1e-6)
    assert found["dice"] == means["dice"]  # not a sum over pixels
    void = segmentation(outputs, np.full_like(labels, IGNORE), config.Loss(reduction="images"))
    assert void["loss"] == 0


@pytest.mark.parametrize("reduction", ["pixels", "images"])
def test_parts_sum_to_the_whole(batch, reduction):
    """Terms that are sums over pixels do so exactly, for any distribution of void pixels."""
    outputs, labels = batch
    labels[1, :, 2:] = IGNORE
    weights = dict.fromkeys(("focal", "coarse", "cross_entropy"), 1.0) | {"presence": 0.0}
    options = config.Loss(**weights, class_weights=(0.5, 1, 2, 4), reduction=reduction)
    extra = np.random.default_rng(1).uniform(size=labels.shape).astype(np.float32)
    whole = segmentation(outputs, labels, options, extra)
    parts = [
        segmentation(
            {name: x[i : i + 1] for name, x in outputs.items()},
            labels[i : i + 1],
            options,
            extra[i : i + 1],
            whole=labels,
        )
        for i in range(2)
    ]
    for name, expected in whole.items():
        np.testing.assert_allclose(sum(part[name] for part in parts), expected, rtol=1e-6)
