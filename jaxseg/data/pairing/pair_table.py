"""Reads the pairs of your own data from a CSV table with the columns image, mask, split."""

import csv
import dataclasses
import os
import pathlib
from collections import Counter

from jaxseg.data.pairing.layout import SPLITS
from jaxseg.data.pairing.own_files import Own, root_of
from jaxseg.data.pairing.pairs import Pair
from jaxseg.data.readers import text_file, walk

_SEPARATORS = ",;\t"
_SHOWN = 5  # names


def _rows(table: pathlib.Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with the numbers of their lines; columns in lower case."""
    text = text_file.read(table)
    first = next((line for line in text.split("\n") if line.strip()), "")
    for separator in _SEPARATORS:
        columns = [cell.strip().strip('"').lower() for cell in first.split(separator)]
        if {"image", "mask"} <= set(columns):
            break
    else:
        raise ValueError(
            f"{table} needs the columns image, mask (and optionally split) in its first line; it "
            "is "
            f"{first[:80]!r}"
        )
    if len(set(columns)) < len(columns):
        raise ValueError(f"{table}: a column occurs twice: {', '.join(columns)}")
    reader = csv.reader(text.split("\n"), delimiter=separator, skipinitialspace=True, strict=True)
    found = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{table} line {reader.line_num}"
            while len(cells) > len(columns) and not cells[-1].strip():
                cells.pop()
            if len(cells) != len(columns):
                raise ValueError(
                    f"{where}: {len(cells)} columns, but the first line has {len(columns)}"
                )
            row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
            found.append((reader.line_num, row))
    except csv.Error as error:
        raise ValueError(f"{table} line {reader.line_num}: {error}") from None
    return found[1:]


def in_table(table: str, images: str, masks: str) -> Own:
    """The pairs of a CSV file, with paths relative to its folder or to `images` and `masks`.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it is not a table, or a row is not a pair.
    """
    path = pathlib.Path(table).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: --table names a CSV file")
    roots = [
        root_of(folder, flag) if folder else path.parent
        for folder, flag in ((images, "images"), (masks, "masks"))
    ]
    own = Own([])
    rows = _rows(path)
    if not rows:
        raise ValueError(f"{path} has a header but no rows: nothing to prepare")
    names: list[str] = []
    for number, row in rows:
        split = row.get("split", "").lower()
        if not row["image"] or not row["mask"] or ("split" in row and split not in SPLITS):
            raise ValueError(
                f"{path} line {number}: needs an image, a mask, and train, val or test"
            )
        image, mask = (
            walk.existing(root, row[key])
            for root, key in zip(roots, ("image", "mask"), strict=True)
        )
        if os.path.realpath(image) == os.path.realpath(mask):
            own.problems.append(f"{path} line {number}: {image} is both an image and a mask")
        name = walk.nfc(pathlib.PurePath(row["image"].replace("\\", "/")).as_posix())
        names.append(name.lstrip("/").removeprefix("../").removeprefix("./"))
        own.pairs.append((Pair("", image, mask), SPLITS.get(split, "")))
    stems = [pathlib.PurePosixPath(name).with_suffix("").as_posix() for name in names]
    times = Counter(stems)
    own.pairs = [
        (dataclasses.replace(pair, name=stem if times[stem] == 1 else name), split)
        for (pair, split), stem, name in zip(own.pairs, stems, names, strict=True)
    ]
    aliases: dict[str, set[str]] = {}
    for pair, _ in own.pairs:
        aliases.setdefault(os.path.realpath(pair.image), set()).add(str(pair.image))
    own.problems += [
        f"{' and '.join(sorted(paths))} are the same file"
        for paths in aliases.values()
        if len(paths) > 1
    ]
    shared: dict[str, list[str]] = {}
    for pair, _ in own.pairs:
        shared.setdefault(os.path.realpath(pair.mask), []).append(pair.name)
    several = [group for group in shared.values() if len(group) > 1]
    if several:
        own.remarks.append(
            f"WARNING: {path} gives one mask to several images, first to "
            f"{', '.join(several[0][:_SHOWN])}; {len(several)} masks in all"
        )
    return own
