"""Records the files that a set was prepared from, and detects changes.

Each set stores in prepared_from.json the flags that it was prepared with and, for each of its
files, the size, the modification time and a digest. A file counts as unchanged if size and time are
the same or, failing that, if the digest of its bytes is; so a copy of the files in another place is
the same set. For the class file and the CSV file, the content is stored instead.
"""

import concurrent.futures
import json
import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxseg import whole_file
from jaxseg.data import fingerprint
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import mask_file
from jaxseg.progress import over

FILE = "prepared_from.json"
_FORMAT = 2


def _digest(path: pathlib.Path) -> str:
    return fingerprint.digest((path.read_bytes(),))


class Kept:
    """Digests of images that a prepared set stores unchanged, so that they are read only once.

    Attributes:
      digests: by file.
    """

    def __init__(self) -> None:
        self.digests: dict[pathlib.Path, str] = {}

    def add(self, path: pathlib.Path, stored: bytes, digest: str) -> None:
        """Adds the digest of what is stored for a file, if these are the file's bytes.

        Args:
          path: the file.
          stored: the bytes in the set.
          digest: `fingerprint.digest` of `stored`.
        """
        if path in self.digests or path.stat().st_size != len(stored):
            return
        if path.read_bytes() == stored:
            self.digests[path] = digest


def _stamp(path: pathlib.Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _coding(colours: mask_file.Colours | None) -> int:
    return zlib.crc32(repr(colours and sorted(colours.items())).encode())


def record(
    published: pairs.Published | None, settings: Mapping[str, Any], kept: Kept | None = None
) -> dict[str, Any]:
    """The JSON values for `FILE`.

    Args:
      published: the files; None for a drawn set.
      settings: the flags that the set was prepared with.
      kept: digests that are already known; the others are computed here.
    """
    values: dict[str, Any] = {"format": _FORMAT, "settings": dict(settings)}
    if published is None:
        return values
    every = [pair for found in published.splits.values() for pair in found]
    paths = sorted({path for pair in every for path in (pair.image, pair.mask)})
    digests = dict(kept.digests) if kept else {}
    others = [path for path in paths if path not in digests]
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        made = pool.map(_digest, over(others, "digests of the files", unit="file"))
        digests |= dict(zip(others, made, strict=True))
    number = {path: i for i, path in enumerate(paths)}
    listed = {
        split: [[pair.name, pair.page, number[pair.image], number[pair.mask]] for pair in found]
        for split, found in published.splits.items()
    }
    stamps = [[*_stamp(path), digests[path]] for path in paths]
    return values | {
        "colours": _coding(published.colours),
        "files": stamps,
        "splits": listed,
    }


def write(folder: pathlib.Path, values: Mapping[str, Any]) -> None:
    """Stores a `record` with a set that is being prepared."""
    whole_file.write_text(folder / FILE, json.dumps(values))


def read(folder: pathlib.Path) -> dict[str, Any] | None:
    """The `record` of a set; None if it was prepared by an earlier version, or is damaged."""
    try:
        values = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return None
    known = isinstance(values, dict) and values.get("format") == _FORMAT
    return values if known and isinstance(values.get("settings"), dict) else None


def flag_changes(kept: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line such as "val_share was 0.1 and is 0.3" for each setting that has changed."""
    before = kept["settings"]
    return [
        f"{name} was {before[name]} and is {value}"
        for name, value in now.items()
        if name in before and before[name] != value
    ]


def file_changes(kept: Mapping[str, Any], published: pairs.Published) -> list[str]:
    """The changes of files and lists since the preparation, a line each.

    Args:
      kept: from `read`.
      published: the current files.
    """
    found = []
    try:
        if kept["colours"] != _coding(published.colours):
            found.append("masks are read by different colours")
        splits = kept["splits"]
        for split in dict.fromkeys([*splits, *published.splits]):
            found += _of_split(split, splits.get(split, []), published.splits.get(split, []), kept)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        return [f"{FILE} is damaged ({error!r})"]
    return found


def _of_split(
    split: str, before: Sequence[Any], now: Sequence[pairs.Pair], kept: Mapping[str, Any]
) -> Iterator[str]:
    old, new = {entry[0]: entry for entry in before}, {pair.name: pair for pair in now}
    yield from (f"{name} is no longer in {split}" for name in old if name not in new)
    yield from (f"{name} is new in {split}" for name in new if name not in old)
    if old.keys() == new.keys() and list(old) != list(new):
        yield f"{split} lists the same examples in another order"
    for name, pair in new.items():
        if name in old:
            _, page, image, mask = old[name]
            if page != pair.page:
                yield f"{pair.where(pair.image)} was page {page}"
            yield from _of_file(pair.image, kept["files"][image])
            yield from _of_file(pair.mask, kept["files"][mask])


def _of_file(path: pathlib.Path, before: Sequence[Any]) -> Iterator[str]:
    try:
        size, time = _stamp(path)
        if size != before[0]:
            yield f"{path} has {size} bytes instead of {before[0]}"
        elif time != before[1] and _digest(path) != before[2]:
            yield f"{path} has different bytes, but the same size"
    except OSError as error:
        yield f"{path} cannot be read: {(error.strerror or 'no reason given').lower()}"
