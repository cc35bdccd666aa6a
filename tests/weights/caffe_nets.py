"""The papers' Caffe networks for the tests: their layers' names, with as few channels as asked."""

import string

import numpy as np

from tests.weights.caffe_net import CaffeNet

UNITS = {14: (1, 1, 1, 1), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
LARGE = (2, 2, 4, 8, 16, 32, 32)  # features of the Large context module, times the classes
VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # width, convolutions of each stage


def bilinear(classes, k):
    """FCN's surgery.py: an interpolating kernel [classes, classes, k, k] that mixes no classes."""
    factor = (k + 1) // 2
    centre = factor - 1 if k % 2 else factor - 0.5
    taps = 1 - abs(np.arange(k) - centre) / factor
    return np.eye(classes)[:, :, None, None] * np.outer(taps, taps)


def vgg_trunk(net, *, width, image_pad=1, pad=1, pools=((2, 2, 0),) * 5, rate5=1):
    """conv1_1 .. conv5_3 and the poolings (kernel, stride, pad), or None where one is left out."""
    x = "data"
    for stage, ((times, count), pool) in enumerate(zip(VGG16, pools, strict=True), start=1):
        rate = rate5 if stage == 5 else 1
        for unit in range(1, count + 1):
            around = image_pad if (stage, unit) == (1, 1) else pad * rate
            name = f"conv{stage}_{unit}"
            x = net.conv(x, name, width * times, 3, pad=around, dilation=rate)
        if pool:
            x = net.pool(x, f"pool{stage}", *pool)
    return x


def resnet_trunk(
    net, x="data", *, width, depth=101, rates=(1, 1, 1, 1), strides=(1, 2, 2, 2), end=""
):
    """conv1 .. res5c as in He et al.'s deploy files; all names end in `end`."""

    def conv_norm(bottom, suffix, out, k, *, relu=True, name=None, **options):
        name, suffix = (f"res{suffix}", suffix) if name is None else (name, f"_{name}")
        y = net.conv(bottom, f"{name}{end}", out, k, bias=False, relu=False, **options)
        net.batch_norm(y, f"bn{suffix}{end}", f"scale{suffix}{end}")
        return net.relu(y) if relu else y

    x = conv_norm(x, "", width, 7, stride=2, pad=3, name="conv1")
    x = net.pool(x, f"pool1{end}", 3, 2, 1)
    for stage, count in enumerate(UNITS[depth], start=2):
        rate, features = rates[stage - 2], width * 2 ** (stage - 2)
        numbered = depth > 50 and stage in (3, 4)
        for unit in range(count):
            letter = f"b{unit}" if numbered and unit else string.ascii_lowercase[unit]
            name, stride = f"{stage}{letter}", 1 if unit else strides[stage - 2]
            y = conv_norm(x, f"{name}_branch2a", features, 1, stride=stride)
            y = conv_norm(y, f"{name}_branch2b", features, 3, pad=rate, dilation=rate)
            y = conv_norm(y, f"{name}_branch2c", 4 * features, 1, relu=False)
            if unit == 0:
                x = conv_norm(x, f"{name}_branch1", 4 * features, 1, stride=stride, relu=False)
            x = net.relu(net.add([x, y], f"res{name}{end}"))
    return x


def pspnet(size, *, width, classes, head, bins=(1, 2, 3, 6), depth=50, aux=0):
    """hszhao/PSPNet's deploy file; norms as BatchNorm and Scale, which the judge knows.

    Returns:
      The network, and its blobs as the authors' four-blob BN layers have them.
    """
    net = CaffeNet(size)
    normed = []

    def conv_norm(bottom, name, out, k, *, relu=True, **options):
        x = net.conv(bottom, name, out, k, bias=False, relu=False, **options)
        net.batch_norm(x, f"{name}/bn", f"{name}/scale", factor=1.0)
        normed.append(name)
        return net.relu(x) if relu else x

    x = conv_norm("data", "conv1_1_3x3_s2", width, 3, stride=2, pad=1)
    x = conv_norm(x, "conv1_2_3x3", width, 3, pad=1)
    x = conv_norm(x, "conv1_3_3x3", 2 * width, 3, pad=1)
    x = net.pool(x, "pool1_3x3_s2", 3, 2, 1)
    for stage, (count, rate) in enumerate(zip(UNITS[depth], (1, 1, 2, 4), strict=True), start=2):
        for unit in range(1, count + 1):
            name, features = f"conv{stage}_{unit}", width * 2 ** (stage - 2)
            stride = 2 if (stage, unit) == (3, 1) else 1
            y = conv_norm(x, f"{name}_1x1_reduce", features, 1)
            y = conv_norm(y, f"{name}_3x3", features, 3, stride=stride, pad=rate, dilation=rate)
            y = conv_norm(y, f"{name}_1x1_increase", 4 * features, 1, relu=False)
            if unit == 1:
                x = conv_norm(x, f"{name}_1x1_proj", 4 * features, 1, stride=stride, relu=False)
            x = net.relu(net.add([x, y], name))
        if stage == 4 and aux:
            conv_norm(x, f"conv4_{count + 1}", aux, 3, pad=1)
            net.conv(f"conv4_{count + 1}", "conv6_1", classes, 1, relu=False)
    side = (size[0] + 7) // 8  # of the square map
    levels = []
    for n in bins:
        y = net.pool(x, f"conv5_3_pool{n}", side // n, side // n, how="AVE")
        y = conv_norm(y, f"conv5_3_pool{n}_conv", 32 * width // len(bins), 1)
        levels.append(net.interp(y, f"conv5_3_pool{n}_interp", (side, side)))
    x = net.concat([x, *reversed(levels)], "conv5_3_concat")
    x = conv_norm(x, "conv5_4", head, 3, pad=1)
    net.conv(x, "conv6", classes, 1, relu=False)

    blobs = dict(net.layers)
    for name in normed:
        mean, var, _ = blobs.pop(f"{name}/bn")
        blobs[f"{name}/bn"] = [*blobs.pop(f"{name}/scale"), mean, var]
    return net, blobs


def fcn(size, *, width, classes, features, stride=8, at_once=False, deconvolution=bilinear):
    """shelhamer/fcn.berkeleyvision.org's voc-fcn32s, 16s, 8s and 8s-atonce."""
    net = CaffeNet(size)
    vgg_trunk(net, width=width, image_pad=100)
    x = net.conv("pool5", "fc6", features, 7)
    x = net.conv(x, "fc7", features, 1)
    x = net.conv(x, "score_fr", classes, 1, relu=False)
    skips = (("pool4", "upscore2", 5, 0.01), ("pool3", "upscore_pool4", 9, 0.0001))
    by = stride
    for skip, name, offset, factor in skips[: {32: 0, 16: 1, 8: 2}[stride]]:
        x = net.deconv(x, name, deconvolution(classes, 4), stride=2)
        y = net.scale(skip, f"scale_{skip}", factor) if at_once else skip
        y = net.conv(y, f"score_{skip}", classes, 1, relu=False)
        if at_once:  # so that the scaled map counts
            net.layers[f"score_{skip}"][0] /= factor
        x = net.add([x, net.crop(y, x, f"score_{skip}c", offset)], f"fuse_{skip}")
    name = {32: "upscore", 16: "upscore16", 8: "upscore8"}[stride]
    x = net.deconv(x, name, bilinear(classes, 2 * by), stride=by)
    net.crop(x, "data", "score", {32: 19, 16: 27, 8: 31}[stride])
    return net


def fcn_alexnet(size, *, features, classes, head):
    """voc-fcn-alexnet with these features of conv1 .. conv5."""
    net = CaffeNet(size)
    x = net.conv("data", "conv1", features[0], 11, stride=4, pad=100)
    x = net.lrn(net.pool(x, "pool1", 3, 2), "norm1")
    x = net.conv(x, "conv2", features[1], 5, pad=2, group=2)
    x = net.lrn(net.pool(x, "pool2", 3, 2), "norm2")
    x = net.conv(x, "conv3", features[2], 3, pad=1)
    x = net.conv(x, "conv4", features[3], 3, pad=1, group=2)
    x = net.conv(x, "conv5", features[4], 3, pad=1, group=2)
    x = net.pool(x, "pool5", 3, 2)
    x = net.conv(x, "fc6", head, 6)
    x = net.conv(x, "fc7", head, 1)
    x = net.conv(x, "score_fr", classes, 1, relu=False)
    x = net.deconv(x, "upscore", bilinear(classes, 63), stride=32)
    net.crop(x, "data", "score", 18)
    return net


def deeplab_v1(size, *, width, classes, features, fov="large", msc=0):
    """TheLegendAli/DeepLab-Context's test files, "large" or "4x4", for sizes of 8 k + 1."""
    net = CaffeNet(size)
    large = fov == "large"
    strided, last = ((3, 2, 1), (3, 1, 1)) if large else ((2, 2, 1), (2, 1, 0))
    pools = (strided, strided, strided, last, (3, 1, 1))
    x = vgg_trunk(net, width=width, pools=pools, rate5=2)
    if large:
        x = net.pool(x, "pool5a", 3, 1, 1, how="AVE")
    kernel, rate, pad = (3, 12, 12) if large else (4, 4, 6)
    x = net.conv(x, "fc6", features, kernel, pad=pad, dilation=rate)
    x = net.conv(x, "fc7", features, 1)
    x = net.conv(x, "fc8_voc12", classes, 1, relu=False)
    scores = [net.interp(x, "fc8_interp", size)]
    for name in ("data", "pool1", "pool2", "pool3", "pool4") if msc else ():
        y = net.conv(name, f"{name}_conv", msc, 3, pad=1)
        y = net.conv(y, f"{name}_fc", msc, 1)
        y = net.conv(y, f"{name}_ms", classes, 1, relu=False)
        scores.append(net.interp(y, f"{name}_interp", size))
    if msc:
        net.add(scores, "fc_fusion")
    return net


def deeplab_v2_vgg(size, *, width, classes, features, rates=(6, 12, 18, 24)):
    """deeplab_v2_python's network, ASPP-L."""
    net = CaffeNet(size)
    strided, last = (3, 2, 1), (3, 1, 1)
    trunk = vgg_trunk(net, width=width, pools=(strided,) * 3 + (last,) * 2, rate5=2)
    scores = []
    for n, rate in enumerate(rates, start=1):
        x = net.conv(trunk, f"fc6_{n}", features, 3, pad=rate, dilation=rate)
        x = net.conv(x, f"fc7_{n}", features, 1)
        scores.append(net.conv(x, f"fc8_voc12_{n}", classes, 1, relu=False))
    net.interp(net.add(scores, "fc8_voc12"), "fc8_interp", size)
    return net


def deeplab_v2_resnet(size, *, width, classes, depth=101, rates=(6, 12, 18, 24)):
    """pytorch-deeplab-resnet's test.prototxt: three scales of one set of blobs.

    Returns:
      The network, and the names that its blobs are shared by.
    """
    net = CaffeNet(size)
    coarse = tuple((side + 7) // 8 for side in size)
    maps = []
    for end, part in (("", 1), ("_res075", 0.75), ("_res05", 0.5)):
        x = "data"
        if end:
            x = net.interp(x, f"shrink{end}", [int((side - 1) * part) + 1 for side in size])
        x = resnet_trunk(
            net, x, width=width, depth=depth, end=end, rates=(1, 1, 2, 4), strides=(1, 2, 1, 1)
        )
        head = f"fc1_voc12{end}"
        scores = [
            net.conv(x, f"{head}_c{n}", classes, 3, pad=rate, dilation=rate, relu=False)
            for n, rate in enumerate(rates)
        ]
        x = net.add(scores, head)
        maps.append(net.interp(x, f"{head}_interp", coarse) if end else x)
    net.interp(net.maximum(maps, "fc_fusion"), "fc_interp", size)

    shared = {}
    for name in net.layers:
        owner = name.replace("_res075", "").replace("_res05", "")
        net.layers[name] = net.layers[owner]
        shared[name] = [f"{owner}_{n}" for n in range(len(net.layers[name]))]
    return net, shared


def dilation(size, *, width, classes, features, context=0, large=False, upsample=False):
    """fyu/dilation's front end, and `context` layers of the context module: 7, 8 or 10."""
    net = CaffeNet(size)
    pool = (2, 2, 0)
    x = vgg_trunk(
        net, width=width, image_pad=0, pad=0, pools=(pool, pool, pool, None, None), rate5=2
    )
    x = net.conv(x, "fc6", features, 7, dilation=4)
    x = net.conv(x, "fc7", features, 1)
    prefix, final = ("ct", "fc-final") if large else ("ctx", "final")
    x = net.conv(x, final, classes, 1, relu=False)
    if context:
        stages = range(2, context - 2)
        names = ["conv1_1", "conv1_2", *(f"conv{n}_1" for n in stages), "fc1"]
        rates = [1, 1, *(2 ** (n - 1) for n in stages), 1]
        widths = LARGE if large else (1,) * len(names)
        for number, (name, rate, times) in enumerate(zip(names, rates, widths, strict=True)):
            pad = (0 if number else sum(rates)) if large else rate
            x = net.conv(x, f"{prefix}_{name}", times * classes, 3, pad=pad, dilation=rate)
        x = net.conv(x, f"{prefix}_final", classes, 1, relu=False)
    if upsample:
        kernel = bilinear(1, 16).repeat(classes, 0)
        net.deconv(x, f"{prefix}_upsample", kernel, stride=8, pad=4, group=classes)
    return net
