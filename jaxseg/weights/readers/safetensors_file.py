"""Reads the tensors of a .safetensors file by name."""

import pathlib

import numpy as np
import safetensors.numpy

from jaxseg.weights.readers.pickle_machine import shown


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors file by name.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is truncated or of another format; the message names it.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return safetensors.numpy.load_file(path)
    except Exception as error:  # from the library, and from NumPy for unsupported types
        reason = f"{type(error).__name__}: {shown(str(error))}"
        raise ValueError(f"{path}: not a readable safetensors file: {reason}") from error
