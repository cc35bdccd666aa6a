"""Records the origin of a prepared set, and detects whether it has changed."""

import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg import whole_file
from jaxseg.data import fingerprint
from jaxseg.data import source as sources
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.prepare import prepared_from
from jaxseg.progress import Progress

_SHOWN = 5  # number of changes named
_NAMES = ("prepared set", "classes given now")


def note(
    built: pathlib.Path,
    name: str,
    published: pairs.Published | None,
    settings: Mapping[str, Any],
) -> None:
    """Reads a newly written set back, and stores its fingerprint and the list of its source files.

    Args:
      built: the folder of the set.
      name: of the set.
      published: the source files; None for a drawn set.
      settings: the flags that determine its examples besides the files.

    Raises:
      ValueError: what is read back is not what was written.
    """
    opened = {split: sources.Source(name, split, built) for split in sources.splits(built)}
    splits, kept = {}, prepared_from.Kept()
    for split, of in opened.items():
        seen = functools.partial(_keep, kept, published.splits[split] if published else ())
        with Progress(len(of), f"reading {split} back") as bar:
            size = of.splits[split][1]
            splits[split] = fingerprint.of_examples(len(of), of.encoded, size, bar.advance, seen)
    labels = next(iter(opened.values())).stored
    found = fingerprint.Fingerprint(name, built.name, settings, labels, splits)
    prepared_from.write(built, prepared_from.record(published, settings, kept))
    whole_file.write_text(built / fingerprint.FILE, json.dumps(found.to_json()))


def _keep(
    kept: prepared_from.Kept, listed: Sequence[pairs.Pair], index: int, image: bytes, digest: str
) -> None:
    """Stores digests; examples are in the order of the list, and a drawn set has no list."""
    if listed:
        kept.add(listed[index].image, image, digest)


def refuse_changes(
    folder: pathlib.Path,
    name: str,
    published: pairs.Published | None,
    settings: Mapping[str, Any],
) -> str:
    """Compares the given files and flags with those that a set was prepared from; see `changes`.

    Returns: A remark on what could not be compared, or "".

    Raises:
      ValueError: something has changed; the first changes are named.
    """
    changed, remark = changes(folder, name, published, settings)
    if changed:
        more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise ValueError(
            f"{folder} was prepared from different files or flags than those given now: "
            f"{'; '.join(changed[:_SHOWN])}{more}. --overwrite prepares it again; without the "
            "flags that name files, it is used as it is"
        )
    return remark


def changes(
    folder: pathlib.Path,
    name: str,
    published: pairs.Published | None,
    settings: Mapping[str, Any],
) -> tuple[list[str], str]:
    """The differences between the source of a prepared set and what is given now.

    Args:
      folder: of the prepared set.
      name: of the set.
      published: the given files; None for a drawn set.
      settings: the given flags.

    Returns:
      A line for each difference, classes first, and a remark on what could not be compared.
    """
    kept = prepared_from.read(folder)
    opened = sources.Source(name, sources.splits(folder)[0], folder)
    found = [] if published is None else _of_classes(opened.labels, published.labels)
    if kept is None:
        if published is not None:
            found += _of_counts(opened.splits, published)
        remark = "it was prepared by a version that stored no list of files: only "
        return found, remark + ("classes and counts are compared" if published else "it is there")
    files = [] if published is None else prepared_from.file_changes(kept, published)
    # For a set from files, only the effect of the flags counts.
    if published is None or files:
        found += prepared_from.flag_changes(kept, settings)
    return found + files, ""


def _of_classes(before: LabelSpec, now: LabelSpec) -> list[str]:
    if found := fingerprint.class_difference(before, now, raw_ids=True, others=_NAMES):
        return [found]
    if now.stuff and not before.stuff:
        return ["it had no classes of stuff and has them"]
    return [
        f'class {k} "{name}" had the colour {one} and has {two}'
        for k, (name, one, two) in enumerate(
            zip(before.names, before.palette, now.palette, strict=True)
        )
        if one != two
    ]


def _of_counts(before: Mapping[str, tuple[int, int]], now: pairs.Published) -> list[str]:
    counts = {split: count for split, (count, _) in before.items()}
    return [
        f"{split} had {counts.get(split, 0)} examples and has {len(now.splits.get(split, ()))}"
        for split in dict.fromkeys([*counts, *now.splits])
        if counts.get(split, 0) != len(now.splits.get(split, ()))
    ]
