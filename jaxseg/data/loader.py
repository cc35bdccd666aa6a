"""Turns prepared sets into batches of uint8, for training and for evaluation.

Training is one endless stream of examples, a pure function of (seed, position): position p is
example p % N of epoch p // N, every epoch is shuffled, and random numbers depend on the position;
if classes are balanced, they also choose the example (`class_sampling.Plan`). Batch i is positions
i B ... i B + B - 1, of which each process reads a contiguous share, in the order of the processes;
`mesh.put_batch` joins them. So neither the number of processes nor of threads changes what a step
sees, or in which order: random numbers that a step draws over the batch, as for dropout, meet the
same examples. The state is the position.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import grain
import numpy as np

from jaxseg.data.augment.transforms import Transform
from jaxseg.data.augment.weight_map import boundary_weights
from jaxseg.data.class_sampling import Plan
from jaxseg.data.frames import Group, Size, share_of, shares
from jaxseg.data.padding import colour_of, pad_to
from jaxseg.data.source import Source, open_split
from jaxseg.ignore import IGNORE

__all__ = ["Source", "TrainIterator", "eval_batches", "open_split", "train_iterator"]


def _options(threads: int, prefetch: int) -> grain.ReadOptions:
    cv2.setNumThreads(0)  # the reader has threads; OpenCV's would compete with them
    return grain.ReadOptions(
        num_threads=threads, prefetch_buffer_size=max(threads, prefetch) if threads else 0
    )


def _read(stream: grain.MapDataset, batch_size: int, threads: int, prefetch: int) -> Iterator[dict]:
    return iter(stream.to_iter_dataset(_options(threads, prefetch)).batch(batch_size))


def examples_of(stream: grain.MapDataset, threads: int, prefetch: int) -> Iterator[dict]:
    """The elements of a stream one by one, read ahead by threads."""
    return iter(stream.to_iter_dataset(_options(threads, prefetch)))


class _Shares:
    """The elements p B / P ... (p + 1) B / P - 1 of each batch of B elements of a stream."""

    def __init__(
        self, stream: grain.MapDataset, start: int, batch_size: int, process: int, share: int
    ) -> None:
        self._stream, self._start, self._batch_size = stream, start, batch_size
        self._first, self._share = process * share, share

    def __len__(self) -> int:
        return (len(self._stream) - self._start) // self._batch_size * self._share

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        batch, place = divmod(index, self._share)
        return self._stream[self._start + batch * self._batch_size + self._first + place]


class TrainIterator:
    """The endless training stream of one process; `get_state` and `set_state` resume it exactly."""

    def __init__(
        self,
        stream: grain.MapDataset,
        *,
        batch_size: int,
        threads: int,
        prefetch: int,
        process_index: int,
        process_count: int,
    ) -> None:
        self._stream = stream
        self._share = share_of(batch_size, process_index, process_count)
        self._batch_size = batch_size
        self._threads, self._prefetch = threads, prefetch
        self._process_index = process_index
        self._position = 0
        self._batches: Iterator[dict] | None = None

    def __iter__(self) -> "TrainIterator":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        if self._batches is None:
            mine = _Shares(
                self._stream, self._position, self._batch_size, self._process_index, self._share
            )
            stream = grain.MapDataset.source(mine)
            self._batches = _read(stream, self._share, self._threads, self._prefetch)
        batch = next(self._batches)
        self._position += self._batch_size
        return batch

    def get_state(self) -> dict[str, int]:
        """{"position": examples that all processes together have delivered}; the same on each."""
        return {"position": self._position}

    def set_state(self, state: Mapping[str, int]) -> None:
        """Continues after `state`, which may be from another number of threads or processes.

        Raises:
          ValueError: it is not a state of this iterator.
        """
        position = state.get("position")
        if not isinstance(position, int) or position < 0:
            raise ValueError(f"{dict(state)} is not the state of a training iterator")
        self._position = position
        self._batches = None


def train_stream(
    source: Sequence | Source, transform: Transform, seed: int, plan: Plan | None = None
) -> grain.MapDataset:
    """The endless stream, in which element p is a pure function of (seed, p).

    Elements are "image" and "label" and, if `transform.boundary` is set, "weight" float32 [h,
    w].
    """
    if len(source) == 0:
        raise ValueError(f"{source!r} is empty")

    plan = plan or Plan(np.arange(len(source)))

    def drawn(_: int, rng: np.random.Generator) -> int:
        examples = plan.classes[rng.integers(len(plan.classes))]
        return examples[rng.integers(len(examples))]

    def view(index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        example = source[index]
        image, label = transform.apply(rng, example["image"], example["label"])
        example = {"image": image, "label": label}
        if transform.boundary:
            example["weight"] = boundary_weights(
                label, weight=transform.boundary, sigma=transform.boundary_sigma
            )
        return example

    indices = grain.MapDataset.source(plan.epoch).seed(seed)
    chosen = indices.repeat().random_map(drawn) if plan.classes else indices.shuffle().repeat()
    return chosen.random_map(view)


def train_iterator(
    source: Sequence | Source,
    *,
    batch_size: int,
    transform: Transform,
    seed: int,
    threads: int,
    prefetch: int,
    plan: Plan | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> TrainIterator:
    """An endless iterator of batches {"image": uint8 [b, h, w, 3], "label": uint8 [b, h, w]}.

    Args:
      source: examples by index, as `open_split` gives them.
      batch_size: of all processes together; b is this process's share.
      transform: of each view; its crop_size is (h, w).
      seed: of order and transforms, 0 to 2^32 - 1.
      threads: number of reader threads; 0: read in the caller's thread.
      prefetch: number of examples read ahead.
      plan: from `class_sampling.make_plan`; None: every example once per epoch.
      process_index: index of this process.
      process_count: the number of processes.

    Raises:
      ValueError: the batch cannot be shared equally, or the source is empty.
    """
    return TrainIterator(
        train_stream(source, transform, seed, plan),
        batch_size=batch_size,
        threads=threads,
        prefetch=prefetch,
        process_index=process_index,
        process_count=process_count,
    )


def eval_batches(
    source: Sequence | Source,
    groups: Sequence[Group],
    *,
    pad_value: Sequence[float],
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 8,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields every example of the groups once over all processes, padded below and to the right.

    Args:
      source: examples by index, as `open_split` gives them.
      groups: from `frames.groups`; their batches come one group after another, and the last batch
        of each is filled up.
      pad_value: RGB in uint8 units.
      process_index: index of this process.
      process_count: number of processes; each gets the same number of batches, with b examples of
        each batch of b * process_count.
      threads: number of reader threads; 0: read in the caller's thread.

    Yields:
      {"image": uint8 [b, h, w, 3], "label": uint8 [b, h, w], "index": int64 [b], "height": int32
      [b], "width": int32 [b]} with (h, w) the group's frame; index -1 is filler, whose label is all
      255 and whose size is 0.

    Raises:
      ValueError: a batch cannot be divided equally, or an image is larger than its frame.
    """
    places, sizes = shares(groups, process_index, process_count)
    fillers = {group.frame: _filler(group.frame, pad_value) for group in groups}

    def example(place: int) -> dict[str, Any]:
        index, frame = places[place]
        if index < 0:
            return fillers[frame]
        found = source[index]
        height, width = found["label"].shape
        try:
            image, label = pad_to(found["image"], found["label"], frame, pad_value)
        except ValueError as error:
            raise ValueError(f"{found['name']}: {error}") from None
        return {
            "image": image,
            "label": label,
            "index": np.int64(index),
            "height": np.int32(height),
            "width": np.int32(width),
        }

    ahead = 2 * max(sizes, default=1)
    examples = examples_of(grain.MapDataset.range(len(places)).map(example), threads, ahead)
    for size in sizes:
        read = [next(examples) for _ in range(size)]
        yield {name: np.stack([each[name] for each in read]) for name in read[0]}


def _filler(frame: Size, pad_value: Sequence[float]) -> dict[str, Any]:
    return {
        "image": np.full((*frame, 3), colour_of(pad_value), np.uint8),
        "label": np.full(frame, IGNORE, np.uint8),
        "index": np.int64(-1),
        "height": np.int32(0),
        "width": np.int32(0),
    }
