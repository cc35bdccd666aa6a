"""Pairs of published files, an image and its mask: checked, then handed to TFDS."""

import concurrent.futures
import dataclasses
import io
import json
import os
import pathlib
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from jaxseg.data import copies, files, records, walk
from jaxseg.data.class_file import Classes
from jaxseg.data.labels import LabelSpec

_T = TypeVar("_T")
_SHOWN = 40  # problems listed


def progress(items: Sequence[_T], what: str) -> Iterable[_T]:
    """The items, with a bar that shows the rate and the remaining time."""
    return tqdm(items, what, unit="image", dynamic_ncols=True, mininterval=0.5)


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Attributes:
      name: under which they are kept.
      image: the file.
      mask: the file; of a drawn mask, the file of the shapes.
      page: of TIFF files.
      draw: gives the raw ids, uint8 [H, W], or raises a ValueError without the file's name; None:
        they are read from `mask`.
    """

    name: str
    image: pathlib.Path
    mask: pathlib.Path
    page: int = 0
    draw: Callable[[], np.ndarray] | None = None

    def where(self, path: pathlib.Path) -> str:
        """One of the files, for messages."""
        if self.draw and path == self.mask and self.name not in str(path):
            return f"{path} {self.name}"  # a file with the shapes of many images
        return f"{path} page {self.page}" if self.page else str(path)

    def read_mask(self, colours: files.Colours | None = None) -> tuple[np.ndarray, str]:
        """As `files.read_mask`, whether the mask is read or drawn."""
        if self.draw:
            return self.draw(), "drawn"
        return files.read_mask(self.mask, colours, self.page)


def beside(
    images: pathlib.Path, masks: pathlib.Path, image_suffix: str, mask_suffix: str
) -> list[Pair]:
    """The files of two folders, by their paths below them without the suffixes.

    A file without a partner is a pair too, so that `check` says what is missing; where one of the
    folders is not there, there are no pairs.
    """
    if not images.is_dir() or not masks.is_dir():
        return []
    found = [
        _ending(root, suffix) for root, suffix in ((images, image_suffix), (masks, mask_suffix))
    ]
    return [
        Pair(
            name,
            found[0].get(name, images / f"{name}{image_suffix}"),
            found[1].get(name, masks / f"{name}{mask_suffix}"),
        )
        for name in sorted(found[0].keys() | found[1].keys())
    ]


def _ending(root: pathlib.Path, suffix: str) -> dict[str, pathlib.Path]:
    """Path below the folder without the suffix -> file; the case of its kind does not matter."""
    end, dot, kind = suffix.rpartition(".")
    found: dict[str, pathlib.Path] = {}
    for path in walk.below(root).checked():
        if path.suffix.lower() != f"{dot}{kind}" or not path.stem.endswith(end):
            continue
        name = path.relative_to(root).with_name(path.stem.removesuffix(end)).as_posix()
        if (other := found.setdefault(walk.nfc(name), path)) != path:
            raise ValueError(f"{other} and {path} have the same name")
    return found


def nonempty(splits: Mapping[str, list[Pair]]) -> dict[str, list[Pair]]:
    """The splits that have pairs."""
    return {split: found for split, found in splits.items() if found}


@dataclasses.dataclass(frozen=True)
class Published:
    """A data set as it lies on the disk.

    Attributes:
      splits: the pairs of each.
      labels: what the raw ids mean.
      colours: RGB -> raw id, where masks are coded by colour; else None.
      official: the published number of examples of each split; empty: there is none.
      lists: `files.digest` of the published list of a split, where it is known.
      remarks: lines that are said with the counts.
      problems: what is wrong with the paths, a line each; nothing is prepared while there is one.
      classes: the file of classes of one's own data, which says what to change in it.
    """

    splits: Mapping[str, Sequence[Pair]]
    labels: LabelSpec
    colours: files.Colours | None = None
    official: Mapping[str, int] = dataclasses.field(default_factory=dict)
    lists: Mapping[str, str] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()
    problems: Sequence[str] = ()
    classes: Classes | None = None

    def counts(self) -> str:
        """How many examples were found, of how many published; lines for what else differs."""
        parts = []
        for split in dict.fromkeys([*self.splits, *self.official]):
            found, official = len(self.splits.get(split, ())), self.official.get(split)
            parts.append(
                f"{split} {found}"
                if official is None or official == found
                else f"{split} {found} of {official} published"
            )
        lines = ["found " + ", ".join(parts), *self.remarks]
        for split, published in self.lists.items():
            listed = self.splits.get(split, ())
            names = files.digest(pair.name for pair in listed)
            if len(listed) == self.official.get(split) and names != published:
                lines.append(
                    f"WARNING: {split} has as many examples as published, but not the same: sha256 "
                    f"of the sorted names {names}, published {published}"
                )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What one pair of files holds.

    Attributes:
      height: rows.
      width: columns.
      kind: how the mask codes its ids, "grey 8 bit", "palette", "colours".
      counts: raw id -> pixels.
    """

    height: int
    width: int
    kind: str
    counts: Mapping[int, int]


def inspect(pair: Pair, colours: files.Colours | None = None) -> Facts:
    """Decodes both files to the end.

    Raises:
      ValueError: what is wrong, with the file's name.
    """
    try:
        path = pair.image
        height, width = files.image_size(path, pair.page)
        records.check_image(files.image_bytes(path, pair.page), (height, width))
        path = pair.mask
        raw, kind = pair.read_mask(colours)
        if pair.draw is None and colours is None and kind in ("grey 8 bit", "grey 16 bit"):
            records.check_label(path.read_bytes(), raw)
    except ValueError as error:
        raise ValueError(f"{pair.where(path)} {error}") from None
    if raw.shape != (height, width):
        raise ValueError(
            f"{pair.where(pair.mask)} is {raw.shape[0]} x {raw.shape[1]}, "
            f"its image is {height} x {width}"
        )
    counts = np.bincount(raw.ravel())
    return Facts(height, width, kind, {int(k): int(counts[k]) for k in np.flatnonzero(counts)})


class _Journal:
    """What was found out about which files, so that an interrupted check can go on."""

    def __init__(self, path: pathlib.Path, colours: files.Colours | None) -> None:
        self._path, self._coding = path, zlib.crc32(repr(colours).encode())
        self._known: dict[str, dict] = {}
        if path.is_file():
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                    self._known[entry["stamp"]] = entry["facts"]
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue  # the line that was being written when the process was stopped
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        if path.stat().st_size:
            self._file.write("\n")

    def stamp(self, pair: Pair) -> str:
        """Changes with either file."""
        parts = [str(self._coding), str(pair.page)]
        for path in (pair.image, pair.mask):
            stat = path.stat()
            parts += [str(path.resolve()), str(stat.st_size), str(stat.st_mtime_ns)]
        return "|".join(parts)

    def facts(self, pair: Pair, colours: files.Colours | None) -> Facts:
        """`inspect`, unless both files were inspected before and have not changed since."""
        try:
            stamp = self.stamp(pair)
        except OSError:
            return inspect(pair, colours)  # says which is missing
        if found := self._known.get(stamp):
            counts = {int(k): n for k, n in found["counts"].items()}
            return Facts(found["height"], found["width"], found["kind"], counts)
        facts = inspect(pair, colours)
        entry = {"stamp": stamp, "facts": dataclasses.asdict(facts)}
        self._file.write(json.dumps(entry) + "\n")  # one call: threads do not mix their lines
        self._file.flush()
        return facts

    def close(self) -> None:
        self._file.close()


def doubled(splits: Mapping[str, Iterable[Pair]]) -> list[str]:
    """Images that are listed twice in a split, or both for training and for evaluation.

    `trainval` is the union of two others by its name, and `train` a part of `trainaug`.
    """
    problems = []
    role: dict[str, str] = {}  # image -> "train" or the name of another split
    for split, pairs in splits.items():
        own = copies.role(split)
        times = Counter(pair.where(pair.image) for pair in pairs)
        problems += [f"{image} stands {n} times in {split}" for image, n in times.items() if n > 1]
        for image in times if split != "trainval" else ():
            if (other := role.setdefault(image, own)) != own:
                problems.append(f"{image} stands both in {other} and in {own}")
    return problems


def check(published: Published, journal: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Decodes every file of every split and holds its ids against the LabelSpec.

    Args:
      published: the files.
      journal: where findings are kept until the set is complete, to go on after an interruption.

    Returns:
      The largest (height, width) of each split.

    Raises:
      ValueError: what is wrong, a line each, with file names; of very much the first part.
    """
    problems = list(published.problems)
    problems += [
        f"{split} lists no images" for split, found in published.splits.items() if not found
    ]
    problems += doubled(published.splits)
    largest, known = {}, published.labels.raw_to_train
    seen: set[int] = set()
    notes = _Journal(journal, published.colours)
    pool = concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for split, pairs in published.splits.items():
            heights, widths = [1], [1]
            tasks = [pool.submit(notes.facts, pair, published.colours) for pair in pairs]
            bar = progress(list(zip(pairs, tasks, strict=True)), f"checking {split}")
            for pair, task in bar:
                try:
                    facts = task.result()
                except ValueError as error:
                    problems.append(str(error))
                    continue
                heights.append(facts.height)
                widths.append(facts.width)
                seen.update(facts.counts)
                if unknown := {k: n for k, n in facts.counts.items() if k not in known}:
                    ids = ", ".join(f"{k} ({n} pixels)" for k, n in unknown.items())
                    problems.append(f"{pair.where(pair.mask)} holds ids that no class has: {ids}")
            largest[split] = (max(heights), max(widths))
    finally:
        pool.shutdown(cancel_futures=True)
        notes.close()
    if published.classes:
        problems[:0] = published.classes.doubts(seen)
    images = {split: [pair.image for pair in found] for split, found in published.splits.items()}
    if said := copies.across(images):
        print(said, file=sys.stderr)
    if problems := list(dict.fromkeys(problems)):  # of an image in several splits once
        are = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ValueError(
            f"{are}, nothing was prepared; mend the files (or the classes) and "
            "give the same command again:\n  " + "\n  ".join(problems[:_SHOWN] + more)
        )
    return largest


def examples(published: Published, split: str) -> Iterator[tuple[int, dict[str, object]]]:
    """What TFDS writes: image bytes as published, the mask as a grey PNG of raw ids, the name."""
    wide = max(published.labels.raw_to_train) > 255
    for i, pair in enumerate(progress(published.splits[split], f"writing {split}")):
        plain = published.colours is None and pair.draw is None
        if plain and files.png_header(pair.mask) == (16 if wide else 8, 0):
            label = pair.mask.read_bytes()
        else:
            raw, _ = pair.read_mask(published.colours)
            label = records.encode_label(raw.astype(np.uint16 if wide else np.uint8))
        image = files.image_bytes(pair.image, pair.page)
        yield i, {"image": io.BytesIO(image), "label": io.BytesIO(label), "name": pair.name}


def generators(builder: tfds.core.DatasetBuilder, published: Published) -> dict[str, Iterator]:
    """What a TFDS builder's `_split_generators` returns, when `check` has found nothing wrong."""
    records.set_largest(builder, check(published, records.journal(builder)))
    return {split: examples(published, split) for split in published.splits}
