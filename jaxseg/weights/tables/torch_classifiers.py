"""Name tables of torchvision's VGG (with and without batch norm) and AlexNet, trained on ImageNet.

Both number the layers of their `features`, including activations and poolings, so a convolution is
identified by its position: the fourth of VGG-16 is features.7 without and features.10 with batch
norm. The first two layers of the `classifier` become fc6 and fc7 of a `FullyConvolutional`, if the
model has one; the last, of 1000 classes, is left out.
"""

import re
from collections.abc import Callable, Collection

import numpy as np

from jaxseg.weights.match import Entry, Table
from jaxseg.weights.tables.torchvision import COUNTERS, IMAGENET_PIXELS, NORM, kernel

_OPTIONAL = ("params/fc6/*", "params/fc7/*")
_IDENTITY = {
    "params/norm?_?/scale": 1.0,
    "params/norm?_?/bias": 0.0,
    "batch_stats/norm?_?/mean": 0.0,
    "batch_stats/norm?_?/var": 1.0,
}


def is_one(names: Collection[str]) -> bool:
    """Whether these are the tensors of a VGG or of an AlexNet."""
    return "features.0.weight" in names and "classifier.6.weight" in names


def table(names: Collection[str]) -> Table:
    """The table of a VGG or an AlexNet by itself.

    Args:
      names: of the tensors in the file.
    """
    return vgg(names) if "features.2.weight" in names or _has_norm(names, 1) else alexnet(names)


def _has_norm(names: Collection[str], layer: int) -> bool:
    return f"features.{layer}.running_mean" in names


def _layers(names: Collection[str]) -> list[int]:
    """The numbers of the layers of `features` with a kernel, without norms."""
    found = {int(m[1]) for n in names if (m := re.fullmatch(r"features\.(\d+)\.weight", n))}
    return sorted(layer for layer in found if not _has_norm(names, layer))


def _fully_connected(kernel_size: int) -> Callable[[np.ndarray], np.ndarray]:
    def transform(array: np.ndarray) -> np.ndarray:
        """[out, in], with inputs in order (channel, row, column), -> [k, k, in / k^2, out]."""
        outputs, inputs = array.shape
        shape = (outputs, inputs // kernel_size**2, kernel_size, kernel_size)
        return kernel(array.reshape(shape))

    return transform


def _conv(
    source: str, target: str, layout: Callable[[np.ndarray], np.ndarray] = kernel
) -> list[Entry]:
    return [
        Entry(f"{source}.weight", f"params/{target}/kernel", layout),
        Entry(f"{source}.bias", f"params/{target}/bias"),
    ]


def _fully_convolutional(fc6: str, fc7: str, kernel_size: int) -> list[Entry]:
    """The entries of the layers with these names; fc6 covers a map of kernel_size^2 pixels."""
    return [
        *_conv(f"classifier.{fc6}", "fc6", _fully_connected(kernel_size)),
        *_conv(f"classifier.{fc7}", "fc7", _fully_connected(1)),
    ]


def vgg(names: Collection[str]) -> Table:
    """torchvision's `vgg11` .. `vgg19` and `vgg11_bn` .. `vgg19_bn` for a `VGG` by itself.

    If the `VGG` has norms but the file has none, they start as the identity.

    Args:
      names: of the tensors in the file.
    """
    entries: list[Entry] = []
    normalised = _has_norm(names, 1)
    stage, unit, last = 1, 0, 0
    for layer in _layers(names):
        # A convolution, its norm and ReLU; a larger step means a pooling.
        pooled = layer - last > (3 if normalised else 2)
        stage, unit, last = (stage + 1, 1, layer) if pooled else (stage, unit + 1, layer)
        entries += _conv(f"features.{layer}", f"conv{stage}_{unit}")
        if normalised:
            entries += [
                Entry(f"features.{layer + 1}.{tensor}", f"{collection}/norm{stage}_{unit}/{leaf}")
                for tensor, (collection, leaf) in NORM.items()
            ]
    return Table(
        (*entries, *_fully_convolutional("0", "3", 7)),
        ignored=("classifier.6.*", COUNTERS),
        constants={} if normalised else dict(_IDENTITY),
        optional=_OPTIONAL,
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/conv1_1/kernel",),
    )


def alexnet(names: Collection[str]) -> Table:
    """torchvision's `alexnet` for an `AlexNet(variant="torchvision")` by itself.

    Args:
      names: of the tensors in the file.
    """
    entries: list[Entry] = []
    for number, layer in enumerate(_layers(names), start=1):
        entries += _conv(f"features.{layer}", f"conv{number}")
    return Table(
        (*entries, *_fully_convolutional("1", "4", 6)),
        ignored=("classifier.6.*",),
        optional=_OPTIONAL,
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/conv1/kernel",),
    )
