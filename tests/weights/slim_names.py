"""Names and shapes of the official DeepLab's variables, written down from its code.

tensorflow/models: research/deeplab/{model,core/xception,core/resnet_v1_beta}.py and
research/slim/nets/mobilenet/mobilenet_v2.py; channels from the papers.
"""


def _norm(name, features):
    tensors = ("gamma", "beta", "moving_mean", "moving_variance")
    return {f"{name}/BatchNorm/{tensor}": (features,) for tensor in tensors}


def _conv(name, size, inputs, outputs):
    return {f"{name}/weights": (size, size, inputs, outputs)} | _norm(name, outputs)


def _separable(name, inputs, outputs):
    depthwise = {f"{name}_depthwise/depthwise_weights": (3, 3, inputs, 1)}
    depthwise |= _norm(f"{name}_depthwise", inputs)
    return depthwise | _conv(f"{name}_pointwise", 1, inputs, outputs)


def resnet(depth, beta=True):
    units = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
    scope = f"resnet_v1_{depth}"
    if beta:
        names = _conv(f"{scope}/conv1_1", 3, 3, 64) | _conv(f"{scope}/conv1_2", 3, 64, 64)
        names |= _conv(f"{scope}/conv1_3", 3, 64, 128)
    else:
        names = _conv(f"{scope}/conv1", 7, 3, 64)
    inputs = 128 if beta else 64
    for block, count in enumerate(units, start=1):
        features = 64 * 2 ** (block - 1)
        for unit in range(1, count + 1):
            name = f"{scope}/block{block}/unit_{unit}/bottleneck_v1"
            if unit == 1:
                names |= _conv(f"{name}/shortcut", 1, inputs, 4 * features)
            names |= _conv(f"{name}/conv1", 1, inputs, features)
            names |= _conv(f"{name}/conv2", 3, features, features)
            names |= _conv(f"{name}/conv3", 1, features, 4 * features)
            inputs = 4 * features
    return names


def xception(depth):
    scope = f"xception_{depth}"
    names = _conv(f"{scope}/entry_flow/conv1_1", 3, 3, 32)
    names |= _conv(f"{scope}/entry_flow/conv1_2", 3, 32, 64)
    entry = (128, 256, 256, 728, 728) if depth == 71 else (128, 256, 728)
    middle = 8 if depth == 41 else 16
    modules = [(f"entry_flow/block{n}/unit_1", (c, c, c), True) for n, c in enumerate(entry, 1)]
    modules += [
        (f"middle_flow/block1/unit_{n}", (728, 728, 728), False) for n in range(1, middle + 1)
    ]
    modules += [
        ("exit_flow/block1/unit_1", (728, 1024, 1024), True),
        ("exit_flow/block2/unit_1", (1536, 1536, 2048), False),
    ]
    inputs = 64
    for path, features, has_shortcut in modules:
        name = f"{scope}/{path}/xception_module"
        if has_shortcut:
            names |= _conv(f"{name}/shortcut", 1, inputs, features[-1])
        for number, outputs in enumerate(features, start=1):
            names |= _separable(f"{name}/separable_conv{number}", inputs, outputs)
            inputs = outputs
    return names


def mobilenet_v2():
    names = _conv("MobilenetV2/Conv", 3, 3, 32)
    blocks = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    inputs = 32
    index = 0
    for expansion, outputs, count in blocks:
        for _ in range(count):
            name = "MobilenetV2/expanded_conv" + (f"_{index}" if index else "")
            if expansion > 1:
                names |= _conv(f"{name}/expand", 1, inputs, inputs * expansion)
            depthwise = f"{name}/depthwise"
            names[f"{depthwise}/depthwise_weights"] = (3, 3, inputs * expansion, 1)
            names |= _norm(depthwise, inputs * expansion)
            names |= _conv(f"{name}/project", 1, inputs * expansion, outputs)
            inputs, index = outputs, index + 1
    return names


def aspp(inputs, rates=3, separable=False, image_pooling=True):
    names = _conv("aspp0", 1, inputs, 256)
    for n in range(1, rates + 1):
        names |= (
            _separable(f"aspp{n}", inputs, 256) if separable else _conv(f"aspp{n}", 3, inputs, 256)
        )
    if image_pooling:
        names |= _conv("image_pooling", 1, inputs, 256)
    return names | _conv("concat_projection", 1, 256 * (1 + rates + image_pooling), 256)


def decoder(skip, separable=False):
    names = _conv("decoder/feature_projection0", 1, skip, 48)
    if separable:
        names |= _separable("decoder/decoder_conv0", 304, 256)
        return names | _separable("decoder/decoder_conv1", 256, 256)
    names |= _conv("decoder/decoder_conv0/decoder_conv0_1", 3, 304, 256)
    return names | _conv("decoder/decoder_conv0/decoder_conv0_2", 3, 256, 256)


def logits(classes=21):
    return {
        "logits/semantic/weights": (1, 1, 256, classes),
        "logits/semantic/biases": (classes,),
    }


def training(names):
    """What a checkpoint of a training run holds beside the variables of the network."""
    slots = {f"{name}/Momentum": shape for name, shape in names.items() if "moving_" not in name}
    return slots | {"global_step": ()}
