"""Name table of the released dilated networks (fyu/dilation), Caffe models.

The layers of the VOC release are called fc-final and ct_conv1_1; those of the others, and of files
written by the authors' train.py, are called final and ctx_conv1_1.
"""

import re
from collections.abc import Collection

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Table
from jaxseg.weights.tables.caffe import conv, is_bilinear, layers_of, vgg_trunk

# Means of the data set, R, G, B (the release's datasets/*.json).
_MEANS = {
    "voc": (116.52, 111.36, 102.93),
    "camvid": (105.41212523, 108.77808759, 110.70313206),
    "kitti": (91.34692262, 95.55136972, 96.19429688),
    "cityscapes": (73.16, 82.91, 72.39),
}
_CONTEXT = re.compile(r"ctx?_(?:conv(\d)_(\d)|(fc1)|(final))")
_UPSAMPLE = "ctx_upsample/0"


def _data_set(layers: Collection[str]) -> str | None:
    """The data set that the file was trained on; None for a front end with other names."""
    if "fc-final" in layers:
        return "voc"
    if "ctx_conv7_1" in layers:
        return "cityscapes"
    if "ctx_conv5_1" in layers:
        return "camvid"
    return "kitti" if "ctx_conv4_1" in layers else None


def dilation(names: Collection[str]) -> Table:
    """The table for `Dilation`: the front end, and context modules of any number of layers.

    Each data set has its own mean, which is identified by the layers: VOC by its names; KITTI,
    CamVid and Cityscapes by 7, 8 and 10 context layers. Without them, the data set is unknown, and
    the normalisation is left to the caller.

    Args:
      names: of the blobs in the file.
    """
    layers = layers_of(names)
    entries = vgg_trunk(names) + conv("fc6", "head/fc6") + conv("fc7", "head/fc7")
    entries += conv("fc-final" if "fc-final" in layers else "final", "classifier")
    found = {layer: match for layer in layers if (match := _CONTEXT.fullmatch(layer))}
    # conv1_1, conv1_2, conv2_1, conv3_1 .. fc1 are layers 1, 2, 3, 4 .. and the last.
    last = sum(not match[4] for match in found.values())
    for layer, match in found.items():
        stage, unit, fc1, _ = match.groups()
        if stage:
            entries += conv(layer, f"context/layer{int(stage) + int(stage > '1' or unit == '2')}")
        else:
            entries += conv(layer, f"context/layer{last}" if fc1 else "context/final")
    data_set = _data_set(layers)
    return Table(
        tuple(entries),
        ignored=(_UPSAMPLE,),
        built_in={_UPSAMPLE: is_bilinear},
        normalisation=Normalisation(_MEANS[data_set], (1.0, 1.0, 1.0)) if data_set else None,
        pixel_kernels=("params/backbone/conv1_1/kernel",),
    )
