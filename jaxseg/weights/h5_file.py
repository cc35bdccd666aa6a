"""Arrays of a Keras .h5 file, by name."""

import pathlib

import h5py
import numpy as np


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by full name: "model_weights/model/Conv1/kernel:0".

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another format, a truncated file, or an array whose values lie in another file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    found: dict[str, np.ndarray] = {}

    def visit(name: str, node: object) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        if node.is_virtual or node.external:
            raise ValueError(f"{path}: {name} points into another file, which is not followed")
        if node.dtype.kind in "fiu":
            found[name] = node[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path}: truncated or no HDF5 file: {error}") from error
    return found
