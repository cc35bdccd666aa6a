"""Reads the blobs of a .caffemodel by name, without Caffe and without its .proto file.

A .caffemodel is a `NetParameter` message of Protocol Buffers. The few fields that contain weights
are declared here, with Caffe's field numbers; all others are skipped.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from jaxseg.weights.readers import sizes
from jaxseg.weights.readers.pickle_machine import shown

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {"int": _FIELD.TYPE_INT64, "text": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES}
# The first byte of a file is the tag of its first field: a name, layers, inputs or layer.
STARTS = (b"\x0a", b"\x12", b"\x1a", b"\x20", b"\xa2")
_LEGACY = ("num", "channels", "height", "width")  # of a blob, in old files without a shape

# Message -> field -> number, type or message, whether it repeats. Packed numbers have the wire
# format of bytes; declared as bytes, a hundred million of them are read without a loop.
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "BlobShape": {"dim": (1, "int", True)},
    "BlobProto": {
        **{name: (number, "int", False) for number, name in enumerate(_LEGACY, start=1)},
        "data": (5, "bytes", True),  # packed float
        "shape": (7, "BlobShape", False),
        "double_data": (8, "bytes", True),  # packed double
    },
    "ParamSpec": {"name": (1, "text", False)},  # blobs of the same name are one blob
    "LayerParameter": {
        "name": (1, "text", False),
        "param": (6, "ParamSpec", True),
        "blobs": (7, "BlobProto", True),
    },
    "V1LayerParameter": {  # as written until 2014
        "name": (4, "text", False),
        "blobs": (6, "BlobProto", True),
        "param": (1001, "text", True),
    },
    "NetParameter": {
        "name": (1, "text", False),
        "layers": (2, "V1LayerParameter", True),
        "layer": (100, "LayerParameter", True),
    },
}


def _net_parameter() -> type[Any]:
    file = descriptor_pb2.FileDescriptorProto(name="caffe_weights.proto", package="caffe")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeats) in fields.items():
            added = message.field.add(
                name=field,
                number=number,
                label=_FIELD.LABEL_REPEATED if repeats else _FIELD.LABEL_OPTIONAL,
            )
            if kind in _TYPES:
                added.type = _TYPES[kind]
            else:
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".caffe.{kind}"
            if name == "BlobShape":
                added.options.packed = True
    pool = (
        descriptor_pool.DescriptorPool()
    )  # separate from that of a real Caffe in the same process
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


NetParameter = _net_parameter()


def _array(blob: Any, name: str) -> np.ndarray:
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim[: sizes.MOST_DIMENSIONS + 1])
    elif any(blob.HasField(field) for field in _LEGACY):
        shape = tuple(getattr(blob, field) for field in _LEGACY)
    else:
        raise ValueError(f"{name} has no shape")
    chunks, dtype = (blob.data, "<f4") if blob.data else (blob.double_data, "<f8")
    content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    size = int(np.prod(shape, dtype=object))
    if len(shape) > sizes.MOST_DIMENSIONS:
        raise ValueError(f"{name} has more than {sizes.MOST_DIMENSIONS} dimensions")
    if min(shape, default=1) < 0 or len(content) != size * np.dtype(dtype).itemsize:
        raise ValueError(f"{name} of shape {shape} has {len(content)} bytes of {dtype}")
    return np.frombuffer(content, dtype).reshape(shape)


def _layers(net: Any) -> Iterator[tuple[str, Sequence[str], Sequence[Any]]]:
    """Name, names of shared blobs, and blobs of each layer that has blobs."""
    for layer in net.layers:
        if layer.blobs:
            yield layer.name, layer.param, layer.blobs
    for layer in net.layer:
        if layer.blobs:
            yield layer.name, [spec.name for spec in layer.param], layer.blobs


def _blobs(net: Any) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    owners: dict[str, str] = {}  # shared name -> the first blob
    for layer, shared, blobs in _layers(net):
        for index, blob in enumerate(blobs):
            name = f"{layer}/{index}"
            if name in found:
                raise ValueError(f"two layers are called {layer}")
            array = _array(blob, name)
            key = shared[index] if index < len(shared) else ""
            owner = owners.setdefault(key, name) if key else name
            if owner == name:
                found[name] = array
            elif not np.array_equal(found[owner], array):
                raise ValueError(f"{name} and {owner} are shared as {key} but differ")
    return found


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The blobs of a .caffemodel: "conv1_1/0" and "conv1_1/1" are conv1_1's weights and bias.

    Shapes and layouts are those of the file: convolutions [out, in, kh, kw], transposed ones [in,
    out, kh, kw], both over BGR; blobs of files older than 2015 have four axes, (1, 1, 1, out) for a
    bias. If several layers share a blob, that of the first layer is returned.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file has another format or is truncated, the size of a blob does not match its
        shape, or layers have the same name. A file that is truncated between two layers is valid
        but has fewer layers, which the name table will detect.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        found = _blobs(NetParameter.FromString(path.read_bytes()))
    except DecodeError as error:
        raise ValueError(f"{path}: truncated or not a Caffe model: {error}") from error
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {shown(str(error), 400)}") from error
    if not found:
        raise ValueError(f"{path}: not a Caffe model with weights")
    return found
