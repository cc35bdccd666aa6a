"""The frame of an image: the size that it is padded to before the network sees it.

Evaluation, prediction, validation and pictures use the same rule. A frame depends on the image's
own size, on the protocol and on the training crops, but not on other images, so the result of an
image is the same alone, in any subset of its set, and in a folder to predict.
"""

import concurrent.futures
import dataclasses
import math
from collections.abc import Mapping, Sequence

from jaxseg.data.source import Source

STEP = 128  # sides above the crop's grow by this, so that few frames are compiled

Size = tuple[int, int]  # (height, width)


@dataclasses.dataclass(frozen=True)
class Framing:
    """The rule that determines the frame of an image.

    Attributes:
      size: `eval.size`: images that fit are padded to it; (0, 0): none.
      crop: size of the training crops.
    """

    size: Size
    crop: Size

    @property
    def least(self) -> Size:
        """The frame of the smallest images."""
        return self.size if any(self.size) else self.crop

    def of(self, image: Size) -> Size:
        """(height, width) of the frame of an image: `size` if it fits, else the crop plus STEPs.

        The grid of every output stride up to STEP then has the same offset to the image as in
        training. A network that saw only 128 x 128 predicts spurious objects along the edges of 129
        x 129.
        """
        if image[0] <= self.size[0] and image[1] <= self.size[1]:
            return self.size
        height, width = (
            crop + STEP * max(0, math.ceil((side - crop) / STEP))
            for side, crop in zip(image, self.crop, strict=True)
        )
        return height, width


@dataclasses.dataclass(frozen=True)
class Group:
    """Images that share a frame and are batched together.

    Attributes:
      frame: (height, width).
      indices: of the images in their split, ascending.
      batch_size: of all processes together.
    """

    frame: Size
    indices: Sequence[int]
    batch_size: int


def _size_of(source: Sequence | Source, index: int) -> Size:
    if isinstance(source, Source):
        return source.size(index)
    height, width = source[index]["label"].shape
    return height, width


def _frames(source: Sequence | Source, count: int, framing: Framing, threads: int) -> list[Size]:
    """The frame of each of the first `count` images, without decoding one."""
    largest = getattr(source, "largest", None)
    if largest is not None and framing.of(largest) == framing.least:
        return [framing.least] * count  # the largest sides fit, so every image does
    with concurrent.futures.ThreadPoolExecutor(max(1, threads)) as pool:
        sizes = pool.map(lambda index: _size_of(source, index), range(count))
        return [framing.of(size) for size in sizes]


def groups(
    source: Sequence | Source,
    count: int,
    framing: Framing,
    *,
    batch_size: int,
    multiple: int = 1,
    threads: int = 8,
) -> list[Group]:
    """The first `count` images of a split by their frames, smaller frames first.

    Args:
      source: the split.
      count: number of images.
      framing: the rule.
      batch_size: maximal batch size; a smaller group is a batch of its own size.
      multiple: batch sizes are rounded up to a multiple of this.
      threads: number of threads that read sizes.
    """
    indices: dict[Size, list[int]] = {}
    for index, frame in enumerate(_frames(source, count, framing, threads)):
        indices.setdefault(frame, []).append(index)
    return batched(indices, batch_size, multiple)


def batched(indices: Mapping[Size, Sequence[int]], batch_size: int, multiple: int) -> list[Group]:
    """Frames and their images as groups, smaller frames first; see `groups`."""
    return [
        Group(frame, own, math.ceil(min(batch_size, len(own)) / multiple) * multiple)
        for frame, own in sorted(indices.items())
    ]


def share_of(batch_size: int, process_index: int, process_count: int) -> int:
    """Examples of a batch that fall to one process.

    Raises:
      ValueError: the batch cannot be shared equally, or there is no such process.
    """
    if not 0 <= process_index < process_count:
        raise ValueError(f"process {process_index} of {process_count} does not exist")
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(
            f"batch_size {batch_size} cannot be shared equally by {process_count} processes"
        )
    return batch_size // process_count


def shares(
    groups: Sequence[Group], process_index: int, process_count: int
) -> tuple[list[tuple[int, Size]], list[int]]:
    """What one process reads of the batches of the groups, whose last ones are filled up.

    Returns:
      Index (-1: filler) and frame of each example in their order, and the size of each batch.

    Raises:
      ValueError: a batch cannot be shared equally.
    """
    places: list[tuple[int, Size]] = []
    sizes: list[int] = []
    for group in groups:
        share = share_of(group.batch_size, process_index, process_count)
        for start in range(0, len(group.indices), group.batch_size):
            batch = [*group.indices[start : start + group.batch_size]]
            batch += [-1] * (group.batch_size - len(batch))
            own = batch[process_index * share : (process_index + 1) * share]
            places += [(index, group.frame) for index in own]
            sizes.append(share)
    return places, sizes


def described(frames: Mapping[Size, int]) -> str:
    """The frames and their numbers of images in words: "1 frame was compiled: ..."."""
    each = ", ".join(
        f"{height} x {width} ({n} image{'s' if n > 1 else ''})"
        for (height, width), n in sorted(frames.items())
    )
    if len(frames) == 1:
        return f"1 frame was compiled: {each}"
    return f"{len(frames)} frames were compiled: {each}"
