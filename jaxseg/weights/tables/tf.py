"""Name tables of the official DeepLab's TensorFlow checkpoints (tensorflow/models, tf-slim).

Networks on ResNet ("beta", with a stem of three 3x3 convolutions, and plain), Xception 41, 65, 71
and MobileNetV2, with and without ASPP and decoder; and their backbones trained on ImageNet. A table
is made from the names in the file, so its depth, rates and decoder are those of the file; the
strict engine of `match.py` checks that the model has the same.

Kernels of tf-slim are [kh, kw, in, out] like ours, depthwise ones [kh, kw, C, 1]. Momentum, other
slots of optimisers, moving averages of weights and the step are left out.

Fields that no tensor shows must be set as in the file: output stride and rates are free, but
`stride_at` is "last_3x3", the low-level skips "stage1_residual", "entry2_pointwise2" (Xception-71:
"entry3_pointwise2") and "layer_4_depthwise", norm.epsilon 1e-5 (Xception and MobileNetV2: 1e-3).
"""

import re
from collections.abc import Callable, Collection, Iterator

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table, unchanged

# Slots of optimisers (two for RMSProp and Adam), averaged weights, and the step.
_SLOTS = (
    *("*/Momentum", "*/RMSProp", "*/RMSProp_1", "*/Adam", "*/Adam_1", "*/ExponentialMovingAverage"),
    *("global_step", "beta1_power", "beta2_power"),
)
# The ImageNet classifier, and the last convolution of MobileNetV2 before it, which DeepLab omits.
_CLASSIFIER = (
    "resnet_v1_*/logits/*",
    "xception_*/logits/*",
    "MobilenetV2/Conv_1/*",
    "MobilenetV2/Logits/*",
)
_NORM = {
    "gamma": ("params", "scale"),
    "beta": ("params", "bias"),
    "moving_mean": ("batch_stats", "mean"),
    "moving_variance": ("batch_stats", "var"),
}
_PIXELS = Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))  # -1 to 1
# Plain ResNets subtract slim's ImageNet mean, and do not divide.
_MEAN_PIXELS = Normalisation((123.15, 115.90, 103.06), (1.0, 1.0, 1.0))
_XCEPTION_UNIT = re.compile(r"(entry|middle|exit)_flow/block(\d+)/unit_(\d+)/xception_module/(.+)")
_RESNET_UNIT = re.compile(r"block(\d)/unit_(\d+)/bottleneck_v1/(conv[123]|shortcut)")
_MOBILENET_UNIT = re.compile(r"expanded_conv(?:_(\d+))?/(expand|depthwise|project)")


def is_one(names: Collection[str]) -> bool:
    """Whether these are variables of such a checkpoint."""
    return any(_backbone(name) and name.endswith("/BatchNorm/gamma") for name in names)


def _backbone(name: str) -> re.Match[str] | None:
    return re.match(r"(resnet_v1_\d+|xception_\d+|MobilenetV2)/", name)


def _depthwise(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(0, 1, 3, 2)  # [3, 3, C, 1] -> [3, 3, 1, C]


def _projection(branches: int) -> Callable[[np.ndarray], np.ndarray]:
    """Reorders the input channels: the file has (pooled, 1x1, rates); ours are pooled last."""

    def transform(kernel: np.ndarray) -> np.ndarray:
        pooled, *others = np.split(kernel, branches, axis=2)
        return np.concatenate([*others, pooled], axis=2)

    return transform


def _xception_layer(name: str) -> str | None:
    """xception_65/entry_flow/block2/unit_1/xception_module/shortcut is entry2/shortcut."""
    if stem := re.fullmatch(r"entry_flow/conv1_([12])", name):
        return f"stem{stem[1]}"
    if not (unit := _XCEPTION_UNIT.fullmatch(name)):
        return None
    flow, block, number, layer = unit.groups()
    module = f"{flow}{number if flow == 'middle' else block}"
    if half := re.fullmatch(r"separable_conv(\d)_(depthwise|pointwise)", layer):
        return f"{module}/separable{half[1]}/{half[2]}"
    return f"{module}/{layer}"


def _resnet_layer(name: str) -> str | None:
    """block3/unit_2/bottleneck_v1/conv2 is stage3_unit2/conv2."""
    if stem := re.fullmatch(r"conv1(?:_([123]))?", name):
        return f"stem{stem[1] or 1}"
    if unit := _RESNET_UNIT.fullmatch(name):
        return f"stage{unit[1]}_unit{unit[2]}/{unit[3]}"
    return None


def _mobilenet_layer(name: str) -> str | None:
    """expanded_conv_3/depthwise is layer_5/depthwise; Conv is layer_1."""
    if name == "Conv":
        return "layer_1"
    if unit := _MOBILENET_UNIT.fullmatch(name):
        return f"layer_{int(unit[1] or 0) + 2}/{unit[2]}"
    return None


def _head_layer(name: str) -> str | None:
    """The path of a layer of ASPP, decoder or classifier."""
    fixed = {
        "image_pooling": "aspp/image_pooling",
        "aspp0": "aspp/conv1x1",
        "concat_projection": "aspp/projection",
        "decoder/feature_projection0": "low_level_conv",
        "logits/semantic": "classifier",
    }
    if name in fixed:
        return fixed[name]
    if atrous := re.fullmatch(r"aspp(\d)(?:_(depthwise|pointwise))?", name):
        return f"aspp/atrous{atrous[1]}" + (f"/{atrous[2]}" if atrous[2] else "")
    if half := re.fullmatch(r"decoder/decoder_conv(\d)_(depthwise|pointwise)", name):
        return f"decoder_conv{int(half[1]) + 1}/{half[2]}"
    if conv := re.fullmatch(r"decoder/decoder_conv0/decoder_conv0_(\d)", name):
        return f"decoder_conv{conv[1]}"
    return None


def _layer(name: str) -> str | None:
    """The path of the file's layer `name`; None if it is not part of these networks."""
    if not (found := _backbone(f"{name}/")):
        return _head_layer(name)
    rest = name[found.end() :]
    kind = name[: found.end()].partition("_")[0]
    layer_of = {"resnet": _resnet_layer, "xception": _xception_layer}.get(kind, _mobilenet_layer)
    layer = layer_of(rest)
    return layer and f"backbone/{layer}"


def _entries(name: str, branches: int) -> Iterator[Entry]:
    """The entry of one variable, if it has a place."""
    module, _, tensor = name.rpartition("/")
    normalises = module.endswith("/BatchNorm")
    target = _layer(module.removesuffix("/BatchNorm"))
    if not target:
        return
    half = target.endswith(("/depthwise", "/pointwise"))  # of a separable convolution
    if normalises and tensor in _NORM:
        collection, leaf = _NORM[tensor]
        yield Entry(name, f"{collection}/{target}{'_' if half else '/'}norm/{leaf}")
    elif tensor == "depthwise_weights":
        yield Entry(name, f"params/{target}/kernel", _depthwise)
    elif tensor == "weights":
        bare = half or target == "classifier"
        turns = target == "aspp/projection" and branches
        layout = _projection(branches) if turns else unchanged
        yield Entry(name, f"params/{target}{'' if bare else '/conv'}/kernel", layout)
    elif tensor == "biases":
        yield Entry(name, f"params/{target}/bias")


def deeplab(names: Collection[str]) -> Table:
    """The table of a checkpoint for `DeepLabV3` or `DeepLabV3Plus`, or for their backbone alone.

    Unsure: decoders of several stages, which the released files do not have, have no entries.

    Args:
      names: of the variables in the checkpoint.
    """
    rates = {m[1] for n in names if (m := re.match(r"aspp([1-9])(?:_pointwise)?/weights$", n))}
    branches = 2 + len(rates) if "image_pooling/weights" in names else 0
    plain = any(re.match(r"resnet_v1_\d+/conv1/weights", name) for name in names)
    return Table(
        tuple(entry for name in names for entry in _entries(name, branches)),
        ignored=(*_SLOTS, *_CLASSIFIER),
        normalisation=_MEAN_PIXELS if plain else _PIXELS,
        pixel_kernels=("params/backbone/stem1/conv/kernel", "params/backbone/layer_1/conv/kernel"),
    )
