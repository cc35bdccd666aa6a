"""Reads the arrays of a Keras .h5 file by name."""

import pathlib
from collections.abc import Iterator

import h5py
import numpy as np

from jaxseg.weights.readers import sizes
from jaxseg.weights.readers.pickle_machine import shown

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}  # HDF5 would load others as plug-ins
_DEEPEST = 64  # groups within groups


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """The data sets of a file by name, without following links to other names or files."""
    seen: set[object] = set()  # a group may contain itself
    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while waiting:
        prefix, group, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ValueError(f"its groups are nested more than {_DEEPEST} deep")
        for key in sorted(group.keys(), reverse=True):
            name = f"{prefix}{key}"
            if len(name) > sizes.LONGEST_NAME:
                raise ValueError(f"the name {shown(name)} is too long")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            node = group[key]
            info = h5py.h5o.get_info(node.id)
            if (info.fileno, info.addr) in seen:
                continue
            seen.add((info.fileno, info.addr))
            if isinstance(node, h5py.Group):
                waiting.append((f"{name}/", node, depth + 1))
            elif isinstance(node, h5py.Dataset):
                yield name, node


def _array(name: str, node: h5py.Dataset, budget: sizes.Budget) -> np.ndarray | None:
    """The values of a data set; None if they are not numbers."""
    if node.is_virtual or node.external:
        raise ValueError(f"{shown(name)} points into another file, which is not followed")
    try:
        dtype = node.dtype
    except TypeError as error:
        raise ValueError(f"{shown(name)} is of a type that NumPy does not support") from error
    if dtype.kind not in "fiu" or node.shape is None:
        return None
    creation = node.id.get_create_plist()
    filters = {creation.get_filter(i)[0] for i in range(creation.get_nfilters())}
    if filters - _FILTERS.keys():
        raise ValueError(
            f"{shown(name)} is compressed by HDF5's filter {max(filters - _FILTERS.keys())}; only "
            f"{', '.join(_FILTERS.values())} are read"
        )
    budget.take(int(np.prod(node.shape, dtype=object)) * dtype.itemsize, shown(name))
    return node[()]


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by full name: "model_weights/model/Conv1/kernel:0".

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file has another format or is truncated, or an array is stored in another file
        or declares far more values than the file can hold.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    found: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path, "r") as file:
            budget = sizes.Budget(path)
            for name, node in _datasets(file):
                array = _array(name, node, budget)
                if array is not None:
                    found[name] = array
    except ValueError as error:
        raise ValueError(f"{path}: {shown(str(error), 400)}") from error
    except Exception as error:  # h5py raises nearly any type for errors of HDF5
        raise ValueError(f"{path}: truncated or not an HDF5 file: {shown(str(error))}") from error
    return dict(sorted(found.items()))
