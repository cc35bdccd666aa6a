"""The papers' Caffe networks for the tests: their layers' names, with as few channels as asked."""

import string

import numpy as np

from tests.weights.caffe_net import CaffeNet

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
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


def resnet_trunk(net, *, width, depth=101, rates=(1, 1, 1, 1), strides=(1, 2, 2, 2)):
    """conv1 .. res5c as in He et al.'s deploy files, strides in the first 1x1."""

    def conv_norm(bottom, suffix, out, k, *, relu=True, name=None, **options):
        x = net.conv(bottom, name or f"res{suffix}", out, k, bias=False, relu=False, **options)
        suffix = suffix if name is None else f"_{name}"
        net.batch_norm(x, f"bn{suffix}", f"scale{suffix}")
        return net.relu(x) if relu else x

    x = conv_norm("data", "", width, 7, stride=2, pad=3, name="conv1")
    x = net.pool(x, "pool1", 3, 2)
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
            x = net.relu(net.add([x, y], f"res{name}"))
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


def segnet(*, width, classes):
    """SegNet-Tutorial's segnet_inference: blobs alone, the judge has no unpooling."""
    net = CaffeNet((32, 32))

    def layer(bottom, name, out):
        net.conv(bottom, name, out, 3, pad=1, relu=False)
        net.layers[f"{name}_bn"] = net.vectors(2, out, axes=4)
        return name

    x = "data"
    for stage, (times, count) in enumerate(VGG16, start=1):
        for unit in range(1, count + 1):
            x = layer(x, f"conv{stage}_{unit}", width * times)
    for stage, (times, count) in reversed(list(enumerate(VGG16, start=1))):
        for unit in range(count, 0, -1):
            out = width * (VGG16[max(0, stage - 2)][0] if unit == 1 else times)
            if (stage, unit) == (1, 1):
                net.conv(x, "conv1_1_D", classes, 3, pad=1, relu=False)
            else:
                x = layer(x, f"conv{stage}_{unit}_D", out)
    return net


def segnet_basic(*, width, classes):
    """SegNet-Tutorial's segnet_basic_inference: blobs alone."""
    net = CaffeNet((32, 32))
    x = "data"
    for name in [f"conv{n}" for n in (1, 2, 3, 4)] + [f"conv_decode{n}" for n in (4, 3, 2, 1)]:
        x = net.conv(x, name, width, 7, pad=3, relu=False)
        net.layers[f"{name}_bn"] = net.vectors(2, width, axes=4)
    net.conv(x, "conv_classifier", classes, 1, relu=False)
    return net


def deconvnet(*, width, classes, features, fc_kernel=7):
    """HyeonwooNoh/DeconvNet's inference network: blobs alone."""
    net = CaffeNet((224, 224))
    vgg_trunk(net, width=width)
    for stage, (times, count) in enumerate(VGG16, start=1):
        for unit in range(1, count + 1):
            net.layers[f"bn{stage}_{unit}"] = net.vectors(2, width * times, axes=4)
    for name, k, inputs in (("fc6", fc_kernel, 8 * width), ("fc7", 1, features)):
        net.layers[name] = [net.random(features, inputs, k, k), *net.vectors(1, features)]
        net.layers[f"bn{name}"] = net.vectors(2, features, axes=4)
    inputs = 8 * width
    net.layers["fc6-deconv"] = [
        net.random(features, inputs, fc_kernel, fc_kernel),
        *net.vectors(1, inputs),
    ]
    net.layers["fc6-deconv-bn"] = net.vectors(2, inputs, axes=4)
    for stage, (times, count) in reversed(list(enumerate(VGG16, start=1))):
        for unit in range(1, count + 1):
            out = width * (VGG16[max(0, stage - 2)][0] if unit == count else times)
            name = f"{stage}_{unit}"
            net.layers[f"deconv{name}"] = [net.random(inputs, out, 3, 3), *net.vectors(1, out)]
            net.layers[f"debn{name}"] = net.vectors(2, out, axes=4)
            inputs = out
    net.layers["seg-score-voc"] = [net.random(classes, width, 1, 1), *net.vectors(1, classes)]
    return net
