"""The confusion matrix of each evaluated image, stored by its non-zero entries.

Intervals over images are computed from these. An image shows few of the classes, so 2000 images of
150 classes take a few megabytes, while full matrices would take 360.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from jaxseg import whole_file
from jaxseg.workdir import files, npz_file

Entries = tuple[np.ndarray, np.ndarray, np.ndarray]  # truth, prediction, count

_MOST_CLASSES = 1 << 8  # ids are uint8
_ARRAYS = ("image", "truth", "prediction", "count")


@dataclasses.dataclass(frozen=True, eq=False)
class PerImage:
    """Confusion matrices of N images as M non-zero entries, in the order of the images."""

    names: tuple[str, ...]  # of the images, [N]
    num_classes: int  # K
    image: np.ndarray  # int32 [M]: row of `names`
    truth: np.ndarray  # uint8 [M]
    prediction: np.ndarray  # uint8 [M]
    count: np.ndarray  # int64 [M], pixels

    def matrices(self) -> np.ndarray:
        """int64 [N, K, K]: rows truth, columns prediction."""
        k = self.num_classes
        result = np.zeros((len(self.names), k, k), np.int64)
        result[self.image, self.truth, self.prediction] = self.count
        return result

    def confusion(self) -> np.ndarray:
        """Their sum, int64 [K, K]."""
        result = np.zeros((self.num_classes, self.num_classes), np.int64)
        np.add.at(result, (self.truth, self.prediction), self.count)
        return result

    def class_counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(hits, truth, predicted) per image, int64 [N, K] each, like `metrics.class_counts`."""
        hits, truth, predicted = np.zeros((3, len(self.names), self.num_classes), np.int64)
        right = self.truth == self.prediction
        np.add.at(hits, (self.image[right], self.truth[right]), self.count[right])
        np.add.at(truth, (self.image, self.truth), self.count)
        np.add.at(predicted, (self.image, self.prediction), self.count)
        return hits, truth, predicted


def entries(confusion: np.ndarray) -> Entries:
    """(truth, prediction, count) of the non-zero entries of a matrix [K, K]."""
    truth, prediction = np.nonzero(confusion)
    count = confusion[truth, prediction].astype(np.int64)
    return truth.astype(np.uint8), prediction.astype(np.uint8), count


def gather(
    names: Sequence[str],
    num_classes: int,
    images: Iterable[Entries],
) -> PerImage:
    """Joins the `entries` of several images, in the order of their names."""
    kept = list(images)
    image = np.repeat(np.arange(len(kept), dtype=np.int32), [len(part[0]) for part in kept])
    none = (np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros(0, np.int64))
    columns = [np.concatenate(column) for column in zip(none, *kept, strict=True)]
    return PerImage(tuple(names), num_classes, image, *columns)


def write(path: pathlib.Path, counts: PerImage) -> None:
    """Writes an .npz file atomically; see `whole_file.writing`."""
    arrays = {name: getattr(counts, name) for name in _ARRAYS}
    with whole_file.writing(path) as file:
        np.savez_compressed(
            file, names=np.asarray(counts.names, str), num_classes=counts.num_classes, **arrays
        )


def read(path: pathlib.Path) -> PerImage:
    """The inverse of `write`.

    Raises:
      FileNotFoundError: no such file.
      OSError: it cannot be read.
      ValueError: it was not written by `write`, or is damaged; the message names it.
    """
    files.read_bytes(path)  # for the system's error message, and to reject pipes
    what = f"{path} holds no confusion matrices of images"
    try:
        found = npz_file.read(path)
    except ValueError as error:
        raise ValueError(f"{what} ({error})") from error
    if missing := [name for name in ("names", "num_classes", *_ARRAYS) if name not in found]:
        raise ValueError(f"{what}: {missing[0]} is missing")
    arrays = {name: found[name] for name in _ARRAYS}
    names, k = found["names"], found["num_classes"]
    if names.ndim != 1 or names.dtype.kind != "U" or k.shape != () or k.dtype.kind not in "iu":
        raise ValueError(
            f"{what}: its names or its number of classes are not those of an evaluation"
        )
    if any(part.ndim != 1 or part.dtype.kind not in "iu" for part in arrays.values()):
        raise ValueError(f"{what}: its entries are not lists of whole numbers")
    if len({len(part) for part in arrays.values()}) != 1 or not 0 < k <= _MOST_CLASSES:
        raise ValueError(f"{what}: its entries do not fit together")
    ends = {"image": len(names), "truth": int(k), "prediction": int(k), "count": 1 << 53}
    for name, part in arrays.items():
        if len(part) and (part.min() < 0 or part.max() >= ends[name]):
            raise ValueError(f"{path} holds entries beyond its {len(names)} images or {k} classes")
    return PerImage(tuple(map(str, names)), int(k), *(arrays[name] for name in _ARRAYS))
