"""Reads NumPy's .npz files, which are zip archives, without the surprises of either."""

import pathlib
import zipfile

import numpy as np

_TIMES = 100  # what counts and probabilities shrink to at best
_SLACK = 256 << 20  # bytes


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name. Python objects in it are not unpickled.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not an .npz file, damaged, an array of Python objects, or a file that unfolds to
        far more than its size; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unfolded = sum(info.file_size for info in archive.infolist())
        size = path.stat().st_size
        if unfolded > _TIMES * size + _SLACK:
            raise ValueError(f"it unfolds to {unfolded:,} bytes, its size is {size:,}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise nearly any type
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path} is not a readable .npz file: {reason}") from error
