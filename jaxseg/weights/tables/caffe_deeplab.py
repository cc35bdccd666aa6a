"""Name tables of the released DeepLab v1 and v2, Caffe models.

The last layers are named after the data set: fc8_voc12. The names are from re-uploads of the
authors' configurations and from code that reads the released files (TheLegendAli/DeepLab-Context,
zbxzc35/deeplab_v2_python, isht7/pytorch-deeplab-resnet).
"""

import re
from collections.abc import Collection

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table
from jaxseg.weights.tables.caffe import (
    conv,
    kernel,
    layers_of,
    pixel_kernel,
    resnet_trunk,
    vgg_trunk,
)

_PIXELS = Normalisation((122.675, 116.669, 104.008), (1.0, 1.0, 1.0))
_DIRECT = {"conv": "conv1", "fc": "conv2", "ms": "classifier"}


def deeplab_v1(names: Collection[str]) -> Table:
    """The table for `DeepLabV1`: LargeFOV, 4x4 and 7x7, with direct paths (MSc) or without.

    All have the same names. Set the fields of the model to those of the file: kernel and rate of
    fc6, its features, average_pool and the backbone's poolings. Rates and poolings are not
    parameters, so a mismatch would not be detected.

    Args:
      names: of the blobs in the file.
    """
    entries = vgg_trunk(names) + conv("fc6", "head/fc6") + conv("fc7", "head/fc7")
    for layer in layers_of(names):
        if layer.startswith("fc8_"):
            entries += conv(layer, "classifier")
        elif match := re.fullmatch(r"(data|pool[1-4])_(conv|fc|ms)", layer):
            layout = pixel_kernel if layer == "data_conv" else kernel
            entries += conv(layer, f"direct_{match[1]}/{_DIRECT[match[2]]}", layout)
    return _table(entries, "backbone/conv1_1", "direct_data/conv1")


def deeplab_v2_vgg(names: Collection[str]) -> Table:
    """The table for `DeepLabV2` on VGG-16, ASPP-L or ASPP-S.

    LargeFOV of v2 has the same names as in v1: see `deeplab_v1`.

    Args:
      names: of the blobs in the file.
    """
    entries = vgg_trunk(names)
    for layer in layers_of(names):
        if match := re.fullmatch(r"(fc[67])_(\d)", layer):
            entries += conv(layer, f"aspp/branch{match[2]}/{match[1]}")
        elif match := re.fullmatch(r"fc8_.+_(\d)", layer):
            entries += conv(layer, f"aspp/classifier{match[1]}")
    return _table(entries, "backbone/conv1_1")


def deeplab_v2_resnet(names: Collection[str]) -> Table:
    """The table for `DeepLabV2` on its ResNet-101, of one scale or three.

    Branches are fc1_voc12_c0 .. c3. The scales 0.5 and 0.75 share all weights with the first; their
    copies in a file, which end in _res05 and _res075, are left out. Unsure: whether the single
    branch of LargeFOV is called fc1_voc12.

    Args:
      names: of the blobs in the file.
    """
    entries = resnet_trunk(names)
    for layer in layers_of(names):
        if "_res0" not in layer and (match := re.fullmatch(r"fc1_.+?(?:_c(\d))?", layer)):
            entries += conv(layer, f"aspp/classifier{int(match[1] or 0) + 1}")
    return _table(entries, "backbone/stem1/conv", ignored=("*_res05*", "*_res075*"))


def _table(entries: list[Entry], *pixel_layers: str, ignored: tuple[str, ...] = ()) -> Table:
    return Table(
        tuple(entries),
        ignored=ignored,
        normalisation=_PIXELS,
        pixel_kernels=tuple(f"params/{layer}/kernel" for layer in pixel_layers),
    )
