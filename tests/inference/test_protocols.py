"""The papers' protocols by name, and PSPNet's against NumPy code written after its release."""

import dataclasses
import math
import subprocess
import sys

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg.checks import experiment as checks
from jaxseg.inference import infer, protocols, windows
from tests.conftest import ROOT

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
PIXELS = config.Normalisation(MEAN, STD)
SIZES = np.array([[13, 20], [21, 9]], np.int32)


class Context(nn.Module):
    """A network with a 5 x 5 receptive field, asymmetric so that mirroring matters."""

    num_classes: int = 4

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Conv(5, (5, 5), kernel_init=nn.initializers.normal(0.5))(images)
        return {"logits": nn.Conv(self.num_classes, (1, 1))(nn.relu(x)) * 4}


@pytest.fixture(scope="module")
def network():
    model = Context()
    x = jnp.zeros((1, 8, 8, 3))
    return model, jax.jit(model.init, static_argnames="train")(jax.random.key(0), x, train=False)


def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def framed(images, frame):
    x = np.empty((len(images), *frame, 3), np.uint8)
    x[:] = np.round(MEAN)
    for i, image in enumerate(images):
        x[i, : image.shape[0], : image.shape[1]] = image
    return x


def small(protocol):
    """The protocol for small images: sides, crops and margins are divided by 32."""
    return dataclasses.replace(
        protocol,
        size=(0, 0),
        output_stride=0,
        crop_size=tuple(n // 32 for n in protocol.crop_size),
        margin=protocol.margin // 32,
        long_side=protocol.long_side // 32,
        scales=protocol.scales[:2],
        crf="",
    )


KINDS = ("deeplab_v2", "deeplab_v3_multi", "pspnet_multi", "pspnet_cityscapes", "unet")


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_gives_probabilities_whatever_the_batch(network, name):
    """Protocols for images of several sizes do not depend on the frame either."""
    model, variables = network
    protocol = small(protocols.PROTOCOLS[name])
    predict = infer.make_probabilities(model, protocol, PIXELS)
    images = framed(pictures(), (24, 24))
    together = predict(variables, images, SIZES)
    other_way = predict(variables, images[::-1], SIZES[::-1])
    own = None
    if name == "pspnet_cityscapes":
        own = predict(variables, framed(pictures(), (21, 20)), SIZES)
    for i, (height, width) in enumerate(SIZES):
        found = np.asarray(together[i, :height, :width])
        np.testing.assert_allclose(found, other_way[1 - i, :height, :width], atol=1e-5)
        np.testing.assert_allclose(found.sum(-1), 1, atol=1e-4)
        if own is not None:
            np.testing.assert_allclose(found, own[i, :height, :width], atol=1e-4)


def test_every_protocol_has_values_that_go_together():
    for name, protocol in protocols.PROTOCOLS.items():
        protocols.check_protocol(protocol)
        checks.check(config.Experiment(model=Context(), eval=protocol))
        assert protocols.named(name, config.Eval()) == protocol


def _softmax(x):
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def test_windows_of_pspnet_equal_those_of_its_code(network):
    """Checks the long side, padding with the mean, summed logits of mirror images, and counts."""
    model, variables = network
    protocol = small(protocols.PROTOCOLS["pspnet_multi"])

    @jax.jit
    def logits_of(x):
        return model.apply(variables, x[None], train=False)["logits"][0]

    def of_image(image, side, crop):
        h, w = image.shape[:2]
        long = max(h, w)
        new = (2 * w * side + long) // (2 * long), (2 * h * side + long) // (2 * long)
        x = cv2.resize((image.astype(np.float32) - MEAN) / STD, new, interpolation=cv2.INTER_LINEAR)
        high, wide = max(new[1], crop), max(new[0], crop)
        x = np.pad(x, ((0, high - new[1]), (0, wide - new[0]), (0, 0))).astype(np.float32)
        total, count = np.zeros((high, wide, 4)), np.zeros((high, wide, 1))
        for top in windows.window_starts(high, crop, 2 / 3):
            for left in windows.window_starts(wide, crop, 2 / 3):
                at = (slice(top, top + crop), slice(left, left + crop))
                part = np.asarray(logits_of(x[at]))
                part = part + np.asarray(logits_of(x[at][:, ::-1]))[:, ::-1]
                total[at] += _softmax(part)
                count[at] += 1
        mean = (total / count)[: new[1], : new[0]]
        return cv2.resize(mean, (w, h), interpolation=cv2.INTER_LINEAR)

    predict = infer.make_probabilities(model, protocol, PIXELS)
    found = predict(variables, framed(pictures(), (24, 24)), SIZES)
    crop = protocol.crop_size[0]
    for i, image in enumerate(pictures()):
        scales = [of_image(image, round(protocol.long_side * s), crop) for s in protocol.scales]
        expected = np.mean(scales, axis=0)
        h, w = SIZES[i]
        np.testing.assert_allclose(found[i, :h, :w], expected, atol=2e-4)


def test_the_highest_logit_of_all_views_is_used(network):
    model, variables = network
    protocol = config.Eval(scales=(1.0, 0.5), flip=True, fusion="max")
    images = framed(pictures(), (25, 21))
    logits = []
    for flip in (1, -1):
        x = ((images - np.array(MEAN)) / STD).astype(np.float32)[:, :, ::flip]
        for step in (1, 2):  # scale 0.5 with aligned corners takes every other pixel
            y = model.apply(variables, x[:, ::step, ::step], train=False)["logits"]
            y = np.asarray(infer.row_bands.resized(y, (25, 21), "align_corners")(np.arange(25)))
            logits.append(y[:, :, ::flip])
    found = infer.make_probabilities(model, protocol, PIXELS)(variables, images)
    np.testing.assert_allclose(found, _softmax(np.max(logits, axis=0)), atol=1e-4)


def test_rotations_do_not_change_a_network_without_context(network):
    class Pixelwise(nn.Module):
        def __call__(self, images, *, train):
            return {"logits": images[..., :2]}

    y, x = np.mgrid[:20, :24]
    image = np.stack([y * 8, x * 8, y * x // 3], -1).astype(np.uint8)[None]
    plain, turned = (
        infer.make_probabilities(Pixelwise(), config.Eval(rotations=n), PIXELS)({}, image)
        for n in (1, 7)
    )
    # After two rotations, interpolation smooths the corners.
    np.testing.assert_allclose(turned, plain, atol=0.08)
    np.testing.assert_allclose(turned[:, 4:-4, 4:-4], plain[:, 4:-4, 4:-4], atol=0.02)


def test_a_crf_sharpens_and_accepts_numbers_or_a_name(network):
    model, variables = network
    images = framed(pictures(), (24, 24))
    plain, named, numbers = (
        infer.make_probabilities(model, config.Eval(crf=crf), PIXELS)(variables, images, SIZES)
        for crf in ("", "deconvnet", "5,20,3,3,3,10")
    )
    np.testing.assert_allclose(named, numbers, atol=1e-6)
    height, width = SIZES[0]
    inner = (0, slice(height), slice(width))
    assert named[inner].max(-1).mean() > plain[inner].max(-1).mean() + 0.01


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"crf": "deeplab"}, "eval.crf='deeplab' must be one of deeplab_v1"),
        ({"crf": "1,2,3"}, "or six numbers"),
        ({"fusion": "max", "sliding": True}, "eval.fusion=max"),
        ({"sliding": True, "crop_size": (8, 8), "margin": 4}, "eval.margin=4 leaves no pixels"),
    ],
)
def test_incompatible_fields_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        infer.make_probabilities(Context(), config.Eval(**fields), PIXELS)


class Valid(nn.Module):
    """A network without padding, which loses two pixels on each side."""

    @nn.compact
    def __call__(self, images, *, train):
        return {"logits": nn.Conv(3, (5, 5), padding="VALID")(images)}


def test_a_network_without_padding_needs_a_margin_of_its_border():
    """Otherwise its scores would be stretched over the image."""
    model, image = Valid(), pictures()[0][None]
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)
    found = infer.make_probabilities(model, config.Eval(margin=2, border="mirror"), PIXELS)(
        variables, image
    )
    x = np.pad((image - np.array(MEAN)) / STD, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    logits = model.apply(variables, x.astype(np.float32), train=False)["logits"]
    np.testing.assert_allclose(found, _softmax(np.asarray(logits)), atol=1e-5)
    for margin, words in ((0, "Valid gives 9 x 16 scores for 13 x 20"), (1, "eval.margin=1")):
        predict = infer.make_probabilities(model, config.Eval(margin=margin), PIXELS)
        with pytest.raises(ValueError, match=words):
            predict(variables, image)


def test_a_name_replaces_what_the_paper_specifies_and_keeps_the_rest():
    own = config.Eval(batch_size=3, examples=7, boundary=True, flip=False, scales=(2.0,))
    found = protocols.named("deeplab_v3_multi", own)
    assert (found.batch_size, found.examples, found.boundary) == (3, 7, True)
    assert (found.flip, found.output_stride, len(found.scales)) == (True, 8, 6)
    found = protocols.named("deeplab_v3_multi", own, {"flip"})
    assert (found.flip, len(found.scales)) == (False, 6)
    with pytest.raises(ValueError, match="--protocol=psp is unknown; it can be fcn, deeplab_v1"):
        protocols.named("psp", own)


def test_windows_of_pspnet_at_its_own_size():
    """VOC's 512 with crops of 473 gives two windows along the long side, in steps of 316."""
    protocol = protocols.PROTOCOLS["pspnet"]
    assert windows.window_starts(protocol.long_side, 473, protocol.stride) == (0, 39)
    assert math.ceil(473 * protocol.stride) == 316


def test_the_flag_accepts_a_protocol():
    command = [sys.executable, "-m", "jaxseg.main", "--config=experiments/quickstart.py"]
    command += ["--mode=evaluate", "--workdir=none", "--protocol=pspnett"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "--protocol=pspnett is unknown; it can be fcn" in done.stderr
