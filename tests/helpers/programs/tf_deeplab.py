"""The official DeepLab in plain TensorFlow operations: writes a checkpoint and its logits.

python tf_deeplab.py FOLDER NETWORK: reads images.npy [1, H, W, 3] in FOLDER, writes model.ckpt-7.*
and logits.npy there. Layers, names and padding follow tensorflow/models research/deeplab and
tf-slim; the weights are random. A program of its own, since TensorFlow has its own interpreter.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
RNG = np.random.default_rng(0)
HEAD, RESNET, OTHERS = 1e-5, 1e-5, 1e-3  # epsilons


def variable(name, values, trainable=True):
    values = np.asarray(values, np.float32)
    made = tf1.get_variable(name, initializer=values, trainable=trainable)
    if trainable:
        tf1.get_variable(f"{name}/Momentum", initializer=0 * values, trainable=False)
    return made


def norm(x, scope, epsilon):
    features = x.shape[-1]
    gamma = variable(f"{scope}/BatchNorm/gamma", RNG.uniform(0.5, 1.0, features))
    beta = variable(f"{scope}/BatchNorm/beta", RNG.uniform(-0.3, 0.3, features))
    mean = variable(f"{scope}/BatchNorm/moving_mean", RNG.uniform(-0.2, 0.2, features), False)
    var = variable(f"{scope}/BatchNorm/moving_variance", RNG.uniform(0.5, 1.5, features), False)
    return tf.nn.batch_normalization(x, mean, var, beta, gamma, epsilon)


def padded(x, size, stride, rate, explicit):
    """slim's conv2d_same pads around a striding convolution, whatever the size."""
    if stride == 1 or not explicit:
        return x, "SAME"
    total = (size - 1) * rate
    around = [total // 2, total - total // 2]
    return tf.pad(x, [[0, 0], around, around, [0, 0]]), "VALID"


def conv(x, outputs, size, scope, epsilon, stride=1, rate=1, act=tf.nn.relu, explicit=True):
    inputs = int(x.shape[-1])
    spread = np.sqrt(2 / (inputs * size * size))
    kernel = variable(f"{scope}/weights", spread * RNG.normal(size=(size, size, inputs, outputs)))
    x, padding = padded(x, size, stride, rate, explicit)
    x = norm(tf.nn.conv2d(x, kernel, stride, padding, dilations=rate), scope, epsilon)
    return act(x) if act else x


def depthwise(x, scope, epsilon, stride=1, rate=1, act=tf.nn.relu, explicit=True):
    shape = (3, 3, int(x.shape[-1]), 1)
    kernel = variable(f"{scope}/depthwise_weights", np.sqrt(2 / 9) * RNG.normal(size=shape))
    x, padding = padded(x, 3, stride, rate, explicit)
    strides = [1, stride, stride, 1]
    x = tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=[rate, rate])
    x = norm(x, scope, epsilon)
    return act(x) if act else x


def separable(x, outputs, scope, epsilon, stride=1, rate=1, act=tf.nn.relu):
    x = depthwise(x, f"{scope}_depthwise", epsilon, stride, rate, act)
    return conv(x, outputs, 1, f"{scope}_pointwise", epsilon, act=act)


class Law:
    """stack_blocks_dense: the stride that is left out becomes the rate of what comes after."""

    def __init__(self, output_stride, current):
        self.output_stride, self.current, self.rate = output_stride, current, 1

    def step(self, stride):
        if self.current == self.output_stride:
            rate, self.rate = self.rate, self.rate * stride
            return 1, rate
        self.current *= stride
        return stride, 1


def resnet_50_beta(x, output_stride, multi_grid=(1, 2, 4)):
    scope = "resnet_v1_50"
    x = conv(x, 64, 3, f"{scope}/conv1_1", RESNET, stride=2)
    x = conv(x, 64, 3, f"{scope}/conv1_2", RESNET)
    x = conv(x, 128, 3, f"{scope}/conv1_3", RESNET)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    law = Law(output_stride, 4)
    for block, units in enumerate((3, 4, 6, 3), start=1):
        features = 64 * 2 ** (block - 1)
        for unit in range(1, units + 1):
            name = f"{scope}/block{block}/unit_{unit}/bottleneck_v1"
            stride, rate = law.step(2 if unit == units and block < 4 else 1)
            grid = multi_grid[unit - 1] if block == 4 else 1
            if x.shape[-1] == 4 * features:
                shortcut = tf.nn.max_pool2d(x, 1, stride, "SAME") if stride > 1 else x
            else:
                shortcut = conv(x, 4 * features, 1, f"{name}/shortcut", RESNET, stride, act=None)
            y = conv(x, features, 1, f"{name}/conv1", RESNET)
            y = conv(y, features, 3, f"{name}/conv2", RESNET, stride, rate * grid)
            y = conv(y, 4 * features, 1, f"{name}/conv3", RESNET, act=None)
            if (block, unit) == (1, 2):
                low = y
            x = tf.nn.relu(shortcut + y)
    return x, low


def xception_41(x, output_stride, middle=2):
    scope = "xception_41"
    x = conv(x, 32, 3, f"{scope}/entry_flow/conv1_1", OTHERS, stride=2)
    x = conv(x, 64, 3, f"{scope}/entry_flow/conv1_2", OTHERS)
    modules = [
        ("entry_flow/block1/unit_1", (128, 128, 128), 2, "conv"),
        ("entry_flow/block2/unit_1", (256, 256, 256), 2, "conv"),
        ("entry_flow/block3/unit_1", (728, 728, 728), 2, "conv"),
    ]
    for unit in range(1, middle + 1):
        modules.append((f"middle_flow/block1/unit_{unit}", (728, 728, 728), 1, "sum"))
    modules.append(("exit_flow/block1/unit_1", (728, 1024, 1024), 2, "conv"))
    modules.append(("exit_flow/block2/unit_1", (1536, 1536, 2048), 1, "none"))
    law = Law(output_stride, 2)
    for path, features, nominal, skip in modules:
        name = f"{scope}/{path}/xception_module"
        stride, rate = law.step(nominal)
        inside = tf.nn.relu if skip == "none" else None
        y = x
        for number, outputs in enumerate(features, start=1):
            y = y if inside else tf.nn.relu(y)
            strides = stride if number == 3 else 1
            y = separable(
                y, outputs, f"{name}/separable_conv{number}", OTHERS, strides, rate, inside
            )
            if number == 2 and path == "entry_flow/block2/unit_1":
                low = y
        if skip == "conv":
            x = y + conv(x, features[2], 1, f"{name}/shortcut", OTHERS, stride, act=None)
        else:
            x = x + y if skip == "sum" else y
    return x, low


def mobilenet_v2(x, output_stride):
    """TensorFlow's own padding throughout."""
    scope = "MobilenetV2"
    x = conv(x, 32, 3, f"{scope}/Conv", OTHERS, 2, act=tf.nn.relu6, explicit=False)
    law, index = Law(output_stride, 2), 0
    for expansion, outputs, count, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for unit in range(count):
            name = f"{scope}/expanded_conv" + (f"_{index}" if index else "")
            nominal = first if unit == 0 else 1
            stride, rate = law.step(nominal)
            y, inputs = x, int(x.shape[-1])
            if expansion > 1:
                y = conv(y, inputs * expansion, 1, f"{name}/expand", OTHERS, act=tf.nn.relu6)
            y = depthwise(y, f"{name}/depthwise", OTHERS, stride, rate, tf.nn.relu6, explicit=False)
            if index == 2:
                low = y
            y = conv(y, outputs, 1, f"{name}/project", OTHERS, act=None)
            x = x + y if nominal == 1 and inputs == outputs else y
            index += 1
    return x, low


def resized(x, size):
    return tf1.image.resize_bilinear(x, size, align_corners=True)


def aspp(x, rates, split):
    pooled = conv(tf.reduce_mean(x, [1, 2], keepdims=True), 256, 1, "image_pooling", HEAD)
    branches = [resized(pooled, x.shape[1:3]), conv(x, 256, 1, "aspp0", HEAD)]
    for number, rate in enumerate(rates, start=1):
        if split:
            branches.append(separable(x, 256, f"aspp{number}", HEAD, rate=rate))
        else:
            branches.append(conv(x, 256, 3, f"aspp{number}", HEAD, rate=rate))
    return conv(tf.concat(branches, 3), 256, 1, "concat_projection", HEAD)


def decoder(x, low, size, split):
    low = conv(low, 48, 1, "decoder/feature_projection0", HEAD)
    x = tf.concat([resized(x, size), resized(low, size)], 3)
    for number in (0, 1):
        if split:
            x = separable(x, 256, f"decoder/decoder_conv{number}", HEAD)
        else:
            x = conv(x, 256, 3, f"decoder/decoder_conv0/decoder_conv0_{number + 1}", HEAD)
    return x


def network(x, name):
    size = x.shape[1:3]
    quarter = [(n - 1) // 4 + 1 for n in size]
    if name == "resnet":
        x, low = resnet_50_beta(x, 16)
        x = decoder(aspp(x, (6, 12, 18), False), low, quarter, False)
    elif name == "xception":
        x, low = xception_41(x, 8)
        x = decoder(aspp(x, (12, 24, 36), True), low, quarter, True)
    else:
        x, _ = mobilenet_v2(x, 16)
        x = aspp(x, (), True)
    kernel = variable("logits/semantic/weights", RNG.normal(size=(1, 1, 256, 5)) / 16)
    bias = variable("logits/semantic/biases", RNG.normal(size=5))
    return resized(tf.nn.conv2d(x, kernel, 1, "SAME") + bias, size)


def main(folder, name):
    images = np.load(folder / "images.npy")
    with tf.Graph().as_default(), tf1.Session() as session:
        logits = network(tf.constant(images), name)
        tf1.train.get_or_create_global_step()
        saver = tf1.train.Saver()
        session.run(tf1.global_variables_initializer())
        np.save(folder / "logits.npy", session.run(logits))
        saver.save(session, str(folder / "model.ckpt"), global_step=7)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
