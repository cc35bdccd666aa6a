"""Reads the tensors of a .pth file (torch.save's zip format, since 1.6), without torch.

A .pth file is a zip archive with a pickle and the storages that it refers to. The pickle is read as
a description (`pickle_machine`), in which a dictionary of tensors is searched; each tensor is then
built from its storage, after checking offset, shape and strides against its size. Nothing that the
file names is looked up, called or changed. Other objects, such as settings that a trainer saves
with the weights, are left out.
"""

import logging
import pathlib
import zipfile
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from jaxseg.weights.readers import pickle_machine, sizes
from jaxseg.weights.readers.pickle_machine import Call, Named, Persistent, Refused, Table, shown

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
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_DICTIONARIES = ("collections.OrderedDict", "builtins.dict", "__builtin__.dict")
_KNOWN = (*_TENSORS, *_PARAMETERS, *_DICTIONARIES, "torch.Size")

_log = logging.getLogger(__name__)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _calls(value: Any, *functions: str) -> bool:
    """Whether a value is described as the result of one of these functions."""
    return (
        isinstance(value, Call)
        and isinstance(value.function, Named)
        and f"{value.function.module}.{value.function.name}" in functions
    )


def _first(call: Call) -> Any:
    """The first argument of a call; None if there is none."""
    return call.arguments[0] if isinstance(call.arguments, tuple) and call.arguments else None


def _counts(value: Any, what: str) -> tuple[int, ...]:
    """A shape or strides: a tuple, or a torch.Size made from one."""
    if _calls(value, "torch.Size"):
        value = _first(value)
    if not isinstance(value, tuple) or len(value) > sizes.MOST_DIMENSIONS:
        raise Refused(f"a tensor has no proper {what}")
    if not all(map(_is_count, value)):
        raise Refused(f"a tensor has {what} that are not whole numbers of at least 0")
    return value


class _Storages:
    """The storages of an archive, each read once."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, path: pathlib.Path) -> None:
        self._archive, self._folder = archive, folder
        self._left = path.stat().st_size  # overlapping entries could hold more than their file
        self._budget = sizes.Budget(path)  # tensors may repeat values
        self._entries = {info.filename: info for info in archive.infolist()}
        if len(self._entries) != len(archive.infolist()):
            raise Refused("two parts of the archive have the same name")
        self._read: dict[str, bytes] = {}
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        self._swap = f"{folder}byteorder" in self._entries and self.part("byteorder") == b"big"

    def part(self, name: str) -> bytes:
        """A stored part of the archive, with its checksum verified."""
        info = self._entries.get(f"{self._folder}{name}")
        if info is None:
            raise Refused(f"it has no part {shown(name)}, which its pickle refers to")
        if info.compress_type != zipfile.ZIP_STORED:
            raise Refused(f"its part {shown(name)} is compressed, which torch.save never does")
        if info.file_size > self._left:
            raise Refused(f"its part {shown(name)} is larger than the file")
        self._left -= info.file_size
        return self._archive.read(info)

    def _array(self, stored: Any) -> np.ndarray:
        """The storage of ("storage", type, key, device, count), as a flat array."""
        identifier = stored.identifier if isinstance(stored, Persistent) else None
        if not isinstance(identifier, tuple) or len(identifier) != 5 or identifier[0] != "storage":
            raise Refused("a tensor is built from something that is not a storage")
        _, kind, key, _, count = identifier
        if not (isinstance(kind, Named) and isinstance(key, str) and _is_count(count)):
            raise Refused(f"storage {shown(key)} is not described as one")
        if kind.module != "torch" or kind.name not in _STORAGES:
            raise Refused(f"storage {shown(key)} is of type {kind}, which is not supported")
        dtype = _STORAGES[kind.name]
        if key not in self._read:
            self._read[key] = self.part(f"data/{key}")
        content = self._read[key]
        if len(content) < count * dtype.itemsize:
            raise Refused(f"storage {shown(key)} holds {len(content)} bytes, not {count} {dtype}")
        if (key, kind.name) not in self._arrays:
            self._arrays[key, kind.name] = self._values(content, dtype)
        return self._arrays[key, kind.name][:count]

    def _values(self, content: bytes, dtype: np.dtype) -> np.ndarray:
        whole = len(content) // dtype.itemsize * dtype.itemsize
        if dtype == np.bool_:
            values = np.frombuffer(content, np.uint8) != 0
        elif self._swap:
            values = np.frombuffer(content[:whole], f">u{dtype.itemsize}")
            values = values.astype(f"<u{dtype.itemsize}").view(dtype)
        else:
            values = np.frombuffer(content[:whole], dtype)
        values.flags.writeable = False
        return values

    def tensor(self, call: Call) -> np.ndarray:
        """The strided, read-only view of a storage that `_rebuild_tensor_v2` would return."""
        if not isinstance(call.arguments, tuple) or len(call.arguments) < 4:
            raise Refused("a tensor is built from too few values")
        stored, offset, shape, strides = call.arguments[:4]
        shape, strides = _counts(shape, "shape"), _counts(strides, "strides")
        if not _is_count(offset) or len(shape) != len(strides):
            raise Refused(f"a tensor of shape {shape} has strides {strides}")
        values = self._array(stored)
        if 0 in shape:
            return np.empty(shape, values.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if last >= values.size:
            raise Refused(f"a tensor of shape {shape} reaches past the end of its storage")
        size = values.itemsize
        for n in shape:
            size *= n
        self._budget.take(size, f"a tensor of shape {shape}")
        steps = [
            step * values.itemsize if n > 1 else values.itemsize
            for n, step in zip(shape, strides, strict=True)
        ]
        return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False)


def _pairs_of(value: Any) -> list[tuple[Any, Any]] | None:
    """The (key, value) pairs of a dictionary or ordered dictionary; None for anything else."""
    if isinstance(value, Table):
        return value.pairs
    if not _calls(value, *_DICTIONARIES):
        return None
    given = _first(value)
    items = given if isinstance(given, list | tuple) else []
    return [(i[0], i[1]) for i in items if isinstance(i, list | tuple) and len(i) == 2] + (
        value.pairs
    )


def _tensor_of(value: Any) -> Call | None:
    """The call that rebuilds a tensor or the tensor of a parameter; else None."""
    for _ in range(4):
        if not _calls(value, *_PARAMETERS):
            break
        value = _first(value)
    return value if _calls(value, *_TENSORS) else None


def _tensors_of(pairs: list[tuple[Any, Any]]) -> dict[str, Call]:
    """The tensors among the values of a dictionary, by name; for duplicate keys, the last."""
    last = {str(key): value for key, value in pairs if isinstance(key, str | int)}
    return {name: call for name, value in last.items() if (call := _tensor_of(value))}


def _keys(pairs: list[tuple[Any, Any]]) -> str:
    return ", ".join(dict.fromkeys(shown(key) for key, _ in pairs[:50])) or "nothing"


def _state_dict(tree: Any, unknown: list[Named], inside: str) -> list[tuple[Any, Any]]:
    """The only dictionary of tensors in the saved object: itself or under one of its keys."""
    pairs = _pairs_of(tree)
    asks = f"it uses {unknown[0]}, which is not part of a tensor; {_RESAVE}" if unknown else ""
    if pairs is None:
        raise Refused(asks or f"it holds {shown(tree)}, not a dictionary of tensors")
    if inside:
        found = [part for key, value in pairs if key == inside and (part := _pairs_of(value))]
        if not found:
            raise Refused(f"it has no dictionary {inside!r}; it has {_keys(pairs)}")
        return found[-1]
    if _tensors_of(pairs):
        return pairs
    parts = [(key, part) for key, value in pairs if (part := _pairs_of(value))]
    within = [(key, part) for key, part in parts if _tensors_of(part)]
    if not within and asks:
        raise Refused(asks)
    if len(within) != 1:
        raise Refused(
            f"which of its parts holds the weights is unclear ({_keys(within or pairs)}): "
            "give inside="
        )
    return within[0][1]


def _refuse_other_tensors(pairs: list[tuple[Any, Any]]) -> None:
    """Raises on tensors of unsupported types, instead of leaving them out."""
    for key, value in pairs:
        function = value.function if isinstance(value, Call) else None
        rebuilt = isinstance(function, Named) and function.name.startswith("_rebuild")
        if rebuilt and _tensor_of(value) is None:
            raise Refused(
                f"{shown(key)} is created by {function}, which is not supported; {_RESAVE}"
            )


def _kind_of_non_zip(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"PK":
        return "it is a zip file without its end: the file is truncated, copy it again"
    if start[:1] == b"\x80":
        return f"it has the format of torch before 1.6, which is not supported; {_RESAVE}"
    return "it is not a file of torch.save"


def read(path: str | pathlib.Path, *, inside: str = "") -> dict[str, np.ndarray]:
    """The tensors of a .pth file by name, as read-only arrays.

    Args:
      path: of a zip-format file with a state_dict, or a dictionary that contains one.
      inside: the key of the state_dict, if there are several.

    Returns: name -> array; views of the same storage share memory; other values are left out.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it has another format, is truncated or damaged (by its checksum), or has no
        dictionary of tensors that can be read; the message names the file and the reason.
    """
    path = pathlib.Path(path)
    with path.open("rb") as file:
        return _read(path, file, inside)


def _read(path: pathlib.Path, file: BinaryIO, inside: str) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if n.rsplit("/", 1)[-1] == "data.pkl"]
            if len(names) != 1:
                raise Refused("it is a zip file but holds no data.pkl: not a file of torch.save")
            folder = names[0].removesuffix("data.pkl")
            storages = _Storages(archive, folder, path)
            tree, asked = pickle_machine.describe(storages.part("data.pkl"))
            unknown = [name for name in asked if not _is_known(name)]
            pairs = _state_dict(tree, unknown, inside)
            _refuse_other_tensors(pairs)
            found = {k: storages.tensor(call) for k, call in _tensors_of(pairs).items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except zipfile.BadZipFile as error:
        damaged = "CRC" in str(error)
        reason = "a part of it is damaged (checksum)" if damaged else _kind_of_non_zip(path)
        raise ValueError(f"{path}: {reason}") from None
    except Exception as error:  # zipfile raises nearly any type for a damaged archive
        reason = f"{type(error).__name__}: {shown(str(error))}"
        raise ValueError(f"{path}: it cannot be read: {reason}") from error
    if unknown:
        _log.warning(
            "%s: objects other than tensors were left out, and none of their code was executed: %s",
            path,
            ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else ""),
        )
    return found


def _is_known(name: Named) -> bool:
    known = f"{name.module}.{name.name}" in _KNOWN
    return known or (name.module == "torch" and name.name in _STORAGES)
