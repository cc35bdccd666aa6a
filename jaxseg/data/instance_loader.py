"""Turns prepared instance sets into batches, for training and for evaluation.

The contract is that of `loader`: training is one endless stream, a pure function of (seed,
position); each process reads its share, and the state is the position. A canvas that is not square
is rotated for portrait images. All images of a batch have the same canvas, and the position
decides which: if S of N images are portraits, batch i holds portraits when (i + 1) S / N reaches a
new whole number. Landscape and portrait images are shuffled in epochs of their own.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from jaxseg.data import frames, instance_facts
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.frames import Group, Size
from jaxseg.data.loader import TrainIterator, examples_of
from jaxseg.data.source import InstanceSource

__all__ = ["eval_batches", "evaluated", "groups", "train_iterator", "train_stream", "view_name"]


class _ByCanvas:
    """Maps positions of the stream to examples, in whole batches of landscapes or portraits."""

    def __init__(self, lying: np.ndarray, standing: np.ndarray, batch_size: int, seed: int) -> None:
        self._kinds = [
            grain.MapDataset.source(own).seed(seed).shuffle().repeat() if len(own) else None
            for own in (lying, standing)
        ]
        self._standing, self._count = len(standing), len(lying) + len(standing)
        self._batch_size = batch_size

    def __len__(self) -> int:
        return len(next(kind for kind in self._kinds if kind is not None))

    def __getitem__(self, position: int) -> int:
        batch, place = divmod(position, self._batch_size)
        before = batch * self._standing // self._count  # batches of portraits
        stands = (batch + 1) * self._standing // self._count > before
        kind = self._kinds[stands]
        assert kind is not None
        return int(kind[(before if stands else batch - before) * self._batch_size + place])


def train_stream(
    source: InstanceSource,
    transform: InstanceTransform,
    seed: int,
    batch_size: int,
    *,
    semantic: bool = False,
) -> grain.MapDataset:
    """The endless stream; element p is a pure function of (seed, p).

    Elements are those of `InstanceTransform.apply` with an "index", int64, and with the classes of
    pixels if `semantic`. Images without an object that training can use are left out.

    Raises:
      ValueError: no image has such an object.
    """
    facts = instance_facts.facts_of(source)
    indices = np.flatnonzero(facts.objects)
    if not len(indices):
        raise ValueError(f"{source!r} has no object to train on")
    square = transform.canvas[0] == transform.canvas[1]
    stands = facts.sizes[indices, 0] > facts.sizes[indices, 1]
    if square:
        stands = np.zeros(len(indices), bool)

    def view(index: int, rng: np.random.Generator) -> dict[str, Any]:
        example = source.with_semantic(index) if semantic else source[index]
        pixels = example["semantic"] if semantic else None
        seen = transform.apply(rng, example["image"], example["objects"], pixels)
        return seen | {"index": np.int64(index)}

    chosen = _ByCanvas(indices[~stands], indices[stands], batch_size, seed)
    return grain.MapDataset.source(chosen).seed(seed).random_map(view)


def train_iterator(
    source: InstanceSource,
    *,
    batch_size: int,
    transform: InstanceTransform,
    seed: int,
    threads: int,
    prefetch: int,
    process_index: int = 0,
    process_count: int = 1,
    semantic: bool = False,
) -> TrainIterator:
    """Endless batches of the elements of `train_stream`, with a leading axis B.

    Args:
      source: as returned by `source.open_instances`.
      batch_size: of all processes together; B is this process's share.
      transform: of each view.
      seed: of order and transforms, 0 to 2^32 - 1.
      threads: readers of this process; 0: read in the caller's thread.
      prefetch: examples read ahead.
      process_index: which process this is.
      process_count: the number of processes.
      semantic: whether batches hold the classes of pixels too.

    Raises:
      ValueError: the batch cannot be shared equally, no object can be used for training, or the set
        has no classes of stuff.
    """
    return TrainIterator(
        train_stream(source, transform, seed, batch_size, semantic=semantic),
        batch_size=batch_size,
        threads=threads,
        prefetch=prefetch,
        process_index=process_index,
        process_count=process_count,
    )


def groups(
    source: InstanceSource,
    count: int,
    transform: InstanceTransform,
    *,
    batch_size: int,
    multiple: int = 1,
) -> list[Group]:
    """The first `count` images of a split by their canvas; see `frames.groups`."""
    canvases: dict[Size, list[int]] = {}
    for index, (height, width) in enumerate(instance_facts.facts_of(source).sizes[:count].tolist()):
        canvases.setdefault(transform.canvas_of(height, width), []).append(index)
    return frames.batched(canvases, batch_size, multiple)


def evaluated(
    image: np.ndarray, index: int, transforms: Sequence[InstanceTransform]
) -> dict[str, np.ndarray]:
    """One image uint8 [H, W, 3] as an element of `eval_batches`, with a view of each transform."""
    found: dict[str, np.ndarray] = {
        "original": np.array(image.shape[:2], np.int32),
        "index": np.array(index, np.int64),
    }
    for place, transform in enumerate(transforms):
        view = transform.evaluated(image)
        found |= {view_name(name, place): array for name, array in view.items()}
    return found


def view_name(name: str, place: int) -> str:
    """The name of "image" or "size" of a view in a batch; those of the first one are the plain."""
    return f"{name}_{place}" if place else name


def _filler(canvas: Size, transforms: Sequence[InstanceTransform]) -> dict[str, np.ndarray]:
    """What fills up a batch of images of a canvas."""
    found: dict[str, np.ndarray] = {
        "original": np.zeros(2, np.int32),
        "index": np.array(-1, np.int64),
    }
    for place, transform in enumerate(transforms):
        shape = (*transform.canvas_of(*canvas), 3)
        image = np.full(shape, np.rint(transform.mean), np.uint8)
        found |= {view_name("image", place): image, view_name("size", place): np.zeros(2, np.int32)}
    return found


def eval_batches(
    source: InstanceSource,
    of_canvas: Sequence[Group],
    transform: InstanceTransform,
    *,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 8,
    scales: Sequence[float] = (1.0,),
) -> Iterator[dict[str, np.ndarray]]:
    """Every image of the groups once over all processes, without its objects.

    Args:
      source: as returned by `source.open_instances`.
      of_canvas: from `groups`; the last batch of each is filled up.
      transform: decides the size of the images.
      process_index: index of this process.
      process_count: number of processes; each gets the same number of batches.
      threads: readers of this process; 0: read in the caller's thread.
      scales: at which each image is seen, as factors of the transform's sizes.

    Yields:
      {"image": uint8 [B, h, w, 3], "size": int32 [B, 2] of the resized image, "original": int32
      [B, 2] of the image in the set, "index": int64 [B]}; index -1 is filler, with sizes of 0.
      "image" and "size" are of the first scale; those of the others have names of `view_name`.

    Raises:
      ValueError: a batch cannot be shared equally.
    """
    transforms = [transform.scaled(scale) for scale in scales]
    places, sizes = frames.shares(of_canvas, process_index, process_count)

    def example(place: int) -> dict[str, Any]:
        index, canvas = places[place]
        if index < 0:
            return _filler(canvas, transforms)
        return evaluated(source[index]["image"], index, transforms)

    ahead = 2 * max(sizes, default=1)
    stream = examples_of(grain.MapDataset.range(len(places)).map(example), threads, ahead)
    for size in sizes:
        read = [next(stream) for _ in range(size)]
        yield {name: np.stack([each[name] for each in read]) for name in read[0]}
