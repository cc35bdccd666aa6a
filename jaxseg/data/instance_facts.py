"""Image sizes and object counts of an instance set, which decide the order of training.

They are read once and stored beside the prepared set, whose folder is named after its version and
replaced when the set is prepared again.
"""

import concurrent.futures
import contextlib
import dataclasses
import os

import numpy as np
from pycocotools import mask as rle

from jaxseg import whole_file
from jaxseg.data.instances import Objects
from jaxseg.data.source import InstanceSource
from jaxseg.progress import over


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts about N examples.

    Attributes:
      sizes: (height, width) of each image, int32 [N, 2].
      objects: number of objects that training can use, int32 [N]; see `usable`.
    """

    sizes: np.ndarray
    objects: np.ndarray


def usable(objects: Objects) -> np.ndarray:
    """Whether training can use each object, bool [G]: no crowds, no empty boxes or masks."""
    width, height = (objects.boxes[:, 2:] - objects.boxes[:, :2]).T
    pixels = [rle.area(objects.encoded(i)) for i in range(len(objects))]
    return ~objects.crowd & (width > 0) & (height > 0) & (np.array(pixels, np.int64) > 0)


def facts_of(source: InstanceSource) -> Facts:
    """The facts of a split.

    Raises:
      ValueError: the objects of an example cannot be read; the example is named.
    """
    path = source.folder / f"objects_{source.split}.npy"
    shape = (len(source), 3)
    with contextlib.suppress(OSError, ValueError, EOFError, MemoryError):  # absent, or damaged
        kept = np.load(path)
        if kept.dtype == np.int32 and kept.shape == shape:
            return Facts(kept[:, :2], kept[:, 2])

    def row(index: int) -> tuple[int, int, int]:
        objects = source.objects(index)
        return *objects.size, int(usable(objects).sum())

    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        tasks = [pool.submit(row, index) for index in range(len(source))]
        bar = over(tasks, f"objects of {source.split}")
        found = np.array([task.result() for task in bar], np.int32).reshape(shape)
    with contextlib.suppress(OSError), whole_file.writing(path) as file:
        np.save(file, found)
    return Facts(found[:, :2], found[:, 2])
