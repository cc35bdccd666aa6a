"""The protocols against NumPy code written from their definitions, and against symmetries."""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg.inference import infer, views, windows

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
PIXELS = config.Normalisation(MEAN, STD)


class Context(nn.Module):
    """A network with a 5 x 5 receptive field, asymmetric so that mirroring matters."""

    num_classes: int = 4

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Conv(5, (5, 5), kernel_init=nn.initializers.normal(0.5))(images)
        return {"logits": nn.Conv(self.num_classes, (1, 1))(nn.relu(x)) * 4}


class Pixelwise(nn.Module):
    num_classes: int = 3

    @nn.compact
    def __call__(self, images, *, train):
        return {"logits": nn.Dense(self.num_classes)(images)}


class Strided(nn.Module):
    output_stride: int = 4

    def __call__(self, images, *, train):
        return {"features": images[:, :: self.output_stride, :: self.output_stride]}


class OnBackbone(nn.Module):
    backbone: nn.Module = dataclasses.field(default_factory=Strided)

    def __call__(self, images, *, train):
        features = self.backbone(images, train=train)["features"]
        return {"logits": jnp.broadcast_to(jnp.float32(features.shape[1]), images.shape)}


def images_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def start(model, seed=0):
    return jax.jit(model.init, static_argnames="train")(
        jax.random.key(seed), jnp.zeros((1, 8, 8, 3)), train=False
    )


def forward(model, variables, images):
    return np.asarray(model.apply(variables, images, train=False)["logits"], np.float64)


def softmax(logits):
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def resized(x, size):
    """Interpolates with aligned corners by np.interp, along rows and then along columns."""
    for axis, n in zip((1, 2), size, strict=True):
        at = np.linspace(0, x.shape[axis] - 1, n) if n > 1 else np.zeros(1)
        x = np.apply_along_axis(lambda v, at=at: np.interp(at, np.arange(len(v)), v), axis, x)
    return x


def normalised(images):
    return (images.astype(np.float64) - MEAN) / STD


def test_scales_and_flips_average_probabilities_and_resize_logits():
    model, images = Context(), images_of(2, 13, 9)
    variables = start(model)
    views = []
    for scale in (0.5, 1.0, 1.75):
        for mirrored in (False, True):
            x = normalised(images)
            x = x[:, :, ::-1] if mirrored else x
            size = tuple(int((n - 1) * scale + 1) for n in (13, 9))
            logits = resized(forward(model, variables, resized(x, size)), (13, 9))
            views.append(softmax(logits)[:, :, ::-1] if mirrored else softmax(logits))
    protocol = config.Eval(scales=(0.5, 1.0, 1.75), flip=True)
    found = infer.make_probabilities(model, protocol, PIXELS)(variables, images)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.mean(views, axis=0), atol=2e-5)
    predict = infer.make_predictions(model, protocol, PIXELS, 4)
    labels, finite = predict(variables, images)
    np.testing.assert_array_equal(labels, np.mean(views, axis=0).argmax(-1))
    assert finite.all()


def test_averaging_over_flips_commutes_with_flipping():
    model, images = Context(), images_of(1, 11, 8)
    variables = start(model)
    plain = infer.make_probabilities(model, config.Eval(), PIXELS)
    both = infer.make_probabilities(model, config.Eval(flip=True), PIXELS)
    there = both(variables, images[:, :, ::-1])
    np.testing.assert_allclose(there, both(variables, images)[:, :, ::-1], atol=1e-6)
    apart = plain(variables, images[:, :, ::-1]) - plain(variables, images)[:, :, ::-1]
    assert np.abs(apart).max() > 0.01  # the network alone does not commute


@pytest.mark.parametrize(
    ("length", "crop", "share", "starts"),
    [
        (513, 513, 2 / 3, (0,)),
        (100, 513, 2 / 3, (0,)),
        (1024, 713, 2 / 3, (0, 311)),  # PSPNet on Cityscapes: steps of 476
        (2048, 713, 2 / 3, (0, 476, 952, 1335)),
        (10, 4, 1.0, (0, 4, 6)),
        (5, 4, 0.1, (0, 1)),
    ],
)
def test_windows_equal_those_of_pspnet(length, crop, share, starts):
    assert windows.window_starts(length, crop, share) == starts


def test_windows_cover_every_pixel_for_any_size():
    rng = np.random.default_rng(0)
    for _ in range(300):
        length, crop = rng.integers(1, 200, 2)
        share = rng.uniform(0.05, 1)
        starts = windows.window_starts(int(length), int(crop), share)
        covered = np.zeros(max(length, crop), int)
        for i in starts:
            assert i + crop <= max(length, crop)
            covered[i : i + crop] += 1
        assert covered.min() >= 1
        assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("shape", [(13, 17), (7, 17), (5, 6)])
def test_sliding_window_averages_the_crops_that_cover_a_pixel(shape):
    model, images, crop = Context(), images_of(2, *shape, seed=1), (8, 8)
    variables = start(model)
    x = normalised(images)
    high, wide = (max(n, 8) for n in shape)
    x = np.pad(x, ((0, 0), (0, high - shape[0]), (0, wide - shape[1]), (0, 0)))
    total, count = np.zeros((2, high, wide, 4)), np.zeros((high, wide, 1))
    step = math.ceil(8 * 0.6)
    for top in sorted({*range(0, high - 8, step), high - 8}):
        for left in sorted({*range(0, wide - 8, step), wide - 8}):
            at = (slice(top, top + 8), slice(left, left + 8))
            total[:, *at] += softmax(forward(model, variables, x[:, *at]))
            count[at] += 1
    expected = (total / count)[:, : shape[0], : shape[1]]
    protocol = config.Eval(sliding=True, crop_size=crop, stride=0.6)
    found = infer.make_probabilities(model, protocol, PIXELS)(variables, images)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_sliding_changes_nothing_for_a_network_without_context():
    model, images = Pixelwise(), images_of(1, 14, 10)
    variables = start(model)
    for scales, flip in (((1.0,), False), ((0.75, 1.5), True)):
        whole = config.Eval(scales=scales, flip=flip)
        # Interpolating logits differs from probabilities, so other scales are only approximate.
        near = 1e-6 if scales == (1.0,) else 0.15
        sliding = config.Eval(scales=scales, flip=flip, sliding=True, crop_size=(6, 5), stride=0.5)
        a, b = (
            infer.make_probabilities(model, protocol, PIXELS)(variables, images)
            for protocol in (whole, sliding)
        )
        np.testing.assert_allclose(a, b, atol=near)
        np.testing.assert_allclose(b.sum(-1), 1, atol=1e-5)


def test_scaled_sizes_keep_the_grid_of_deeplab():
    scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    heights = [windows.scaled_size((513, 1), scale)[0] for scale in scales]
    assert heights == [257, 385, 513, 641, 769, 897]
    assert all(windows.scaled_size((513, 769), s)[1] == 768 * s + 1 for s in scales)
    for tenth in range(1, 30):  # sizes do not suffer from the rounding of 0.1, 0.2, ...
        assert windows.scaled_size((11, 1), tenth / 10) == (tenth + 1, 1)


def test_one_view_needs_no_softmax():
    model, images = Context(), images_of(1, 9, 9)
    variables = start(model)
    predict = infer.make_predictions(model, config.Eval(), PIXELS, 4)
    plain = str(jax.make_jaxpr(predict)(variables, images))
    assert " exp " not in plain
    flipped = infer.make_predictions(model, config.Eval(flip=True), PIXELS, 4)
    assert " exp " in str(jax.make_jaxpr(flipped)(variables, images))
    labels, _ = predict(variables, images)
    expected = forward(model, variables, normalised(images)).argmax(-1)
    np.testing.assert_array_equal(labels, expected)


def test_nonfinite_scores_are_reported_per_image():
    model, images = Pixelwise(), images_of(3, 4, 4)
    variables = start(model)
    std = (60.0, 50.0, 40.0)
    broken = jax.tree.map(lambda p: p.at[(0,) * p.ndim].set(jnp.inf), variables)
    images[1] = np.round(MEAN)  # 0 * inf: only NaN reveals it
    for protocol in (config.Eval(), config.Eval(flip=True)):
        predict = infer.make_predictions(model, protocol, config.Normalisation(MEAN, std), 3)
        assert not predict(broken, images)[1].any()
        assert predict(variables, images)[1].all()


def test_output_stride_is_that_of_a_clone():
    model = OnBackbone()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)
    for stride, height in ((0, 4), (4, 4), (8, 2), (2, 8)):
        changed = views.at_output_stride(model, stride)
        assert forward(changed, variables, jnp.zeros((1, 16, 16, 3))).max() == height
    assert model.backbone.output_stride == 4
    with pytest.raises(ValueError, match=r"eval.output_stride=12 must be a power of two"):
        views.at_output_stride(model, 12)
    with pytest.raises(ValueError, match=r"eval.output_stride=8: Pixelwise has no backbone"):
        views.at_output_stride(Pixelwise(), 8)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scales": ()}, "eval.scales"),
        ({"scales": (1.0, -0.5)}, "eval.scales"),
        ({"sliding": True, "stride": 0.0}, "eval.stride"),
        ({"sliding": True, "stride": 1.5}, "eval.stride"),
        ({"sliding": True, "crop_size": (0, 5)}, "eval.crop_size"),
        ({"batch_size": 0}, "eval.batch_size"),
    ],
)
def test_an_invalid_protocol_is_refused(fields, words):
    for make in (infer.make_probabilities, infer.make_predictions):
        classes = (3,) if make is infer.make_predictions else ()
        with pytest.raises(ValueError, match=words):
            make(Pixelwise(), config.Eval(**fields), PIXELS, *classes)


def test_another_number_of_classes_is_refused():
    model = Pixelwise()
    predict = infer.make_predictions(model, config.Eval(), PIXELS, 11)
    with pytest.raises(ValueError, match="predicts 3 classes, the data set has 11"):
        predict(start(model), images_of(1, 4, 4))
