"""Name tables of the released DeepLab v1 and v2, Caffe models.

The last layers bear the name of the data set: fc8_voc12. The names of v1 are those of a re-upload
of the authors' configuration (TheLegendAli/DeepLab-Context).
"""

import re
from collections.abc import Collection

from jaxseg.weights.match import Entry, Normalisation, Table
from jaxseg.weights.tables_caffe import conv, kernel, layers_of, pixel_kernel, vgg_trunk

_PIXELS = Normalisation((122.675, 116.669, 104.008), (1.0, 1.0, 1.0))
_DIRECT = {"conv": "conv1", "fc": "conv2", "ms": "classifier"}


def deeplab_v1(names: Collection[str]) -> Table:
    """The table for `DeepLabV1`: LargeFOV, 4x4 and 7x7, with direct paths (MSc) or without.

    All have the same names. Set the model to the file's: kernel and rate of fc6, its features,
    average_pool and the backbone's poolings; rates and poolings are no parameters, so nothing here
    would notice.

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


def _table(entries: list[Entry], *pixel_layers: str) -> Table:
    return Table(
        tuple(entries),
        normalisation=_PIXELS,
        pixel_kernels=tuple(f"params/{layer}/kernel" for layer in pixel_layers),
    )
