"""Images as a program or a notebook gives them: files, arrays, and several of either."""

import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np

from jaxseg.data.readers import photos
from jaxseg.types import ArrayLike

Path = str | os.PathLike[str]
Image = Path | ArrayLike  # a file, or uint8 [H, W, 3]


def is_path(image: Any) -> TypeGuard[Path]:
    """Whether an image is given as a file."""
    return isinstance(image, str | os.PathLike)


def several(given: Any, axes: int) -> Any:
    """The elements of a list, or of an array with `axes` + 1 axes; None for a single element."""
    if is_path(given):
        return None
    found = given if isinstance(given, list | tuple) else np.asarray(given)
    return found if isinstance(found, list | tuple) or found.ndim > axes else None


def pixels(image: Any) -> np.ndarray:
    """The pixels of an image, RGB uint8 [H, W, 3]; a file is read as in training."""
    if is_path(image):
        return read(image, photos.read)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ValueError(
            "an image must be a file, or an array uint8 [H, W, 3] of red, green and blue from 0 "
            f"to 255, not {array.dtype} {list(array.shape)}"
        )
    return array


def read(path: Path, reader: Callable[[pathlib.Path], np.ndarray]) -> np.ndarray:
    """Reads a file; adds its name to the reader's error."""
    file = pathlib.Path(path)
    if not file.is_file():
        what = "is a folder: name its images" if file.is_dir() else "no such file"
        raise FileNotFoundError(f"{file}: {what}")
    try:
        return reader(file)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
