"""Name table of Google's DeepLab v3 MobileNetV2 as converted to TensorFlow Lite (float).

The converter folds each batch norm into its convolution: kernel K' = K s / sqrt(v + e) and bias b'
= b - m s / sqrt(v + e). The original s, m, v and b are lost, so they become a batch norm that only
shifts: scale 1, mean 0, bias b', and variance 1 - e. In float32 (1 - e) + e is exactly 1 for the
epsilons of this network (a test), so the function is that of the file, up to the rounding of sums.

This batch norm does not describe the features: in training with norm.kind "batch", it would divide
by the true deviations of a batch, which makes the weights useless. Fine-tune with norm.kind
"frozen".
"""

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table

BACKBONE_EPSILON = 1e-3  # as in the released code, and the default of MobileNetV2 here
HEAD_EPSILON = 1e-5  # likewise, for ASPP and the projection
_PIXELS = Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))  # -1 to 1


def _conv(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(1, 2, 3, 0)  # [out, kh, kw, in] -> [kh, kw, in, out]


def _depthwise(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(1, 2, 0, 3)  # [1, kh, kw, C] -> [kh, kw, 1, C]


def _projection(kernel: np.ndarray) -> np.ndarray:
    """Also reorders the input channels: the file has (pooled, 1x1), ours are (1x1, pooled)."""
    pooled, conv1x1 = np.split(_conv(kernel), 2, axis=2)  # [1, 1, 256, 256] each
    return np.concatenate([conv1x1, pooled], axis=2)


def deeplab_v3_mobilenet_v2() -> Table:
    """The table for `DeepLabV3(..., MobileNetV2(...), atrous_rates=())`, of any width."""
    entries: list[Entry] = []

    def folded(source: str, target: str) -> None:
        entries.append(Entry(f"{source}/weights", f"params/{target}/conv/kernel", _conv))
        entries.append(Entry(f"{source}/Conv2D_bias", f"params/{target}/norm/bias"))

    folded("MobilenetV2/Conv", "backbone/layer_1")
    for index in range(17):
        source = "MobilenetV2/expanded_conv" + (f"_{index}" if index else "")
        target = f"backbone/layer_{index + 2}"
        if index > 0:  # the first block does not expand
            folded(f"{source}/expand", f"{target}/expand")
        depthwise = f"{source}/depthwise/depthwise"
        entries.append(
            Entry(f"{depthwise}_weights", f"params/{target}/depthwise/kernel", _depthwise)
        )
        entries.append(Entry(f"{depthwise}_bias", f"params/{target}/depthwise_norm/bias"))
        folded(f"{source}/project", f"{target}/project")
    folded("image_pooling", "aspp/image_pooling")
    folded("aspp0", "aspp/conv1x1")
    projection = "params/aspp/projection"
    entries += [
        Entry("concat_projection/weights", f"{projection}/conv/kernel", _projection),
        Entry("concat_projection/Conv2D_bias", f"{projection}/norm/bias"),
        Entry("logits/semantic/weights", "params/classifier/kernel", _conv),
        Entry("logits/semantic/Conv2D_bias", "params/classifier/bias"),
    ]
    return Table(
        tuple(entries),
        constants={
            "params/*norm/scale": 1.0,
            "batch_stats/*norm/mean": 0.0,
            "batch_stats/backbone/*norm/var": 1.0 - BACKBONE_EPSILON,
            "batch_stats/aspp/*norm/var": 1.0 - HEAD_EPSILON,
        },
        normalisation=_PIXELS,
        pixel_kernels=("params/backbone/layer_1/conv/kernel",),
    )
