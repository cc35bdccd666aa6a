"""Damaged weight files of each format, read and loaded into a network."""

import json
import pathlib
import random
import struct
from typing import Any

import flatbuffers
import h5py
import numpy as np
import tflite

from experiments.robustness.fuzz import harm
from jaxseg.weights import load
from tests.weights import caffemodel, pickles, tf_bundle

_LARGEST = 100 << 20  # limit of the bytes returned for a file of a few kilobytes


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"conv1.weight": (4, 3, 3, 3), "conv1.bias": (4,), "layer1.0.conv1.weight": (4, 4)}
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def _torch(path: pathlib.Path) -> None:
    items, storages = {}, {}
    for key, (name, array) in enumerate(_arrays().items()):
        strides = tuple(stride // 4 for stride in array.strides)
        items[name] = pickles.tensor("FloatStorage", str(key), array.size, 0, array.shape, strides)
        storages[str(key)] = array
    pickles.write(path, pickles.dict_(items), storages)


def _safetensors(path: pathlib.Path) -> None:
    header: dict[str, Any] = {}
    data = b""
    for name, array in _arrays().items():
        ends = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": ends}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def _h5(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        for number, (name, array) in enumerate(_arrays().items()):
            extra = {"chunks": array.shape, "compression": 4} if number % 2 else {}
            file.create_dataset(f"model_weights/{name}", data=array, **extra)


def _caffe(path: pathlib.Path) -> None:
    caffemodel.write(path, {name: [array] for name, array in _arrays().items()})


def _tf(path: pathlib.Path) -> None:
    tf_bundle.write(path.with_suffix(""), _arrays())


def _tflite(path: pathlib.Path) -> None:
    builder = flatbuffers.Builder(1024)
    buffers, tensors = [], []
    for name, array in _arrays().items():
        data = builder.CreateByteVector(array.tobytes())
        tflite.BufferStart(builder)
        tflite.BufferAddData(builder, data)
        buffers.append(tflite.BufferEnd(builder))
        text, shape = (
            builder.CreateString(name),
            builder.CreateNumpyVector(np.asarray(array.shape, np.int32)),
        )
        tflite.TensorStart(builder)
        tflite.TensorAddName(builder, text)
        tflite.TensorAddShape(builder, shape)
        tflite.TensorAddType(builder, tflite.TensorType.FLOAT32)
        tflite.TensorAddBuffer(builder, len(buffers) - 1)
        tensors.append(tflite.TensorEnd(builder))

    def vector(items: list[int]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()

    held = vector(tensors)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, held)
    graph = tflite.SubGraphEnd(builder)
    graphs, kept = vector([graph]), vector(buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, kept)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


_KINDS = {
    "a.pth": _torch,
    "a.safetensors": _safetensors,
    "a.h5": _h5,
    "a.caffemodel": _caffe,
    "a.index": _tf,
    "a.tflite": _tflite,
}


class Harmed:
    """One file of each format; one at a time is damaged."""

    def __init__(self, scratch: pathlib.Path) -> None:
        self._folder = scratch / "weights"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, dict[str, bytes]] = {}
        for name, write in _KINDS.items():
            before = set(self._folder.iterdir())
            write(self._folder / name)
            new = sorted(set(self._folder.iterdir()) - before)
            self._files[name] = {path.name: path.read_bytes() for path in new}
            found = load.read(self._folder / name)
            assert len(found) == len(_arrays()), (name, sorted(found))

    def read(self, number: int) -> None:
        """Reads the file with this number.

        Raises:
          ValueError, OSError: the file is refused.
          AssertionError: the result is far larger than the file.
        """
        rng = random.Random(number)
        name = rng.choice(sorted(self._files))
        parts = self._files[name]
        harmed = rng.choice(sorted(parts))
        for part, data in parts.items():
            changed = harm.of_bytes(rng, data) if part == harmed else data
            (self._folder / part).write_bytes(changed)
        if name.endswith(".safetensors") and rng.random() < 0.4:
            (self._folder / name).write_bytes(_other_header(rng, parts[name]))
        found = load.read(self._folder / name)
        assert sum(array.nbytes for array in found.values()) < _LARGEST
        for array in found.values():
            assert isinstance(array, np.ndarray)
            array.tobytes()  # check that every byte can be read


def _other_header(rng: random.Random, data: bytes) -> bytes:
    """A .safetensors file with changed values in its header, whose length is right."""
    size = struct.unpack("<Q", data[:8])[0]
    text = harm.of_json(rng, data[8 : 8 + size].decode()).encode(errors="replace")
    return struct.pack("<Q", len(text)) + text + data[8 + size :]
