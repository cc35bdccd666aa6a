"""The fingerprint of a prepared set, which a run keeps to recognise the set later.

Per set, it holds the name, the version of the builder, the settings of a drawn set, and the
classes. Per split, it holds the name of each example, in order, and a digest of its bytes.
`jaxseg.data.prepare` reads the bytes back once and stores the result in the folder of the set as
fingerprint.json, which can be read without decoding images. For a set that was prepared by a
version without fingerprints, only the classes, the numbers of examples and their bytes are known.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jaxseg.data.labels import LabelSpec
from jaxseg.ignore import IGNORE

FILE = "fingerprint.json"
_FORMAT = 1
_DIGITS = 16  # of the SHA-256 of an example


@dataclasses.dataclass(frozen=True)
class Split:
    """One split.

    Attributes:
      count: of examples.
      size: bytes of all examples, as TFDS counts them.
      names: of the examples, in order; empty if unknown.
      digests: of the examples, in the same order; empty if unknown.
    """

    count: int
    size: int
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of everything known about the split."""
        text = json.dumps([self.count, self.size, self.names, self.digests])
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """One prepared set.

    Attributes:
      name: such as "camvid" or "folder/NAME".
      version: of the builder.
      settings: what determines its examples besides published files: size and seed of a drawn set.
      labels: its classes.
      splits: by name.
    """

    name: str
    version: str
    settings: Mapping[str, Any]
    labels: LabelSpec
    splits: Mapping[str, Split]

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` reads them."""
        splits = {
            name: {
                "count": split.count,
                "bytes": split.size,
                "digest": split.digest,
                "names": split.names,
                "digests": split.digests,
            }
            for name, split in self.splits.items()
        }
        return {
            "format": _FORMAT,
            "name": self.name,
            "version": self.version,
            "settings": dict(self.settings),
            "labels": json.loads(self.labels.to_json()),
            "splits": splits,
        }


def from_json(values: Any) -> Fingerprint:
    """The inverse of `Fingerprint.to_json`.

    Raises:
      ValueError: the values are invalid, or from a later version of this code.
    """
    try:
        if values["format"] != _FORMAT:
            raise ValueError(f"its format is {values['format']}, but this code reads {_FORMAT}")
        splits = {}
        for name, split in values["splits"].items():
            names, digests = tuple(split["names"]), tuple(split["digests"])
            splits[name] = Split(int(split["count"]), int(split["bytes"]), names, digests)
            if len(names) != len(digests) or len(names) not in (0, splits[name].count):
                raise ValueError(f"{name} does not list its {splits[name].count} examples")
            if split["digest"] != splits[name].digest:
                raise ValueError(f"{name} does not have the stored digest")
        labels = LabelSpec.from_json(json.dumps(values["labels"]))
        name, version = str(values["name"]), str(values["version"])
        return Fingerprint(name, version, dict(values["settings"]), labels, splits)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a fingerprint: {error!r}") from error


def digest(parts: Iterable[bytes]) -> str:
    """The digest of an example from its parts, the bytes of its image, label and perhaps stuff."""
    return running(parts)[-1]


def running(parts: Iterable[bytes]) -> list[str]:
    """The `digest` of the first part, of the first two parts, and so on; reads each part once."""
    digests, found = [], hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
        digests.append(found.hexdigest()[:_DIGITS])
    return digests


def of_folder(
    folder: pathlib.Path, name: str, labels: LabelSpec, splits: Mapping[str, tuple[int, int]]
) -> Fingerprint:
    """The fingerprint of a prepared folder: the stored one, if it matches the examples.

    Args:
      folder: DATA_DIR/NAME/VERSION.
      name: of the set.
      labels: its classes.
      splits: split -> (examples, bytes), as recorded by TFDS.
    """
    known = {split: Split(count, size) for split, (count, size) in splits.items()}
    try:
        kept = from_json(json.loads((folder / FILE).read_text()))
    except (OSError, ValueError):
        return Fingerprint(name, folder.name, {}, labels, known)
    sizes = {split: (of.count, of.size) for split, of in kept.splits.items()}
    if sizes != dict(splits) or kept.labels != labels:  # it does not belong to these examples
        return Fingerprint(name, folder.name, {}, labels, known)
    return dataclasses.replace(kept, name=name)


def class_difference(
    run: LabelSpec, data: LabelSpec, *, raw_ids: bool, others: tuple[str, str] = ("run", "data")
) -> str:
    """The first difference between two lists of classes, ignoring colours; "" if there is none.

    Args:
      run: the classes of the run.
      data: the classes of the data.
      raw_ids: whether the ids in the masks must have the same meaning.
      others: the names of the two in the message.
    """
    one, two = others
    for k in range(max(run.num_classes, data.num_classes)):
        if k >= data.num_classes:
            return f'class {k} is "{run.names[k]}" in the {one}, and the {two} has {k} classes'
        if k >= run.num_classes:
            return f'class {k} is "{data.names[k]}" in the {two}, and the {one} has {k} classes'
        if run.names[k] != data.names[k]:
            return f'class {k} is "{run.names[k]}" in the {one} and "{data.names[k]}" in the {two}'
    if not raw_ids or run.raw_to_train == data.raw_to_train:
        return ""

    def meaning(labels: LabelSpec, raw: int) -> str:
        if raw not in labels.raw_to_train:
            return "unknown"
        train = labels.raw_to_train[raw]
        return "void" if train == IGNORE else f'"{labels.names[train]}"'

    both = sorted(run.raw_to_train.keys() | data.raw_to_train.keys())
    raw = next(r for r in both if run.raw_to_train.get(r) != data.raw_to_train.get(r))
    return (
        f"id {raw} of the masks is {meaning(run, raw)} in the {one} and {meaning(data, raw)} "
        + (f"in the {two}")
    )


def split_difference(run: Fingerprint, data: Fingerprint, split: str) -> str:
    """The first difference of a split that both have; "" if there is none to report."""
    if split not in run.splits or split not in data.splits:
        return ""
    if run.version != data.version:
        return f"the set has version {run.version} in the run and {data.version} in the data"
    ours, theirs = run.splits[split], data.splits[split]
    first = ""
    for i, (one, two) in enumerate(zip(ours.names, theirs.names, strict=False)):
        if one != two:
            first = f'example {i} of {split} is "{one}" in the run and "{two}" in the data'
            break
    if ours.count != theirs.count:
        counts = f"{split} has {ours.count} examples in the run and {theirs.count} in the data"
        return f"{counts}; {first}" if first else counts
    if first:
        return first
    for name, one, two in zip(ours.names, ours.digests, theirs.digests, strict=False):
        if one != two:
            return f'example "{name}" of {split} has other bytes in the data than in the run'
    if ours.size != theirs.size:
        return f"{split} has {ours.size} bytes in the run and {theirs.size} in the data"
    return ""


def is_whole(fingerprint: Fingerprint, split: str) -> bool:
    """Whether the individual examples of a split are known."""
    known = fingerprint.splits.get(split)
    return known is not None and (not known.count or bool(known.names))


def of_examples(
    count: int,
    encoded: Callable[[int], Mapping[str, Any]],
    size: int,
    advance: Callable[[], object] = lambda: None,
    seen: Callable[[int, bytes, str], object] = lambda index, image, digest: None,
) -> Split:
    """The fingerprint of a split, whose examples are read once each by several threads.

    Args:
      count: number of examples.
      encoded: returns the "image", "label" and perhaps "stuff" bytes and the "name" of an example.
      size: bytes of all examples, as TFDS counts them.
      advance: called after each example, for a progress bar.
      seen: called by the threads, in any order, with the index of an example, the bytes of its
        image, and the `digest` of these bytes.
    """

    def of_one(index: int) -> tuple[str, str]:
        example = encoded(index)
        parts = [example[part] for part in ("image", "label", "stuff") if part in example]
        image, *_, whole = running(parts)
        seen(index, example["image"], image)
        return example["name"], whole

    names, digests = [], []
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for name, found in pool.map(of_one, range(count)):
            names.append(name)
            digests.append(found)
            advance()
    return Split(count, size, tuple(names), tuple(digests))
