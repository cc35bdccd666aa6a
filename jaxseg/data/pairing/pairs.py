"""Checks pairs of published files, each an image and its mask, and passes them to TFDS."""

import concurrent.futures
import dataclasses
import io
import os
import pathlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TypeVar

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import instances, records
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import copies
from jaxseg.data.pairing.inspection import Facts, Journal, inspect
from jaxseg.data.pairing.pair import Pair
from jaxseg.data.readers import image_headers, mask_file, pixels, walk
from jaxseg.data.readers.class_file import Classes
from jaxseg.errors import counted
from jaxseg.progress import over

__all__ = ["Facts", "Pair", "Published", "check", "examples", "inspect"]

_T = TypeVar("_T")
_SHOWN = 40  # number of problems listed


def beside(
    images: pathlib.Path, masks: pathlib.Path, image_suffix: str, mask_suffix: str
) -> list[Pair]:
    """Pairs the files of two folders by their relative paths without suffixes.

    A file without a partner is also returned as a pair, so that `check` reports what is missing; if
    one of the folders does not exist, there are no pairs.
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
    """Relative path without the suffix -> file, ignoring the case of the file type."""
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
    """A data set as published files on disk.

    Attributes:
      splits: the pairs of each split.
      labels: the meaning of the raw ids.
      colours: RGB -> raw id, if masks are encoded by colour; else None.
      official: the published number of examples per split; empty if there is none.
      lists: `mask_file.digest` of the published list of a split, if known.
      remarks: lines printed with the counts.
      problems: faults of the paths, a line each; nothing is prepared if there are any.
      classes: the class file of your own data, which can suggest corrections.
    """

    splits: Mapping[str, Sequence[Pair]]
    labels: LabelSpec
    colours: mask_file.Colours | None = None
    official: Mapping[str, int] = dataclasses.field(default_factory=dict)
    lists: Mapping[str, str] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()
    problems: Sequence[str] = ()
    classes: Classes | None = None

    def counts(self) -> str:
        """The numbers of examples found and published, and lines about other differences."""
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
            names = mask_file.digest(pair.name for pair in listed)
            if len(listed) == self.official.get(split) and names != published:
                lines.append(
                    f"WARNING: {split} has the published number of examples, but not the same "
                    "ones: sha256 "
                    f"of the sorted names {names}, published {published}"
                )
        return "\n".join(lines)


def doubled(splits: Mapping[str, Iterable[Pair]]) -> list[str]:
    """Images that are listed twice in a split, or both for training and for evaluation.

    By definition, `trainval` is the union of two other splits, and `train` a part of `trainaug`.
    """
    problems = []
    role: dict[str, str] = {}  # image -> "train" or the name of another split
    for split, pairs in splits.items():
        own = copies.role(split)
        times = Counter(pair.where(pair.image) for pair in pairs)
        problems += [f"{image} is {n} times in {split}" for image, n in times.items() if n > 1]
        for image in times if split != "trainval" else ():
            if (other := role.setdefault(image, own)) != own:
                problems.append(f"{image} is both in {other} and in {own}")
    return problems


def check(published: Published, journal: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Decodes every file of every split and compares its ids with the LabelSpec.

    Args:
      published: the files.
      journal: stores the findings until the set is complete, to continue after an interruption.

    Returns:
      The largest (height, width) of each split.

    Raises:
      ValueError: lists the problems, a line each, with file names; of very many, only the first
        ones.
    """
    problems = list(published.problems)
    problems += [
        f"{split} lists no images" for split, found in published.splits.items() if not found
    ]
    problems += doubled(published.splits)
    largest, known = {}, published.labels.raw_to_train
    seen: set[int] = set()
    turned: set[str] = set()
    notes = Journal(journal, published.colours)
    pool = concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for split, pairs in published.splits.items():
            heights, widths = [1], [1]
            tasks = [pool.submit(notes.facts, pair, published.colours) for pair in pairs]
            bar = over(list(zip(pairs, tasks, strict=True)), f"checking {split}")
            for pair, task in bar:
                try:
                    facts = task.result()
                except ValueError as error:
                    problems.append(str(error))
                    continue
                if facts.orientation != 1:
                    turned.add(pair.where(pair.image))
                heights.append(facts.height)
                widths.append(facts.width)
                seen.update(facts.counts)
                if unknown := {k: n for k, n in facts.counts.items() if k not in known}:
                    ids = ", ".join(f"{k} ({n} pixels)" for k, n in unknown.items())
                    problems.append(f"{pair.where(pair.mask)} holds ids without a class: {ids}")
            largest[split] = (max(heights), max(widths))
    finally:
        pool.shutdown(cancel_futures=True)
        notes.close()
    if published.classes:
        problems[:0] = published.classes.doubts(seen, problems)
    images = {split: [pair.image for pair in found] for split, found in published.splits.items()}
    for said in (copies.across(images), _turned(turned)):
        if said:
            print(said, file=sys.stderr)
    if problems := list(dict.fromkeys(problems)):  # report an image in several splits once
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ValueError(
            f"{counted(len(problems), 'problem')}, nothing was prepared; fix the files (or the "
            "classes) and run the same command again:\n  " + "\n  ".join(problems[:_SHOWN] + more)
        )
    return largest


def _turned(images: Set[str]) -> str:
    """A line about images rotated by EXIF tags; sizes do not reveal half turns and squares."""
    if not images:
        return ""
    are = "1 image is" if len(images) == 1 else f"{len(images)} images are"
    return (
        f"{are} rotated by the EXIF orientation, as in viewers ({min(images)}): masks are "
        "assumed to be drawn on the image as viewers show it"
    )


def examples(published: Published, split: str) -> Iterator[tuple[int, dict[str, object]]]:
    """The examples for TFDS: image bytes (`pixels.stored`), a PNG of raw ids, the name.

    Instance sets have the text of their objects instead of the PNG, and perhaps one of stuff.
    """
    wide = max(published.labels.raw_to_train) > 255
    for i, pair in enumerate(over(published.splits[split], f"writing {split}")):
        if pair.objects:
            text, image = instances.to_text(pair.objects()), pixels.stored(pair.image, pair.page)
            stuff = {"stuff": io.BytesIO(records.encode_label(pair.stuff()))} if pair.stuff else {}
            yield i, {"image": io.BytesIO(image), "label": text, "name": pair.name, **stuff}
            continue
        plain = published.colours is None and pair.draw is None
        label = pair.mask.read_bytes() if plain and pair.mask.suffix != ".mat" else b""
        bits = image_headers.png_header(label)
        if bits != (16 if wide else 8, 0) or not records.keeps_label(label):
            raw, _ = pair.read_mask(published.colours)
            label = records.encode_label(raw.astype(np.uint16 if wide else np.uint8))
        image = pixels.stored(pair.image, pair.page)
        yield i, {"image": io.BytesIO(image), "label": io.BytesIO(label), "name": pair.name}


def generators(builder: tfds.core.DatasetBuilder, published: Published) -> dict[str, Iterator]:
    """The result for `_split_generators` of a TFDS builder, once `check` has found no problems."""
    records.set_largest(builder, check(published, records.journal(builder)))
    return {split: examples(published, split) for split in published.splits}
