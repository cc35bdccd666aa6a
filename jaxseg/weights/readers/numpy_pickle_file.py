"""Reads the arrays of a .pkl file, as Detectron and detectron2 release weights, without unpickling.

Such a file is a pickled dictionary of NumPy arrays, or one that contains it under "model" or
"blobs". The pickle is read as a description (`pickle_machine`): an array is what NumPy's
`_reconstruct` would return after its state is set, and is built here from that state after checking
shape and type against the number of bytes. Nothing that the file names is looked up or called.
"""

import math
import pathlib
from typing import Any

import numpy as np

from jaxseg.weights.readers import pickle_machine, sizes
from jaxseg.weights.readers.pickle_machine import Call, Named, Refused, Table, shown

_RECONSTRUCT = (
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
)
_ENCODE = ("_codecs.encode",)
_DTYPES = {
    code: np.dtype(f"<{code}") for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
}
_PARTS = ("model", "blobs", "state_dict")


def _calls(value: Any, functions: tuple[str, ...]) -> bool:
    return (
        isinstance(value, Call)
        and isinstance(value.function, Named)
        and f"{value.function.module}.{value.function.name}" in functions
        and isinstance(value.arguments, tuple)
    )


def _content(value: Any) -> bytes:
    """The bytes of an array: as such, as text of Python 2, or as text to be encoded in Latin-1."""
    if _calls(value, _ENCODE) and len(value.arguments) == 2 and value.arguments[1] == "latin1":
        value = value.arguments[0]
    elif _calls(value, ("__builtin__.bytes", "builtins.bytes")) and not value.arguments:
        value = b""  # of an array without elements
    if isinstance(value, str):
        try:
            return value.encode("latin1")
        except UnicodeEncodeError:
            raise Refused("an array holds text that is not in Latin-1") from None
    if not isinstance(value, bytes):
        raise Refused(f"an array is made from {shown(value)}, not from bytes")
    return value


def _dtype(value: Any) -> np.dtype:
    """A type of little-endian numbers."""
    if not _calls(value, ("numpy.dtype",)) or not value.arguments:
        raise Refused("an array has no type")
    name = value.arguments[0]
    name = name.decode("latin1") if isinstance(name, bytes) else name
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "|"
    if name not in _DTYPES or order not in ("<", "|", b"<", b"|"):
        raise Refused(f"an array is of type {shown(name)}, which is not supported")
    return _DTYPES[name]


def _array(call: Call, budget: sizes.Budget) -> np.ndarray:
    """The array whose state is (version, shape, type, whether columns come first, bytes)."""
    state = call.state
    if not isinstance(state, tuple) or len(state) != 5:
        raise Refused("an array has no state")
    _, shape, kind, columns_first, content = state
    if not isinstance(shape, tuple) or len(shape) > sizes.MOST_DIMENSIONS:
        raise Refused("an array has no proper shape")
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise Refused("an array has a shape that is not made of whole numbers of at least 0")
    dtype, values = _dtype(kind), _content(content)
    if len(values) != math.prod(shape) * dtype.itemsize:
        raise Refused(f"an array of shape {shape} and type {dtype} has {len(values)} bytes")
    budget.take(len(values), f"an array of shape {shape}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if columns_first else "C")


def _pairs_of(value: Any) -> list[tuple[Any, Any]] | None:
    if isinstance(value, Table):
        return value.pairs
    dictionary = ("collections.OrderedDict", "builtins.dict", "__builtin__.dict")
    return value.pairs if _calls(value, dictionary) else None


def _name(key: Any) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a .pkl file by name; other values are left out.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it is truncated, holds no dictionary of arrays, or holds an array that cannot be
        read; the message names the file and the reason.
    """
    path = pathlib.Path(path)
    try:
        tree, _ = pickle_machine.describe(path.read_bytes())
        pairs = _pairs_of(tree)
        if pairs is None:
            raise Refused(f"it holds {shown(tree)}, not a dictionary of arrays")
        for part in _PARTS:
            inner = [
                found
                for key, value in pairs
                if _name(key) == part and (found := _pairs_of(value)) is not None
            ]
            if inner:
                pairs = inner[-1]
                break
        budget = sizes.Budget(path)
        arrays = {
            _name(key): _array(value, budget) for key, value in pairs if _calls(value, _RECONSTRUCT)
        }
        if not arrays:
            keys = ", ".join(shown(_name(key)) for key, _ in pairs[:5]) or "nothing"
            raise Refused(f"it holds no arrays of NumPy, but {keys}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return arrays
