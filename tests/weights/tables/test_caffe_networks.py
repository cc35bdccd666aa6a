"""The papers' Caffe networks: known by their layers, each blob in its place in our model."""

import jax
import numpy as np
import pytest

from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.vgg import VGG
from jaxseg.layers.norm import NormLayer
from jaxseg.models.deconvnet import DeconvNet
from jaxseg.models.deeplab_v1 import DeepLabV1, large_fov_backbone, small_window_backbone
from jaxseg.models.deeplab_v2 import ASPP_L, MSC, DeepLabV2, deeplab_v2_resnet
from jaxseg.models.dilation import (
    CONTEXT_7,
    CONTEXT_8,
    CONTEXT_10,
    LARGE,
    Dilation,
    front_end_backbone,
)
from jaxseg.models.fcn import FCN
from jaxseg.models.pspnet import PSPNet, pspnet_backbone
from jaxseg.models.segnet import SegNet
from jaxseg.models.segnet_basic import SegNetBasic
from jaxseg.pixels import Normalisation
from jaxseg.weights import load, match
from jaxseg.weights.tables.caffe_segnet import EPSILON
from tests.helpers.variables import shapes_of
from tests.weights import caffe_nets, caffe_unpooling_nets, caffemodel

RNG = np.random.default_rng(0)


def _filled(blobs, model):
    """The model's variables from the blobs; each value comes from one of them."""
    table = load.table_of(blobs)
    filled = match.fill(blobs, shapes_of(model), table)
    used = {entry.source for entry in table.entries}
    assert sum(blobs[name].size for name in used) == sum(a.size for a in jax.tree.leaves(filled))
    return filled


def _leaf(filled, path):
    for key in path.split("/"):
        filled = filled[key]
    return filled


@pytest.mark.parametrize("aux", [0, 4])
def test_pspnet(aux):
    _, layers = caffe_nets.pspnet((89, 89), width=2, classes=5, head=8, aux=aux)
    blobs = {f"{name}/{n}": a for name, blobs in layers.items() for n, a in enumerate(blobs)}
    model = PSPNet(5, pspnet_backbone(50).clone(width=2), head_features=8, aux_features=aux)
    filled = _filled(blobs, model)["params"]
    stored = blobs["conv5_4/0"]  # 64 features, then the levels of 16: 6, 3, 2, 1
    kernel = filled["head"]["conv"]["kernel"]
    for ours, theirs in ((3, 3), (64, 112), (64 + 16, 96), (127, 79)):
        np.testing.assert_array_equal(kernel[1, 2, ours], stored[:, theirs, 1, 2])
    norm = filled["backbone"]["stage2_unit1"]["shortcut"]["norm"]
    np.testing.assert_array_equal(norm["bias"], blobs["conv3_1_1x1_proj/bn/1"])


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("at_once", [False, True])
def test_fcn(stride, at_once):
    net = caffe_nets.fcn((33, 33), width=2, classes=5, features=6, stride=stride, at_once=at_once)
    backbone = VGG(width=2, image_padding=100)
    model = FCN(5, backbone, stride=stride, at_once=at_once, head_features=6)
    filled = match.fill(net.blobs, shapes_of(model), load.table_of(net.blobs))
    used = [a for n, a in net.blobs.items() if not n.startswith(("upscore", "scale"))]
    assert sum(a.size for a in used) == sum(a.size for a in jax.tree.leaves(filled))
    bias = _leaf(filled, "params/score_fr/bias")
    np.testing.assert_array_equal(bias, net.blobs["score_fr/1"])


def test_fcn_takes_learned_deconvolutions_and_refuses_to_drop_them():
    net = caffe_nets.fcn(
        (33, 33),
        width=2,
        classes=5,
        features=6,
        deconvolution=lambda c, k: RNG.normal(size=(c, c, k, k)),
    )
    fixed = FCN(5, VGG(width=2, image_padding=100), head_features=6)
    table = load.table_of(net.blobs)
    with pytest.raises(ValueError, match=r"2 tensors differ .*: upscore2/0, upscore_pool4/0"):
        match.fill(net.blobs, shapes_of(fixed), table)
    filled = match.fill(net.blobs, shapes_of(fixed.clone(deconvolution="learned")), table)
    kernel = _leaf(filled, "params/upscore2/kernel")
    np.testing.assert_allclose(kernel[2, 1, 3, 4], net.blobs["upscore2/0"][3, 4, 2, 1])
    blobs = net.blobs | {"scale_pool4/0": np.ones(16)}
    with pytest.raises(ValueError, match=r"1 tensors differ .*: scale_pool4/0"):
        match.fill(blobs, shapes_of(fixed.clone(deconvolution="learned")), table)


def test_fcn_alexnet_and_caffenet():
    features = (6, 16, 24, 24, 16)
    net = caffe_nets.fcn_alexnet((33, 33), features=features, classes=5, head=6)
    backbone = AlexNet(width=4, image_padding=100)
    model = FCN(5, backbone, stride=32, head_features=6, fc6_kernel=6)
    filled = match.fill(net.blobs, shapes_of(model), load.table_of(net.blobs))
    kernel = _leaf(filled, "params/backbone/conv2/kernel")
    assert kernel.shape == (5, 5, 3, 16)  # in two groups
    np.testing.assert_array_equal(kernel[4, 2, 1, 9], net.blobs["conv2/0"][9, 1, 4, 2])

    blobs = {n: a for n, a in net.blobs.items() if n.startswith("conv")}
    blobs |= {"fc6/0": RNG.normal(size=(6, 16 * 36)), "fc6/1": np.zeros(6)}
    blobs |= {"fc7/0": RNG.normal(size=(6, 6)), "fc7/1": np.zeros(6), "fc8/0": np.zeros((3, 6))}
    alone = match.fill(blobs, shapes_of(backbone, (64, 64)), load.table_of(blobs))
    kernel = _leaf(alone, "params/conv1/kernel")
    np.testing.assert_array_equal(kernel[10, 3, 0, 5], net.blobs["conv1/0"][5, 2, 10, 3])


@pytest.mark.parametrize(("fov", "msc"), [("large", 0), ("4x4", 0), ("large", 3)])
def test_deeplab_v1(fov, msc):
    net = caffe_nets.deeplab_v1((33, 33), width=2, classes=5, features=6, fov=fov, msc=msc)
    rows = {"large": (large_fov_backbone(), 3, 12), "4x4": (small_window_backbone(), 4, 4)}
    backbone, kernel, rate = rows[fov]
    model = DeepLabV1(5, backbone.clone(width=2), kernel, rate, 6, msc_features=msc)
    filled = _filled(net.blobs, model)
    kernel = _leaf(filled, "params/head/fc6/kernel")
    np.testing.assert_array_equal(kernel[2, 1, 3, 4], net.blobs["fc6/0"][4, 3, 2, 1])
    if msc:
        kernel = _leaf(filled, "params/direct_data/conv1/kernel")
        np.testing.assert_array_equal(kernel[2, 1, 0, 1], net.blobs["data_conv/0"][1, 2, 2, 1])
        assert "params/direct_data/conv1/kernel" in load.table_of(net.blobs).pixel_kernels


def test_deeplab_v2_on_vgg():
    net = caffe_nets.deeplab_v2_vgg((33, 33), width=2, classes=5, features=6)
    filled = _filled(net.blobs, DeepLabV2(5, large_fov_backbone().clone(width=2), ASPP_L, 6))
    for branch in (1, 4):
        kernel = _leaf(filled, f"params/aspp/branch{branch}/fc6/kernel")
        stored = net.blobs[f"fc6_{branch}/0"]
        np.testing.assert_array_equal(kernel[2, 1, 3, 4], stored[4, 3, 2, 1])


@pytest.mark.parametrize("told", [False, True])
def test_deeplab_v2_on_resnet_takes_the_first_scale(tmp_path, told):
    """Whether the file tells which blobs are shared or not."""
    net, shared = caffe_nets.deeplab_v2_resnet((33, 33), width=2, classes=5, depth=14)
    caffemodel.write(tmp_path / "net.caffemodel", net.layers, shared=shared if told else None)
    blobs = load.read(tmp_path / "net.caffemodel")
    assert any("_res05" in name for name in blobs) != told
    backbone = deeplab_v2_resnet(50).clone(stage_units=caffe_nets.UNITS[14], width=2)
    model = DeepLabV2(5, backbone, ASPP_L, scales=MSC)
    filled = match.fill(blobs, shapes_of(model), load.table_of(blobs))
    bias = _leaf(filled, "params/aspp/classifier4/bias")
    np.testing.assert_array_equal(bias, blobs["fc1_voc12_c3/1"])
    kernel = _leaf(filled, "params/backbone/stage3_unit1/conv2/conv/kernel")
    np.testing.assert_array_equal(kernel[2, 1, 3, 4], blobs["res4a_branch2b/0"][4, 3, 2, 1])


@pytest.mark.parametrize(
    ("context", "rates", "large", "mean"),
    [
        (0, (), False, None),
        (0, (), True, (116.52, 111.36, 102.93)),
        (8, CONTEXT_8, True, (116.52, 111.36, 102.93)),
        (7, CONTEXT_7, False, (91.34692262, 95.55136972, 96.19429688)),
        (8, CONTEXT_8, False, (105.41212523, 108.77808759, 110.70313206)),
        (10, CONTEXT_10, False, (73.16, 82.91, 72.39)),
    ],
)
def test_dilation(context, rates, large, mean):
    options = {"context": context, "large": large, "upsample": context == 10}
    net = caffe_nets.dilation((380, 380), width=2, classes=3, features=6, **options)
    widths = LARGE if large and context else ()
    model = Dilation(3, front_end_backbone().clone(width=2), rates, widths, head_features=6)
    table = load.table_of(net.blobs)
    assert (table.normalisation and table.normalisation.mean) == mean
    filled = match.fill(net.blobs, shapes_of(model), table)
    sizes = [a.size for n, a in net.blobs.items() if n != "ctx_upsample/0"]
    assert sum(sizes) == sum(a.size for a in jax.tree.leaves(filled))
    if context:
        prefix = "ct" if large else "ctx"
        for layer, name in ((2, "conv1_2"), (4, "conv3_1"), (len(rates), "fc1")):
            bias = _leaf(filled, f"params/context/layer{layer}/bias")
            np.testing.assert_array_equal(bias, net.blobs[f"{prefix}_{name}/1"])


def test_segnet():
    net = caffe_unpooling_nets.segnet(width=2, classes=5)
    filled = match.fill(net.blobs, shapes_of(SegNet(5, width=2)), load.table_of(net.blobs))
    parameters = sum(a.size for a in jax.tree.leaves(filled["params"]))
    assert parameters == sum(blob.size for blob in net.blobs.values())
    kernel = _leaf(filled, "params/conv4_1_D/kernel")
    assert kernel.shape == (3, 3, 16, 8)
    np.testing.assert_array_equal(kernel[2, 1, 3, 4], net.blobs["conv4_1_D/0"][4, 3, 2, 1])
    bias = _leaf(filled, "params/backbone/norm3_2/bias")
    np.testing.assert_array_equal(bias, net.blobs["conv3_2_bn/1"].ravel())


def test_segnet_basic():
    net = caffe_unpooling_nets.segnet_basic(width=3, classes=5)
    table = load.table_of(net.blobs)
    shapes = shapes_of(SegNetBasic(5, width=3))
    filled = match.fill(net.blobs, shapes, table)
    scale = _leaf(filled, "params/norm_decode2/scale")
    np.testing.assert_array_equal(scale, net.blobs["conv_decode2_bn/0"].ravel())
    halved = Normalisation((0.0, 0.0, 0.0), (2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match=r"set --config\.data\.normalisation\.std=1,1,1$"):
        match.fill(net.blobs, shapes, table, pixels=halved)


def test_deconvnet():
    net = caffe_unpooling_nets.deconvnet(width=2, classes=5, features=6)
    model = DeconvNet(5, width=2, fc_features=6)
    filled = match.fill(net.blobs, shapes_of(model), load.table_of(net.blobs))
    parameters = sum(a.size for a in jax.tree.leaves(filled["params"]))
    assert parameters == sum(blob.size for blob in net.blobs.values())
    kernel = _leaf(filled, "params/fc6_deconv/kernel")
    np.testing.assert_array_equal(kernel[2, 1, 3, 4], net.blobs["fc6-deconv/0"][3, 4, 2, 1])
    bias = _leaf(filled, "params/deconv2_2_norm/bias")
    np.testing.assert_array_equal(bias, net.blobs["debn2_2/1"].ravel())


@pytest.mark.parametrize("model", [SegNet(5), SegNetBasic(5), DeconvNet(5)])
def test_folded_norms_only_scale_and_shift(model):
    """With the models' epsilon the variance of the table gives a factor of exactly 1."""
    assert model.norm.epsilon == EPSILON
    norm = NormLayer(model.norm)
    scale, bias = np.float32([1.5, -2]), np.float32([0.25, 3])
    statistics = {"mean": np.zeros(2, np.float32), "var": np.full(2, 1 - EPSILON, np.float32)}
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": statistics}
    x = RNG.normal(size=(2, 3, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(norm.apply(variables, x, train=False), x * scale + bias)
