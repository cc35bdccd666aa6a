"""Name table of PSPNet's released Caffe models (hszhao/PSPNet: ADE20K, VOC 2012, Cityscapes)."""

import re
from collections.abc import Collection

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table
from jaxseg.weights.tables.caffe import conv, kernel, layers_of, pixel_kernel, vector

# evaluation/eval_all.m: "the given values are used in our training stage".
_PIXELS = Normalisation((123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
_STEM = {"conv1_1_3x3_s2": "stem1", "conv1_2_3x3": "stem2", "conv1_3_3x3": "stem3"}
_UNIT = re.compile(r"conv(\d)_(\d+)_(1x1_reduce|3x3|1x1_increase|1x1_proj)")
_PARTS = {"1x1_reduce": "conv1", "3x3": "conv2", "1x1_increase": "conv3", "1x1_proj": "shortcut"}
_NORM = (
    ("params", "scale"),
    ("params", "bias"),
    ("batch_stats", "mean"),
    ("batch_stats", "var"),
)  # the four blobs of the authors' BN layer; its epsilon is 1e-5


def _head_kernel(levels: int):
    """Reverses the pyramid's levels: the file concatenates (x, 6, 3, 2, 1), ours are ascending."""

    def transform(array: np.ndarray) -> np.ndarray:
        features, *pools = np.split(
            kernel(array), [array.shape[1] * (levels + n) // (2 * levels) for n in range(levels)], 2
        )
        return np.concatenate([features, *reversed(pools)], axis=2)

    return transform


def _conv_norm(layer: str, target: str, layout=kernel) -> list[Entry]:
    entries = conv(layer, f"{target}/conv", layout, bias=False)
    for index, (collection, leaf) in enumerate(_NORM):
        entries.append(Entry(f"{layer}/bn/{index}", f"{collection}/{target}/norm/{leaf}", vector))
    return entries


def pspnet(names: Collection[str]) -> Table:
    """The table for `PSPNet(..., pspnet_backbone(50 or 101))`.

    VOC 2012 and Cityscapes were trained with the stride on conv3_1_3x3, which is the field's
    default; the prototxt of ADE20K has it on conv3_1_1x1_reduce: set stride_at="first_1x1" for it.

    The deploy files have no auxiliary head: if the .caffemodel has none either, set aux_features=0.
    Unsure: the names of the head, conv4_24 (conv4_7 in ResNet-50) and conv6_1, are those in a
      converter of the released files (meetps/pytorch-semseg); they were not seen in a prototxt.

    Args:
      names: of the blobs in the file; its bins and depth are taken from them.
    """
    layers = layers_of(names)
    units = [int(m[2]) for layer in layers if (m := _UNIT.fullmatch(layer)) and m[1] == "4"]
    modules = {f"conv4_{max(units, default=0) + 1}": "aux_conv"}
    bins = [int(m[1]) for layer in layers if (m := re.fullmatch(r"conv5_3_pool(\d+)_conv", layer))]
    modules |= {f"conv5_3_pool{n}_conv": f"pyramid/level{n}" for n in bins}
    modules |= {layer: f"backbone/{stem}" for layer, stem in _STEM.items()}

    entries: list[Entry] = []
    for layer in layers:
        if layer in modules:
            layout = pixel_kernel if layer == "conv1_1_3x3_s2" else kernel
            entries += _conv_norm(layer, modules[layer], layout)
        elif unit := _UNIT.fullmatch(layer):
            stage, number, part = unit.groups()
            target = f"backbone/stage{int(stage) - 1}_unit{number}/{_PARTS[part]}"
            entries += _conv_norm(layer, target)
    entries += _conv_norm("conv5_4", "head", _head_kernel(len(bins)))
    entries += conv("conv6", "classifier")
    if "conv6_1/0" in names:
        entries += conv("conv6_1", "aux_classifier")
    return Table(
        tuple(entries),
        normalisation=_PIXELS,
        pixel_kernels=("params/backbone/stem1/conv/kernel",),
    )
