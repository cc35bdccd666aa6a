"""The Caffe networks that unpool, for the tests: blobs alone, since the judge cannot unpool."""

from tests.weights.caffe_net import CaffeNet
from tests.weights.caffe_nets import VGG16, vgg_trunk


def segnet(*, width, classes):
    """SegNet-Tutorial's segnet_inference."""
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
    """SegNet-Tutorial's segnet_basic_inference."""
    net = CaffeNet((32, 32))
    x = "data"
    for name in [f"conv{n}" for n in (1, 2, 3, 4)] + [f"conv_decode{n}" for n in (4, 3, 2, 1)]:
        x = net.conv(x, name, width, 7, pad=3, relu=False)
        net.layers[f"{name}_bn"] = net.vectors(2, width, axes=4)
    net.conv(x, "conv_classifier", classes, 1, relu=False)
    return net


def deconvnet(*, width, classes, features, fc_kernel=7):
    """HyeonwooNoh/DeconvNet's inference network."""
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
