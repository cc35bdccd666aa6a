"""Name table of the released FCNs (shelhamer/fcn.berkeleyvision.org), Caffe models."""

import functools
from collections.abc import Callable, Collection

import numpy as np

from jaxseg.weights.match import Entry, Table
from jaxseg.weights.tables.caffe import (
    IMAGENET_PIXELS,
    alexnet_trunk,
    conv,
    is_bilinear,
    transposed_kernel,
    vgg_trunk,
)

# Deconvolutions of 32s; of 16s and 8s; of 16s; of 8s.
_UPSCORES = ("upscore", "upscore2", "upscore_pool4", "upscore16", "upscore8")
_SCALES = {"scale_pool4": 0.01, "scale_pool3": 0.0001}  # of the network trained at once


def _is_all(value: float, array: np.ndarray) -> bool:
    return np.allclose(array, value)


def fcn(names: Collection[str]) -> Table:
    """The table for `FCN(classes, VGG(image_padding=100))` of any stride, and for FCN-AlexNet.

    Set `stride` to that of the file (8 if it has upscore8, 16 with upscore16, else 32), and
    `at_once` if it has scale_pool4: the factors are not parameters, so a mismatch would not be
    detected. The deconvolutions of the releases are fixed and bilinear, which is verified on the
    file; a network with learned deconvolutions loads them. Unsure: the mean is that of the VOC
    releases; those for other data sets have the same names and may subtract another mean.

    Args:
      names: of the blobs in the file.
    """
    alexnet = "conv1/0" in names
    entries = alexnet_trunk(names) if alexnet else vgg_trunk(names)
    entries += conv("fc6", "head/fc6") + conv("fc7", "head/fc7")
    for layer in ("score_fr", "score_pool4", "score_pool3"):
        if f"{layer}/0" in names:
            entries += conv(layer, layer)
    upscores = [layer for layer in _UPSCORES if f"{layer}/0" in names]
    entries += [
        Entry(f"{layer}/0", f"params/{layer}/kernel", transposed_kernel) for layer in upscores
    ]
    built_in: dict[str, Callable[[np.ndarray], bool]] = {f"{n}/0": is_bilinear for n in upscores}
    for layer, value in _SCALES.items():
        built_in[f"{layer}/0"] = functools.partial(_is_all, value)
    return Table(
        tuple(entries),
        ignored=tuple(f"{layer}/0" for layer in _SCALES),
        optional=tuple(f"params/{layer}/kernel" for layer in upscores),
        built_in=built_in,
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=(f"params/backbone/{'conv1' if alexnet else 'conv1_1'}/kernel",),
    )
