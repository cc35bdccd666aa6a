"""Tensors of a .pth file (the zip format of torch.save since 1.6), without torch.

A pickle is a program. The reader below runs it with the names that a dictionary of tensors needs
and no others: rebuilding a tensor, an ordered dictionary, the storage types. A file that asks for
anything else is refused with the name of what it asked for; nothing of it has run by then.
"""

import io
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

_STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
_RESAVE = "save it again with torch.save(model.state_dict(), FILE)"


class _Refused(ValueError):
    """The file asks for what a dictionary of tensors does not need."""


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


class _RebuildTensor:
    """Stands for torch._utils._rebuild_tensor_v2: a strided view of a storage.

    An object without attributes, so that a pickle cannot change it (a function would let it).
    """

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> np.ndarray:
        if not isinstance(storage, np.ndarray) or not _is_count(offset):
            raise _Refused("a tensor is built from something that is no storage")
        if not (isinstance(shape, tuple) and isinstance(strides, tuple)):
            raise _Refused("a tensor has no proper shape")
        if len(shape) != len(strides) or not all(_is_count(n) for n in (*shape, *strides)):
            raise _Refused(f"a tensor of shape {shape} has strides {strides}")
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if 0 not in shape and last >= storage.size:
            raise _Refused(f"a tensor of shape {shape} reaches past the end of its storage")
        steps = [step * storage.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


class _RebuildParameter:
    """Stands for torch._utils._rebuild_parameter: a parameter is its tensor."""

    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> Any:
        return tensor


class _Size:
    """Stands for torch.Size: a tuple."""

    __slots__ = ()

    def __call__(self, numbers: Any = ()) -> tuple:
        return tuple(numbers)


_ADMITTED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    ("torch", "Size"): _Size(),
}


class _Unpickler(pickle.Unpickler):
    """Admits the names above; a storage is read from the archive when it is first named."""

    def __init__(self, archive: zipfile.ZipFile, pickle_name: str):
        if archive.getinfo(pickle_name).compress_type != zipfile.ZIP_STORED:
            raise _Refused("its pickle is compressed, which torch.save never does")
        super().__init__(io.BytesIO(archive.read(pickle_name)))  # all of it: checks its checksum
        self.archive = archive
        self.folder = pickle_name.removesuffix("data.pkl")
        self.storages: dict[str, np.ndarray] = {}
        order = f"{self.folder}byteorder"
        self.swap = order in archive.namelist() and archive.read(order).strip() == b"big"

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) not in _ADMITTED:
            raise _Refused(f"it asks for {module}.{name}, which is no part of a tensor; {_RESAVE}")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The storage that ("storage", type, key, device, count) names, as a flat array."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise _Refused(f"it refers to {pid!r}, which is no storage")
        _, dtype, key, _, count = pid
        if not (isinstance(dtype, np.dtype) and isinstance(key, str) and _is_count(count)):
            raise _Refused(f"storage {key!r} is not described as one")
        if key not in self.storages:
            info = self.archive.getinfo(f"{self.folder}data/{key}")
            if info.compress_type != zipfile.ZIP_STORED:
                raise _Refused(f"storage {key} is compressed, which torch.save never does")
            if info.file_size < count * dtype.itemsize:
                raise _Refused(f"storage {key} holds {info.file_size} bytes, not {count} {dtype}")
            stored = dtype.newbyteorder(">") if self.swap else dtype
            self.storages[key] = np.frombuffer(self.archive.read(info), stored, count)
        return self.storages[key]


def _tensors_of(tree: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    return {str(name): value for name, value in tree.items() if isinstance(value, np.ndarray)}


def _state_dict(tree: Any, inside: str) -> dict[str, np.ndarray]:
    """The one mapping of names to tensors in what was saved: itself or under one of its keys."""
    if not isinstance(tree, Mapping):
        raise _Refused(f"it holds a {type(tree).__name__}, not a dictionary of tensors")
    if inside:
        if not isinstance(tree.get(inside), Mapping):
            raise _Refused(f"it has no dictionary {inside!r}; it has {', '.join(map(str, tree))}")
        return _tensors_of(tree[inside])
    if tensors := _tensors_of(tree):
        return tensors
    within = {
        key: found
        for key, value in tree.items()
        if isinstance(value, Mapping) and (found := _tensors_of(value))
    }
    if len(within) != 1:
        names = ", ".join(map(str, within or tree)) or "nothing"
        raise _Refused(f"which of its parts holds the weights is unclear ({names}): give inside=")
    return next(iter(within.values()))


def _kind_of_non_zip(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"PK":
        return "it is a zip file without its end: the file is truncated, copy it again"
    if start[:1] == b"\x80":
        return f"it has the format of torch before 1.6, which is not read here; {_RESAVE}"
    return "it is no file of torch.save"


def read(path: str | pathlib.Path, *, inside: str = "") -> dict[str, np.ndarray]:
    """The tensors of a .pth file by name, as read-only arrays.

    Args:
      path: of a zip-format file: a state_dict, or a dictionary that holds one.
      inside: the key that holds the state_dict, where several could.

    Returns:
      name -> array; views that share a storage share memory; other values are left out.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: not this format, truncated, damaged (by its checksum), or a pickle that asks for
        a name which is no part of a tensor; the message names file and reason.
    """
    path = pathlib.Path(path)
    with path.open("rb") as file:
        return _read(path, file, inside)


def _read(path: pathlib.Path, file: BinaryIO, inside: str) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if n.rsplit("/", 1)[-1] == "data.pkl"]
            if len(names) != 1:
                raise _Refused("it is a zip file but holds no data.pkl: no file of torch.save")
            return _state_dict(_Unpickler(archive, names[0]).load(), inside)
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except zipfile.BadZipFile as error:
        damaged = "CRC" in str(error)
        reason = "a part of it is damaged (checksum)" if damaged else _kind_of_non_zip(path)
        raise ValueError(f"{path}: {reason}") from None
    except Exception as error:  # a damaged stream makes pickle and zipfile raise nearly any type
        raise ValueError(f"{path}: its pickle cannot be read: {error!r}") from error
