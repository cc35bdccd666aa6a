"""The papers' Caffe networks for the tests: their layers' names, with as few channels as asked."""

import string

from tests.weights.caffe_net import CaffeNet

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # width, convolutions of each stage


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
