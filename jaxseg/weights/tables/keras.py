"""Name table of MobileNetV2 in Keras applications, of any width, alone or in another model."""

from collections.abc import Collection

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table

# Layers after the features, which are not part of an extractor: the 1280 convolution, the
# classifier of ImageNet, and the two dense layers of a Teachable Machine model.
_HEAD = ("*Conv_1/*", "*Conv_1_bn/*", "*predictions/*", "*dense_Dense?/*")

_PIXELS = Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))  # -1 to 1


def _depthwise(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(0, 1, 3, 2)  # [3, 3, C, 1] -> [3, 3, 1, C]


def mobilenet_v2(names: Collection[str], *, into: str = "backbone/") -> Table:
    """The table for `backbones.mobilenet_v2.MobileNetV2(width, divisible_by=8)`.

    Args:
      names: of the arrays in the file, from `h5_file.read`; only their last two parts
        ("bn_Conv1/gamma:0") are used, so the nesting of models does not matter.
      into: the path of the extractor in the tree: "backbone/" in a model, "" by itself.

    Raises:
      ValueError: two arrays of the file end in the same two parts.
    """
    full: dict[str, str] = {}
    for name in names:
        last = "/".join(name.split("/")[-2:])
        if last in full:
            raise ValueError(f"{full[last]} and {name} are the same layer")
        full[last] = name

    entries: list[Entry] = []

    def conv(layer: str, target: str) -> None:
        name = f"{layer}/kernel:0"
        entries.append(Entry(full.get(name, name), f"params/{into}{target}/kernel"))

    def depthwise(layer: str, target: str) -> None:
        name, path = f"{layer}/depthwise_kernel:0", f"params/{into}{target}/kernel"
        entries.append(Entry(full.get(name, name), path, _depthwise))

    def norm(layer: str, target: str) -> None:
        for array, path in (
            ("gamma", f"params/{into}{target}/scale"),
            ("beta", f"params/{into}{target}/bias"),
            ("moving_mean", f"batch_stats/{into}{target}/mean"),
            ("moving_variance", f"batch_stats/{into}{target}/var"),
        ):
            name = f"{layer}/{array}:0"
            entries.append(Entry(full.get(name, name), path))

    conv("Conv1", "layer_1/conv")
    norm("bn_Conv1", "layer_1/norm")
    for index in range(17):
        layer = "expanded_conv" if index == 0 else f"block_{index}"
        target = f"layer_{index + 2}"
        if index > 0:  # the first block does not expand
            conv(f"{layer}_expand", f"{target}/expand/conv")
            norm(f"{layer}_expand_BN", f"{target}/expand/norm")
        depthwise(f"{layer}_depthwise", f"{target}/depthwise")
        norm(f"{layer}_depthwise_BN", f"{target}/depthwise_norm")
        conv(f"{layer}_project", f"{target}/project/conv")
        norm(f"{layer}_project_BN", f"{target}/project/norm")
    return Table(
        tuple(entries),
        ignored=_HEAD,
        normalisation=_PIXELS,
        pixel_kernels=(f"params/{into}layer_1/conv/kernel",),
    )
