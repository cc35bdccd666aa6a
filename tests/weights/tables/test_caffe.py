"""Caffe's tables: each blob has one place, and lands where Caffe's own definitions put it."""

import jax
import numpy as np
import pytest

from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.vgg import VGG, FullyConvolutional
from jaxseg.layers.conv import conv
from jaxseg.layers.conv_transpose import conv_transpose
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.weights import load, match
from jaxseg.weights.tables import caffe
from tests.helpers.variables import shapes_of
from tests.weights import caffe_nets
from tests.weights.caffe_net import CaffeNet

RNG = np.random.default_rng(0)


def _filled(blobs, model, table=None):
    """The model's variables from the blobs; each value comes from one of them."""
    table = table or load.table_of(blobs)
    filled = match.fill(blobs, shapes_of(model), table)
    used = {entry.source for entry in table.entries}
    assert sum(blobs[name].size for name in used) == sum(a.size for a in jax.tree.leaves(filled))
    return filled


def _caffe_conv(x, kernel, bias):
    """Convolution of [C, H, W] by its definition, without padding."""
    out, _, kh, kw = kernel.shape
    rows, columns = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    y = np.zeros((out, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i : i + kh, j : j + kw]
            y[:, i, j] = (kernel * window).sum((1, 2, 3)) + bias
    return y


def test_a_kernel_of_pixels_sees_rgb_as_caffe_sees_bgr():
    kernel, bias = RNG.normal(size=(4, 3, 3, 2)), RNG.normal(size=4)
    bgr = RNG.normal(size=(3, 5, 4))
    rgb = bgr[::-1].transpose(1, 2, 0)[None]
    y = conv(rgb, caffe.pixel_kernel(kernel), padding=0, form="plain") + bias
    np.testing.assert_allclose(y[0].transpose(2, 0, 1), _caffe_conv(bgr, kernel, bias), rtol=1e-5)
    with pytest.raises(ValueError, match="pixels have 3 channels, not 4"):
        caffe.pixel_kernel(np.zeros((4, 4, 3, 3)))


def test_a_deconvolution_spreads_each_input_with_its_kernel_as_it_is():
    kernel, x = RNG.normal(size=(2, 3, 4, 4)), RNG.normal(size=(2, 3, 2))
    wanted = np.zeros((3, 2 * 2 + 4, 2 * 1 + 4))
    for i, j in np.ndindex(3, 2):
        spread = np.einsum("c,cokl->okl", x[:, i, j], kernel)
        wanted[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += spread
    given = conv_transpose(
        x.transpose(1, 2, 0)[None], caffe.transposed_kernel(kernel), stride=2, form="plain"
    )
    np.testing.assert_allclose(given[0].transpose(2, 0, 1), wanted, rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 18), (1, 1, 5, 18), (5, 2, 3, 3)])
def test_an_inner_product_is_a_convolution_over_its_whole_input(shape):
    matrix, x = RNG.normal(size=(5, 18)), RNG.normal(size=(2, 3, 3))  # channel, row, column
    kernel = caffe.fully_connected(3)(matrix.reshape(shape))
    y = conv(x.transpose(1, 2, 0)[None], kernel, padding=0, form="plain")
    np.testing.assert_allclose(y.ravel(), matrix @ x.ravel(), rtol=1e-5)


def test_a_batch_norm_is_its_sums_over_their_count():
    mean, var, scale, shift = RNG.normal(size=(4, 3))
    var, factor = var**2, 7.5
    blobs = {"bn/0": mean * factor, "bn/1": var * factor, "bn/2": np.array([factor])}
    blobs |= {"scale/0": scale.reshape(1, 1, 1, 3), "scale/1": shift}
    norm = NormLayer(Norm(epsilon=1e-5))
    x = RNG.normal(size=(1, 2, 2, 3)).astype(np.float32)
    shapes = jax.eval_shape(lambda: norm.init(jax.random.key(0), x, train=False))
    table = match.Table(tuple(caffe.batch_norm("bn", "scale", "n")))
    nested = {collection: {"n": leaves} for collection, leaves in shapes.items()}
    filled = match.fill(blobs, nested, table)
    y = norm.apply({c: leaves["n"] for c, leaves in filled.items()}, x, train=False)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + shift, rtol=1e-4)


def _vgg():
    net = CaffeNet((33, 33))
    caffe_nets.vgg_trunk(net, width=2)
    blobs = net.blobs | {"fc6/0": RNG.normal(size=(6, 16 * 49)), "fc6/1": RNG.normal(size=6)}
    blobs |= {"fc7/0": RNG.normal(size=(1, 1, 6, 6)), "fc7/1": RNG.normal(size=(1, 1, 1, 6))}
    return blobs | {"fc8/0": np.zeros((10, 6)), "fc8/1": np.zeros(10)}


def test_vgg_by_itself_and_its_inner_products():
    blobs = _vgg()
    table, shapes = load.table_of(blobs), shapes_of(VGG(width=2))
    filled = match.fill(blobs, shapes, table)["params"]
    np.testing.assert_allclose(
        filled["conv1_1"]["kernel"][2, 1, 0, 1], blobs["conv1_1/0"][1, 2, 2, 1]
    )
    np.testing.assert_allclose(
        filled["conv5_3"]["kernel"][2, 1, 3, 7], blobs["conv5_3/0"][7, 3, 2, 1]
    )

    head = FullyConvolutional(6)
    x = np.zeros((1, 7, 7, 16))
    fully = jax.eval_shape(lambda: head.init(jax.random.key(0), x, train=False))
    filled = match.fill(blobs, {"params": shapes["params"] | fully["params"]}, table)["params"]
    stored = blobs["fc6/0"].reshape(6, 16, 7, 7)
    np.testing.assert_allclose(filled["fc6"]["kernel"][4, 5, 3, 2], stored[2, 3, 4, 5], rtol=1e-6)
    np.testing.assert_allclose(filled["fc7"]["kernel"][0, 0, 3, 2], blobs["fc7/0"][0, 0, 2, 3])
    np.testing.assert_allclose(filled["fc7"]["bias"], blobs["fc7/1"].ravel(), rtol=1e-6)


def test_norms_that_vgg_does_not_have_start_as_the_identity():
    blobs = _vgg()
    model = VGG(width=2, norm=Norm())
    filled = match.fill(blobs, shapes_of(model), load.table_of(blobs))
    norm = NormLayer(Norm(epsilon=1e-9))
    variables = {c: filled[c]["norm4_2"] for c in ("params", "batch_stats")}
    x = RNG.normal(size=(2, 3, 3, 16)).astype(np.float32)
    np.testing.assert_array_equal(norm.apply(variables, x, train=False), x)


@pytest.mark.parametrize("depth", [50, 101])
def test_resnet(depth):
    net = CaffeNet((33, 33))
    caffe_nets.resnet_trunk(net, width=2, depth=depth)
    blobs = net.blobs | {"fc1000/0": np.zeros((5, 64)), "fc1000/1": np.zeros(5)}
    counts = {name for name in blobs if name.endswith("/2")}
    table = load.table_of(blobs)
    assert {entry.divisor for entry in table.entries if entry.divisor} == counts
    filled = _filled(blobs, ResNet(depth=depth, width=2))
    last = {50: "res4f_branch2b/0", 101: "res4b22_branch2b/0"}[depth]
    unit = filled["params"][f"stage3_unit{caffe_nets.UNITS[depth][2]}"]
    np.testing.assert_allclose(unit["conv2"]["conv"]["kernel"][2, 0, 3, 1], blobs[last][1, 3, 2, 0])
    mean = filled["batch_stats"]["stage1_unit2"]["conv1"]["norm"]["mean"]
    np.testing.assert_allclose(mean, blobs["bn2b_branch2a/0"] / 2, rtol=1e-6)
