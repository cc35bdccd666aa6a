"""Reads NumPy's .npz files, which are zip archives, safely."""

import pathlib
import zipfile

import numpy as np

_TIMES = 100  # the best compression of counts and probabilities
_SLACK = 256 << 20  # bytes


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name. Python objects are not unpickled.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file is not an .npz file, is damaged, contains Python objects, or expands to
        far more than its size; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unfolded = sum(info.file_size for info in archive.infolist())
        size = path.stat().st_size
        if unfolded > _TIMES * size + _SLACK:
            raise ValueError(f"it expands to {unfolded:,} bytes, but its size is {size:,}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise nearly any type
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path} is not a readable .npz file: {reason}") from error
