"""Writes .caffemodel files as Caffe would, for tests."""

import numpy as np

from jaxseg.weights.readers.caffemodel_file import NetParameter

LEGACY = ("num", "channels", "height", "width")


def message(layers, *, version=2, legacy=False, double=False, shared=None, name="net"):
    """A NetParameter.

    Args:
      layers: name -> blobs, or pairs of them, if names repeat.
      version: 2 writes `layer`, 1 the older `layers`.
      legacy: sizes as num, channels, height and width instead of a shape.
      double: values as double_data.
      shared: layer -> the names of its blobs that other layers share.
    """
    net = NetParameter(name=name)
    for layer, blobs in layers.items() if isinstance(layers, dict) else layers:
        added = (net.layer if version == 2 else net.layers).add(name=layer)
        for key in (shared or {}).get(layer, ()):
            if version == 2:
                added.param.add(name=key)
            else:
                added.param.append(key)
        for array in blobs:
            blob = added.blobs.add()
            if legacy:
                sizes = (1,) * (4 - np.ndim(array)) + np.shape(array)
                for field, size in zip(LEGACY, sizes, strict=True):
                    setattr(blob, field, size)
            else:
                blob.shape.SetInParent()
                blob.shape.dim.extend(np.shape(array))
            content = np.asarray(array, "<f8" if double else "<f4").tobytes()
            (blob.double_data if double else blob.data).append(content)
    return net


def write(path, layers, **options):
    """`message(layers, ...)` as a file."""
    path.write_bytes(message(layers, **options).SerializeToString())
