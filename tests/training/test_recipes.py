"""Rules of the released code that recipes and protocols follow, against that code's formulas."""

import functools
import importlib
from fractions import Fraction

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg.backbones.vgg import VGG
from jaxseg.data.augment.transforms import Transform
from jaxseg.inference import infer, own_border, protocols, windows
from jaxseg.models.dilation import Dilation
from jaxseg.models.unet import UNet
from jaxseg.training import optim
from jaxseg.training.step import init_variables

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
PIXELS = config.Normalisation(MEAN, STD)


@functools.cache
def recipe(name, *size):
    experiment = importlib.import_module(f"experiments.{name}").get_config(*size)
    _, variables = jax.eval_shape(functools.partial(init_variables, experiment))
    flat, _ = jax.tree_util.tree_flatten_with_path(variables["params"])
    leaves = {jax.tree_util.keystr(k, simple=True, separator="/"): leaf for k, leaf in flat}
    kinds = {path: optim.kind_of(path, leaf, leaves) for path, leaf in leaves.items()}
    return experiment, variables["params"], kinds


def by_path(tree):
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): leaf for k, leaf in flat}


ALL = set(config.DECAYED)


@pytest.mark.parametrize(
    ("name", "size", "decayed"),
    [
        ("pspnet.voc", (), ALL),  # torch.optim.SGD(params_list, ..., weight_decay=...)
        ("encnet.pascal_context", (), ALL),
        ("segnet.camvid", ("release",), {"kernels", "scales"}),  # decay_mult 1, 0 of a BN layer
        ("segnet.basic_camvid", ("release",), {"kernels", "scales", "shifts"}),
        ("refinenet.voc", (), {"kernels", "biases"}),
        ("deeplab_v3_plus.xception_voc", (), {"kernels"}),  # regularize_depthwise False
        ("fcn.fcn32s_voc", (), {"kernels"}),
    ],
)
def test_what_the_released_code_decays_decays(name, size, decayed):
    experiment, params, kinds = recipe(name, *size)
    mask = by_path(optim.decay_mask(params, experiment.optim.decayed))
    for path, kind in kinds.items():
        assert mask[path] == (kind in decayed), (path, kind)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("deeplab_v3.voc", ()),
        ("deeplab_v3_plus.voc", ()),
        ("deeplab_v3_plus.xception_voc", ()),
        ("deeplab_v3.google_voc", ()),
        ("segnet.camvid", ("release",)),
        ("segnet.basic_camvid", ("release",)),
    ],
)
def test_biases_learn_twice_as_fast_and_norms_do_not(name, size):
    """TensorFlow's variables named "biases" are those of convolutions; a norm has beta."""
    experiment, params, kinds = recipe(name, *size)
    factors = by_path(optim.learning_rate_factors(params, experiment.optim.multipliers))
    assert "biases" in kinds.values()
    for path, kind in kinds.items():
        assert factors[path] == (2 if kind == "biases" else 1), path


def test_a_norm_decays_where_it_is_asked_for():
    params = {
        "norm": {"scale": np.ones(2), "bias": np.ones(2)},
        "conv": {"kernel": np.ones((1, 1, 2, 2)), "bias": np.ones(2)},
        "deep": {"kernel": np.ones((3, 3, 1, 2))},
        "context": {"codewords": np.ones((3, 2))},
    }
    for decayed, expected in (
        (("kernels",), {"conv/kernel"}),
        (("kernels", "depthwise"), {"conv/kernel", "deep/kernel"}),
        (("scales",), {"norm/scale"}),
        (("shifts",), {"norm/bias"}),
        (("biases",), {"conv/bias"}),
        (("others",), {"context/codewords"}),
        (("all",), set(by_path(params))),
    ):
        mask = by_path(optim.decay_mask(params, decayed))
        assert {path for path, on in mask.items() if on} == expected


@pytest.mark.parametrize(
    ("size", "smallest", "largest"),
    [
        ((375, 500), 0.7 * 1.2 * 1.2, 1.3 * 1.2 * 1.2),  # 1.0 to 1.9
        ((333, 500), 0.7 * 1.2 * 450 / 333, 1.3 * 1.2 * 450 / 333),  # 1.1 to 2.1
        ((500, 500), 0.84, 1.56),  # its short side is above 450
    ],
)
def test_refinenet_enlarges_a_short_side_to_450_before_it_scales(size, smallest, largest):
    data = importlib.import_module("experiments.refinenet.voc").get_config().data
    augment = Transform(data.crop_size, data.augment)
    rng = np.random.default_rng(0)
    found = sorted({float(augment.draw(rng, *size).scale) for _ in range(200)})
    base = max(1, 450 / min(size))
    expected = [base * 1.2 * scale for scale in np.arange(7) * 0.1 + 0.7]
    # A scale is a fraction with a denominator of at most 64: 1.008 becomes 65/64.
    np.testing.assert_allclose(found, expected, atol=8e-3)
    np.testing.assert_allclose([found[0], found[-1]], [smallest, largest], atol=8e-3)


def test_encnet_scales_the_long_side_by_its_base_of_520():
    data = importlib.import_module("experiments.encnet.pascal_context").get_config().data
    augment = Transform(data.crop_size, data.augment)
    rng = np.random.default_rng(0)
    found = [500 * float(augment.draw(rng, 375, 500).scale) for _ in range(300)]
    assert 260 - 8 <= min(found) < 290
    assert 1000 < max(found) <= 1040 + 8
    assert augment.scale_of(Fraction(1), 375, 500) == Fraction(26, 25)


def test_without_a_side_a_scale_is_of_the_image_as_it_is():
    augment = Transform((33, 33))
    assert augment.scale_of(Fraction(37, 64), 100, 50) == Fraction(37, 64)


SIZES = np.array([[375, 500], [333, 500], [500, 500], [480, 640], [100, 500]], np.int32)


def test_the_sizes_of_refinenets_views_are_those_of_its_code():
    """round(1.2 * scale * image) after the short side is at least 450."""
    for scale in (0.48, 1.2):
        found = windows.with_short_side(jnp.asarray(SIZES), 450, scale)
        factors = np.maximum(1, 450 / SIZES.min(1, keepdims=True))
        expected = SIZES * factors * scale
        np.testing.assert_allclose(found[:4], expected[:4], atol=0.51)
        canvas = windows.short_side_canvas((500, 640), 450, scale)
        assert (np.asarray(found) <= canvas).all()
    assert windows.with_short_side(jnp.asarray(SIZES), 450, 1.0)[4].tolist() == [180, 900]


class Pixelwise(nn.Module):
    """Scores that are a pixel's own colour."""

    num_classes: int = 3

    def __call__(self, images, *, train):
        return {"logits": images * 3}


def test_a_view_with_a_short_side_comes_back_at_the_image_s_size():
    y, x = np.mgrid[:12, :20]
    image = np.stack([y * 8, x * 8, 255 - x * 8], -1).astype(np.uint8)[None]
    plain, enlarged = (
        infer.make_probabilities(Pixelwise(), protocol, PIXELS)({}, image)
        for protocol in (config.Eval(), config.Eval(short_side=24, scales=(1.2,)))
    )
    np.testing.assert_allclose(enlarged[:, 1:-1, 1:-1], plain[:, 1:-1, 1:-1], atol=0.03)
    alone = infer.make_probabilities(Pixelwise(), config.Eval(short_side=24, scales=(1.2,)), PIXELS)
    beside = np.zeros((2, 12, 20, 3), np.uint8)
    beside[0], beside[1, :6, :9] = image[0], image[0, :6, :9]
    both = alone({}, beside, np.array([[12, 20], [6, 9]]))
    np.testing.assert_allclose(both[0], enlarged[0], atol=1e-6)


LEVEL = (0.05, 0.03, 0.0)


def test_encnet_adds_the_logits_of_both_sides_and_averages_their_exp():
    """module_inference and MultiEvalModule.forward: not softmax, which would lower sure windows."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 9, 14, 3), dtype=np.uint8)
    protocol = config.Eval(sliding=True, crop_size=(9, 9), stride=5 / 9, flip=True, fusion="exp")

    class Window(Pixelwise):
        """Scores that depend on where a pixel lies in its window."""

        def __call__(self, images, *, train):
            width = images.shape[2]
            return {"logits": images * 3 + jnp.arange(width)[:, None] ** 2 * jnp.array(LEVEL)}

    found = infer.make_probabilities(Window(), protocol, PIXELS)({}, image)
    x = ((image - np.array(MEAN)) / STD).astype(np.float32)[0]

    def logits(part):
        return part * 3 + np.arange(part.shape[1])[:, None] ** 2 * np.array(LEVEL)

    total, count = np.zeros((9, 14, 3)), np.zeros((14, 1))
    for left in (0, 5):
        part = x[:, left : left + 9]
        total[:, left : left + 9] += np.exp(logits(part) + logits(part[:, ::-1])[:, ::-1])
        count[left : left + 9] += 1
    expected = total / count
    np.testing.assert_allclose(found[0], expected / expected.sum(-1, keepdims=True), rtol=2e-4)
    softmax = infer.make_probabilities(
        Window(), config.Eval(**{**vars(protocol), "fusion": "logits"}), PIXELS
    )({}, image)
    assert np.abs(softmax - found).max() > 0.01


def test_semseg_takes_the_mean_of_both_softmax_and_pspnet_that_of_the_sum():
    for name, fusion in (("semseg", "probabilities"), ("pspnet", "logits"), ("encnet", "exp")):
        for protocol in (protocols.PROTOCOLS[name], protocols.PROTOCOLS[f"{name}_multi"]):
            assert (protocol.fusion, protocol.flip) == (fusion, True)
    assert protocols.PROTOCOLS["semseg"].long_side == protocols.PROTOCOLS["pspnet"].long_side == 512
    assert len(protocols.PROTOCOLS["semseg_multi"].scales) == 6
    assert protocols.PROTOCOLS["semseg"].scales == (1.0,)


def picture(height, width):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def whole_and_windowed(model, image, protocol):
    x = jnp.zeros((1, *image.shape[1:]))
    variables = jax.jit(model.init, static_argnames="train")(jax.random.key(1), x, train=False)
    variables["params"]["classifier"]["kernel"] *= 3  # scores that differ
    return tuple(
        np.asarray(infer.make_probabilities(model, p, PIXELS)(variables, image))
        for p in (config.Eval(border="mirror"), protocol)
    )


@pytest.mark.slow
@pytest.mark.parametrize("levels", [4, 5])
def test_a_u_net_in_windows_is_the_u_net_on_the_whole_image(levels):
    """Windows that bring their margin along go through it without its own mirror.

    Windows begin where its poolings do: of five levels every 16 pixels.
    """
    model, step = UNet(3, width=4, levels=levels), 2 ** (levels - 1)
    border = own_border.width(model)
    assert border == {4: 44, 5: 92}[levels]  # no multiple of the step: a second mirror shifts it
    kept = step + 4  # as 388 of 572 pixels, 4 more than the poolings divide
    height, width = kept, kept + step
    window = (kept + 2 * border, kept + 2 * border)
    protocol = config.Eval(
        sliding=True, crop_size=window, stride=step / kept, margin=border, border="mirror"
    )
    whole, windowed = whole_and_windowed(model, picture(height, width), protocol)
    assert whole.std() > 0.02
    np.testing.assert_allclose(windowed, whole, atol=1e-5)


def test_the_protocols_of_u_net_and_dilation_take_their_own_mirror_away():
    assert own_border.width(UNet(2)) == 92
    assert own_border.within(UNet(2), config.Eval(sliding=True)) == UNet(2)
    assert not own_border.within(UNet(2), protocols.PROTOCOLS["unet"]).mirror
    dilation = Dilation(3, VGG(output_stride=8, padding=False, atrous_pools=False))
    assert own_border.width(dilation) == 186
    assert not own_border.within(dilation, protocols.PROTOCOLS["dilation"]).mirror


@pytest.mark.slow
def test_dilation_in_windows_is_dilation_on_the_whole_image():
    model = Dilation(
        3, VGG(output_stride=8, padding=False, atrous_pools=False, width=2), head_features=4
    )
    assert own_border.width(model) == 186
    assert not own_border.within(model, protocols.PROTOCOLS["dilation"]).mirror
    protocol = config.Eval(
        sliding=True, crop_size=(388, 388), stride=1.0, margin=186, border="mirror"
    )
    whole, windowed = whole_and_windowed(model, picture(16, 32), protocol)
    # Between every 8th pixel it interpolates, at the end of a window as at that of an image.
    np.testing.assert_allclose(windowed[:, ::8, ::8], whole[:, ::8, ::8], atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"sliding": True, "crop_size": (900, 900), "margin": 186},
            "loses 92 pixels on each side: set --config.eval.margin=92 "
            "--config.eval.crop_size=712,712",
        ),
        ({"margin": 92}, "mirrors the borders of a whole image itself: set --config.eval.margin=0"),
    ],
)
def test_a_margin_that_is_not_the_network_s_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        own_border.within(UNet(2), config.Eval(border="mirror", **fields))


def test_a_network_that_pads_takes_any_margin():
    model = UNet(2, valid=False)
    assert own_border.within(model, protocols.PROTOCOLS["unet"]) is model
