"""The detections of an evaluation after COCO's matching, as arrays in RUN/eval/TAG.npz.

Intervals over images and differences between runs are computed from them (`metrics.matching`).
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxseg import whole_file
from jaxseg.workdir import files, npz_file

KINDS = ("bbox", "segm")
# Name -> dtype kinds, and how often it counts images (i), categories (k), detections (d) and
# thresholds (t).
_ARRAYS = {
    "images": ("iu", "i"),
    "truth": ("iu", "ik"),
    "image": ("iu", "d"),
    "category": ("iu", "d"),
    "score": ("f", "d"),
    "matched": ("b", "dt"),
    "ignored": ("b", "dt"),
}


def write(path: pathlib.Path, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes an .npz file atomically.

    Args:
      path: of the file.
      arrays: "bbox" or "segm" -> the fields of `matching.Matches` by name.
    """
    every: dict[str, Any] = {
        f"{kind}.{name}": array for kind, of in arrays.items() for name, array in of.items()
    }
    with whole_file.writing(path) as file:
        np.savez_compressed(file, **every)


def read(path: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    """The inverse of `write`.

    Raises:
      FileNotFoundError: no such file.
      OSError: it cannot be read.
      ValueError: it was not written by `write`, or is damaged; the message names it.
    """
    files.read_bytes(path)  # for the system's error message, and to reject pipes
    what = f"{path} holds no matches of detections"
    try:
        found = npz_file.read(path)
    except ValueError as error:
        raise ValueError(f"{what} ({error})") from error
    kinds = [kind for kind in KINDS if f"{kind}.images" in found]
    if not kinds:
        raise ValueError(f"{what}: bbox.images is missing")
    return {kind: _of_kind(found, kind, what) for kind in kinds}


def _of_kind(found: Mapping[str, np.ndarray], kind: str, what: str) -> dict[str, np.ndarray]:
    sizes: dict[str, int] = {}
    arrays = {}
    for name, (types, axes) in _ARRAYS.items():
        array = found.get(f"{kind}.{name}")
        if array is None:
            raise ValueError(f"{what}: {kind}.{name} is missing")
        if array.dtype.kind not in types or array.ndim != len(axes):
            raise ValueError(f"{what}: {kind}.{name} has another type or shape")
        if any(sizes.setdefault(axis, n) != n for axis, n in zip(axes, array.shape, strict=True)):
            raise ValueError(f"{what}: its arrays do not fit together")
        arrays[name] = array
    for name, axis in (("image", "i"), ("category", "k")):
        part = arrays[name]
        if len(part) and (part.min() < 0 or part.max() >= sizes[axis]):
            raise ValueError(f"{what}: {kind}.{name} is not below {sizes[axis]}")
    if not np.isfinite(arrays["score"]).all() or (arrays["truth"] < 0).any() or not sizes["t"]:
        raise ValueError(f"{what}: its numbers are not those of an evaluation")
    return arrays
