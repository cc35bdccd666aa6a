"""Reads the constant tensors of a .tflite model by name, without an interpreter."""

import pathlib

import numpy as np

from jaxseg.weights.readers import sizes
from jaxseg.weights.readers.pickle_machine import shown

_IDENTIFIER = b"TFL3"


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The constant float tensors of a .tflite file by name: weights and folded biases.

    Layouts are those of TensorFlow Lite: convolution [out, height, width, in], depthwise [1,
    height, width, channels]. Activations have no data and integer constants (sizes of a resize,
    axes) are part of the graph; neither is returned.

    Raises:
      FileNotFoundError: the file does not exist.
      ImportError: the package `tflite` is missing.
      ValueError: the file has another format, is truncated, has more than one graph, or is
        quantised.
    """
    path = pathlib.Path(path)
    try:
        import tflite
    except ImportError as error:
        raise ImportError(f"{path} needs the package tflite: pip install tflite") from error
    content = path.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise ValueError(f"{path}: not a TensorFlow Lite model")
    try:
        model = tflite.Model.GetRootAsModel(content, 0)
        return _float_constants(model, tflite.TensorType, sizes.Budget(path))
    except _Refused as error:
        raise ValueError(f"{path}: {shown(str(error), 400)}") from None
    except Exception as error:  # flatbuffers does not check offsets
        raise ValueError(f"{path}: truncated or damaged: {shown(str(error), 200)}") from error


class _Refused(ValueError):
    """The file is valid but not supported."""


def _float_constants(model, types, budget: sizes.Budget) -> dict[str, np.ndarray]:
    if model.SubgraphsLength() != 1:
        raise _Refused(f"{model.SubgraphsLength()} graphs; only one is read")
    dtypes: dict[int, np.dtype] = {types.FLOAT32: np.dtype("<f4"), types.FLOAT16: np.dtype("<f2")}
    integers = {types.INT32, types.INT64}
    graph = model.Subgraphs(0)
    found: dict[str, np.ndarray] = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength() == 0 or tensor.Type() in integers:
            continue
        name = tensor.Name()[: sizes.LONGEST_NAME].decode()
        if tensor.Type() not in dtypes:
            raise _Refused(f"{name} is quantised; only float models are read")
        if name in found:
            raise _Refused(f"two tensors are called {name}")
        shape = tuple(int(n) for n in tensor.ShapeAsNumpy())
        budget.take(buffer.DataLength(), name)
        values = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtypes[tensor.Type()])
        if min(shape, default=1) < 0 or values.size != np.prod(shape, dtype=object):
            raise _Refused(f"{name} of shape {shape} has {values.size} values")
        found[name] = values.reshape(shape)
    return found
