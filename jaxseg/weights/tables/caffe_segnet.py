"""Name tables of the released SegNets (alexgkendall/SegNet-Tutorial) and of DeconvNet
(HyeonwooNoh/DeconvNet): Caffe models whose batch norms have their statistics folded in.
"""

import re
from collections.abc import Collection

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table
from jaxseg.weights.tables.caffe import (
    IMAGENET_PIXELS,
    conv,
    kernel,
    layers_of,
    pixel_kernel,
    transposed_kernel,
    vector,
)

# The released prototxt subtracts no mean.
_PIXELS = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
EPSILON = 1e-9  # of the authors' BN layer, and of the models here


def _folded_norm(layer: str, target: str) -> list[Entry]:
    """The authors' BN layer at the path `target`: a factor and a shift.

    In the released weights, the statistics are folded into both, and in float32 a norm with mean 0
    and variance 1 - `EPSILON` does not change them: see `_NO_STATISTICS`. A training snapshot has
    the same names but uses the statistics of each batch; the authors' scripts fold them. The folded
    norms do not describe the features: in training with norm.kind "batch", they would divide by the
    true deviations of a batch, which makes the weights useless. Fine-tune with norm.kind "frozen".
    """
    return [
        Entry(f"{layer}/0", f"params/{target}/scale", vector),
        Entry(f"{layer}/1", f"params/{target}/bias", vector),
    ]


_NO_STATISTICS = {"batch_stats/*norm*/mean": 0.0, "batch_stats/*norm*/var": 1.0 - EPSILON}


def segnet(names: Collection[str]) -> Table:
    """The table for `SegNet(classes)`, and for Bayesian SegNet, which is the same with dropout.

    Args:
      names: of the blobs in the file.
    """
    entries: list[Entry] = []
    for layer in layers_of(names):
        if layer == "conv1_1_D":
            entries += conv(layer, "classifier")
        elif match := re.fullmatch(r"conv(\d_\d)(_D)?(_bn)?", layer):
            unit, decoder, norm = match.groups()
            place = f"{unit}_D" if decoder else unit
            into = "" if decoder else "backbone/"
            if norm:
                entries += _folded_norm(layer, f"{into}norm{place}")
            else:
                layout = pixel_kernel if layer == "conv1_1" else kernel
                entries += conv(layer, f"{into}conv{place}", layout)
    return Table(
        tuple(entries),
        constants=_NO_STATISTICS,
        normalisation=_PIXELS,
        pixel_kernels=("params/backbone/conv1_1/kernel",),
    )


def segnet_basic(names: Collection[str]) -> Table:
    """The table for `SegNetBasic(classes)`, and for Bayesian SegNet-Basic.

    Its first layer normalises the pixels by their own squares, so the standard deviation must be
    that of the release, 1.

    Args:
      names: of the blobs in the file.
    """
    entries: list[Entry] = []
    for layer in layers_of(names):
        if layer == "conv_classifier":
            entries += conv(layer, "classifier")
        elif match := re.fullmatch(r"conv(_decode)?(\d)(_bn)?", layer):
            decoder, stage, norm = match.groups()
            place = f"{decoder or ''}{stage}"
            if norm:
                entries += _folded_norm(layer, f"norm{place}")
            else:
                layout = pixel_kernel if layer == "conv1" else kernel
                entries += conv(layer, f"conv{place}", layout)
    return Table(tuple(entries), constants=_NO_STATISTICS, normalisation=_PIXELS)


def deconvnet(names: Collection[str]) -> Table:
    """The table for `DeconvNet(classes)`.

    Args:
      names: of the blobs in the file.
    """
    entries: list[Entry] = []
    for layer in layers_of(names):
        target = layer.replace("-", "_")
        if layer.startswith("seg-score"):
            entries += conv(layer, "classifier")
        elif match := re.fullmatch(r"(de)?bn(\d_\d)", layer):
            place = f"deconv{match[2]}_norm" if match[1] else f"backbone/norm{match[2]}"
            entries += _folded_norm(layer, place)
        elif match := re.fullmatch(r"bn(fc[67])|(fc6-deconv)-bn", layer):
            entries += _folded_norm(layer, f"{match[1] or 'fc6_deconv'}_norm")
        elif "deconv" in layer:
            entries += conv(layer, target, transposed_kernel)
        elif layer.startswith("conv"):
            layout = pixel_kernel if layer == "conv1_1" else kernel
            entries += conv(layer, f"backbone/{layer}", layout)
        elif layer in ("fc6", "fc7"):
            entries += conv(layer, layer)
    return Table(
        tuple(entries),
        constants=_NO_STATISTICS,
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/backbone/conv1_1/kernel",),
    )
