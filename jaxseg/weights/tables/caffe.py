"""Layouts of Caffe, and name tables of its ImageNet networks: VGG-16, CaffeNet and ResNet.

Caffe's pixels are BGR from 0 to 255 minus a mean colour, never divided; a table reverses the input
channels of the first kernels to RGB and states mean and standard deviation (1) in its
`normalisation`.

Blobs of a layer are numbered. Convolution: kernel [out, in, kh, kw], bias. Deconvolution: kernel
[in, out, kh, kw], not flipped, bias. InnerProduct: [out, in], the input in order (channel,
row, column). BatchNorm: sums of means and of variances, and what both are divided by. Scale: factor
and, if it has one, shift. In files before 2015 a vector is (1, 1, 1, n), a matrix (1, 1, out, in).
"""

import re
from collections.abc import Callable, Collection

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table

# The mean of FCN and DeepLab, which is that of ImageNet in Caffe's VGG: B, G, R = 104.00699,
# 116.66877, 122.67892. Rounded differently in some releases; see `match.MEAN_TOLERANCE`.
IMAGENET_PIXELS = Normalisation((122.67892, 116.66877, 104.00699), (1.0, 1.0, 1.0))
_RESNET_UNIT = re.compile(r"res(\d)([a-z])(\d*)_branch(1|2[abc])")
_BRANCHES = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}


def kernel(array: np.ndarray) -> np.ndarray:
    """[out, in, kh, kw] -> [kh, kw, in, out]."""
    return array.transpose(2, 3, 1, 0)


def pixel_kernel(array: np.ndarray) -> np.ndarray:
    """The same for a kernel applied to pixels, with input channels reversed from BGR to RGB."""
    if array.shape[1] != 3:
        raise ValueError(f"pixels have 3 channels, not {array.shape[1]}")
    return kernel(array)[:, :, ::-1]


def transposed_kernel(array: np.ndarray) -> np.ndarray:
    """[in, out, kh, kw] -> [kh, kw, in, out] of `layers/conv_transpose.py`."""
    return array.transpose(2, 3, 0, 1)


def vector(array: np.ndarray) -> np.ndarray:
    """[n], or [1, .. n .. 1] in older files, -> [n]."""
    if array.size != max(array.shape, default=1):
        raise ValueError("a vector must have one axis longer than 1")
    return array.reshape(-1)


def fully_connected(kernel_size: int) -> Callable[[np.ndarray], np.ndarray]:
    """The layout of a layer that covers kernel_size^2 pixels, an InnerProduct or a convolution."""

    def transform(array: np.ndarray) -> np.ndarray:
        if array.ndim == 2 or array.shape[:2] == (1, 1):
            outputs, inputs = array.shape[-2:]
            array = array.reshape(outputs, inputs // kernel_size**2, kernel_size, kernel_size)
        return kernel(array)

    return transform


def is_bilinear(array: np.ndarray) -> bool:
    """Whether a deconvolution [C, C, k, k], or grouped [C, 1, k, k], only interpolates."""
    size = array.shape[-1]
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    taps = 1 - np.abs(np.arange(size) - centre) / factor
    channels = np.eye(len(array)) if array.shape[1] > 1 else np.ones((len(array), 1))
    wanted = channels[:, :, None, None] * np.outer(taps, taps)
    return wanted.shape == array.shape and np.allclose(array, wanted, atol=1e-6)


def conv(
    layer: str,
    target: str,
    layout: Callable[[np.ndarray], np.ndarray] = kernel,
    *,
    bias: bool = True,
) -> list[Entry]:
    """A convolution, or what `layout` converts to one, at the path `target`."""
    entries = [Entry(f"{layer}/0", f"params/{target}/kernel", layout)]
    return entries + ([Entry(f"{layer}/1", f"params/{target}/bias", vector)] if bias else [])


def batch_norm(layer: str, scale_layer: str, target: str) -> list[Entry]:
    """A BatchNorm and the Scale after it, as one norm at the path `target`."""
    return [
        Entry(f"{layer}/0", f"batch_stats/{target}/mean", vector, divisor=f"{layer}/2"),
        Entry(f"{layer}/1", f"batch_stats/{target}/var", vector, divisor=f"{layer}/2"),
        Entry(f"{scale_layer}/0", f"params/{target}/scale", vector),
        Entry(f"{scale_layer}/1", f"params/{target}/bias", vector),
    ]


def layers_of(names: Collection[str]) -> list[str]:
    """The layers of the file in order: "fc6/0" and "fc6/1" belong to "fc6"."""
    return list(dict.fromkeys(name.rpartition("/")[0] for name in names))


def vgg_trunk(names: Collection[str], into: str = "backbone/") -> list[Entry]:
    """conv1_1 .. conv5_3 of the file, as many as it has, for a `VGG` at the path `into`."""
    entries: list[Entry] = []
    for layer in layers_of(names):
        if re.fullmatch(r"conv[1-5]_[1-4]", layer):
            layout = pixel_kernel if layer == "conv1_1" else kernel
            entries += conv(layer, f"{into}{layer}", layout)
    return entries


def vgg(names: Collection[str]) -> Table:
    """VGG-16 (or 19) trained on ImageNet, for a `VGG` by itself; fc8 is left out.

    fc6 and fc7, inner products or convolutions, are for a `FullyConvolutional`, if there is one. If
    the `VGG` has norms, they start as the identity, since the file's network has none.

    Args:
      names: of the blobs in the file.
    """
    entries = vgg_trunk(names, into="")
    for layer, size in (("fc6", 7), ("fc7", 1)):
        if f"{layer}/0" in names:
            entries += conv(layer, layer, fully_connected(size))
    return Table(
        tuple(entries),
        ignored=("fc8*",),
        constants={
            "params/norm?_?/scale": 1.0,
            "params/norm?_?/bias": 0.0,
            "batch_stats/norm?_?/mean": 0.0,
            "batch_stats/norm?_?/var": 1.0,
        },
        optional=("params/fc6/*", "params/fc7/*"),
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/conv1_1/kernel",),
    )


def alexnet_trunk(names: Collection[str], into: str = "backbone/") -> list[Entry]:
    """conv1 .. conv5 of CaffeNet, for an `AlexNet` at the path `into`; groups are unchanged."""
    entries: list[Entry] = []
    for layer in layers_of(names):
        if re.fullmatch("conv[1-5]", layer):
            layout = pixel_kernel if layer == "conv1" else kernel
            entries += conv(layer, f"{into}{layer}", layout)
    return entries


def alexnet(names: Collection[str]) -> Table:
    """Caffe's reference network trained on ImageNet, for an `AlexNet` by itself; fc8 is left out.

    fc6 and fc7 as in `vgg`, the kernel of fc6 being 6. Unsure: the release subtracts a mean image
    from a separate file (imagenet_mean.binaryproto); the colour here is that of FCN-AlexNet.

    Args:
      names: of the blobs in the file.
    """
    entries = alexnet_trunk(names, into="")
    entries += conv("fc6", "fc6", fully_connected(6)) + conv("fc7", "fc7", fully_connected(1))
    return Table(
        tuple(entries),
        ignored=("fc8*",),
        optional=("params/fc6/*", "params/fc7/*"),
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/conv1/kernel",),
    )


def _resnet_unit(layer: str) -> tuple[str, str] | None:
    """Path and suffix of res4b12_branch2c: ("stage3_unit13/conv3", "4b12_branch2c")."""
    match = _RESNET_UNIT.fullmatch(layer)
    if not match:
        return None
    stage, letter, number, branch = match.groups()
    unit = int(number) + 1 if number else "abcdefghijklmnopqrstuvwxyz".index(letter) + 1
    path = f"stage{int(stage) - 1}_unit{unit}/{_BRANCHES[branch]}"
    return path, layer.removeprefix("res")


def resnet_trunk(names: Collection[str], into: str = "backbone/") -> list[Entry]:
    """conv1 and all residual units of the file, for a `ResNet` at the path `into`.

    Units of a stage are a, b, c .. or, in the long stages of the deeper networks, a, b1, b2 ..
    """
    entries = conv("conv1", f"{into}stem1/conv", pixel_kernel, bias=False)
    entries += batch_norm("bn_conv1", "scale_conv1", f"{into}stem1/norm")
    for layer in layers_of(names):
        if unit := _resnet_unit(layer):
            path, suffix = unit
            entries += conv(layer, f"{into}{path}/conv", bias=False)
            entries += batch_norm(f"bn{suffix}", f"scale{suffix}", f"{into}{path}/norm")
    return entries


def resnet(names: Collection[str]) -> Table:
    """He et al.'s ResNets trained on ImageNet, for a `ResNet` by itself; fc1000 is left out.

    For `ResNet(stride_at="first_1x1")`, whose max pooling follows Caffe's ceil rule, as in DeepLab
    v2. Unsure: the release subtracts a mean image from a separate file (ResNet_mean.binaryproto);
    the colour here is that with which DeepLab v2 is trained from these weights.

    Args:
      names: of the blobs in the file.
    """
    return Table(
        tuple(resnet_trunk(names, into="")),
        ignored=("fc1000/*",),
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/stem1/conv/kernel",),
    )
