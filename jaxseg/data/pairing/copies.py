"""Finds images that occur in two splits as byte-identical files."""

import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

_SHOWN = 5  # images
_HEAD = 4096  # bytes that suffice to distinguish most files of one size


def role(split: str) -> str:
    """The name "train" for every training split, and the own name of others."""
    return "train" if split.startswith("train") else split


def _alike(groups: Iterable[dict[pathlib.Path, str]]) -> Iterator[dict[pathlib.Path, str]]:
    """Subgroups with several roles whose files begin with the same bytes."""
    for group in groups:
        by_head: dict[bytes, dict[pathlib.Path, str]] = {}
        for path, own in group.items() if len(set(group.values())) > 1 else ():
            with path.open("rb") as file:
                by_head.setdefault(file.read(_HEAD), {})[path] = own
        yield from by_head.values()


def across(images: Mapping[str, Iterable[pathlib.Path]]) -> str:
    """A warning about the copies; "" if there are none.

    Only files of the same size are read, so that a set without copies costs almost nothing.

    Args:
      images: the files of each split; `trainval`, the union of two others, is ignored.
    """
    by_size: dict[int, dict[pathlib.Path, str]] = {}
    for split, paths in images.items():
        for path in paths if split != "trainval" else ():
            if path.is_file():
                by_size.setdefault(os.path.getsize(path), {}).setdefault(path, role(split))
    pairs = []
    for found in _alike(by_size.values()):
        if len(set(found.values())) < 2:
            continue
        by_digest: dict[bytes, list[pathlib.Path]] = {}
        for path in found:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
            by_digest.setdefault(digest, []).append(path)
        for group in by_digest.values():
            other = next((path for path in group if found[path] != found[group[0]]), None)
            if other:
                pairs.append(f"{found[group[0]]} {group[0]} is {found[other]} {other}")
    if not pairs:
        return ""
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return (
        "WARNING: images are in two splits, byte for byte, so that the network is evaluated on "
        f"images that it was trained on: {'; '.join(pairs[:_SHOWN])}{more}"
    )
