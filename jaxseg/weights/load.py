"""Loads a weight file of a supported format into a variable tree."""

import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights import match
from jaxseg.weights.readers import (
    caffemodel_file,
    h5_file,
    numpy_pickle_file,
    safetensors_file,
    tf_checkpoint_file,
    tflite_file,
    torch_file,
)
from jaxseg.weights.tables import (
    caffe_networks,
    coco_categories,
    detectron2,
    keras,
    mmdetection,
    tf,
    tflite,
    torch_classifiers,
    torchvision,
    torchvision_detection,
)

KINDS = ".pth .pkl .safetensors .tflite .h5 .caffemodel .index"
_TORCH_BEFORE_1_6 = b"\x8a\n"  # a long number, with which its pickle begins


def is_file(path: str | pathlib.Path) -> bool:
    """Whether this is a weight file, rather than the folder of a run."""
    return tf_checkpoint_file.prefix_of(path) is not None or pathlib.Path(path).is_file()


def files_of(path: str | pathlib.Path) -> list[pathlib.Path]:
    """The files that a weight file consists of.

    Raises:
      FileNotFoundError: the file does not exist.
    """
    if not is_file(path):
        raise FileNotFoundError(f"{path}: no such file")
    prefix = tf_checkpoint_file.prefix_of(path)
    return tf_checkpoint_file.files_of(prefix) if prefix else [pathlib.Path(path)]


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a weight file by name; the format is detected from the content.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the format is not supported; the message names the file.
    """
    path = pathlib.Path(path)
    if not is_file(path):
        raise FileNotFoundError(f"{path}: no such file")
    if prefix := tf_checkpoint_file.prefix_of(path):
        return tf_checkpoint_file.read(prefix)
    with path.open("rb") as file:
        start = file.read(9)
    if start[:1] == b"\x80" and start[2:4] != _TORCH_BEFORE_1_6:
        return numpy_pickle_file.read(path)
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return torch_file.read(path)
    if start[4:8] == b"TFL3":
        return tflite_file.read(path)
    if start[:4] == b"\x89HDF":
        return h5_file.read(path)
    if start[8:9] == b"{":
        return safetensors_file.read(path)
    if start[:1] in caffemodel_file.STARTS:
        return caffemodel_file.read(path)
    if tf_checkpoint_file.is_table(path):
        raise ValueError(
            f"{path}: a TensorFlow checkpoint without its .index file: it has the format from "
            f"before 1.0, or parts are missing; {tf_checkpoint_file.RESAVE}"
        )
    raise ValueError(f"{path}: not a weight file in a supported format ({KINDS})")


def table_of(names: Collection[str]) -> match.Table:
    """The name table for a file that holds these tensors.

    Raises:
      ValueError: no known network has such names.
    """
    if tf.is_one(names):
        return tf.deeplab(names)
    if "MobilenetV2/Conv/weights" in names and "logits/semantic/weights" in names:
        return tflite.deeplab_v3_mobilenet_v2()
    if any(name.endswith("bn_Conv1/gamma:0") for name in names):
        return keras.mobilenet_v2(names)
    if detectron2.is_one(names):
        return detectron2.detector(names)
    if mmdetection.is_one(names):
        return mmdetection.detector(names)
    if torchvision_detection.is_one(names):
        return torchvision_detection.detector(names)
    if "backbone.layer1.0.conv1.weight" in names and "classifier.0.weight" in names:
        return torchvision.torchvision_fcn(names)
    if "backbone.layer1.0.conv1.weight" in names and "classifier.4.weight" in names:
        return torchvision.torchvision_deeplab_v3(names)
    if "encoder.layer1.0.conv1.weight" in names and "decoder.block1.0.weight" in names:
        return torchvision.smp_deeplab_v3_plus(names)
    if "encoder.layer1.0.conv1.weight" in names and "decoder.conv.weight" in names:
        return torchvision.smp_deeplab_v3(names)
    if "encoder.layer1.0.conv1.weight" in names and "decoder.p4.skip_conv.weight" in names:
        return torchvision.smp_fpn(names)
    if "encoder.layer1.0.conv1.weight" in names and "decoder.blocks.0.conv1.0.weight" in names:
        return torchvision.smp_unet(names)
    if "layer1.0.conv1.weight" in names:
        return torchvision.resnet(names)
    if torch_classifiers.is_one(names):
        return torch_classifiers.table(names)
    if table := caffe_networks.table_of(names):
        return table
    some = ", ".join(sorted(names)[:5])
    raise ValueError(f"no name table fits its {len(names)} tensors ({some}, ...)")


def load_variables(
    path: str | pathlib.Path,
    target: Mapping[str, Any],
    table: match.Table | None = None,
    *,
    pixels: Normalisation | None = None,
) -> dict[str, Any]:
    """Loads all variables of a model from a weight file.

    Args:
      path: of the file.
      target: the model's variables or their shapes: `jax.eval_shape(model.init, ...)`.
      table: the name table; None: chosen by the names in the file.
      pixels: the normalisation of the model's input; see `match.fill`.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it cannot be read, is of an unknown network, or does not fit the model.
    """
    source = read(path)
    try:
        table = table or coco_categories.of_used(source, target, table_of(source))
        return match.fill(source, target, table, file=str(path), pixels=pixels)
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {error}") from error
