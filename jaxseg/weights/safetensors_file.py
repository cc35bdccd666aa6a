"""Tensors of a .safetensors file, by name."""

import pathlib

import numpy as np
import safetensors
import safetensors.numpy


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors file by name.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is truncated or of another format; the message names it.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from error
