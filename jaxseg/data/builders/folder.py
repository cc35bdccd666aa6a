"""One's own data: two folders of images and masks, or a CSV file of pairs, and a list of classes.

Pairs: a mask belongs to the image with the same path below its folder, or, where that finds none,
with the same file name; suffixes of names (`_leftImg8bit`, `_gtFine_labelIds`) can be taken off.

Classes: see `class_file`.

Splits: folders train, val, test (or training, validation, valid, testing) anywhere in the paths, or
the CSV column `split`; else a share is drawn for val, the same whatever the order of the files.
"""

import csv
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import builders, files, pairs, records
from jaxseg.data.class_file import read_classes
from jaxseg.data.labels import MAX_CLASSES, LabelSpec, voc_palette
from jaxseg.types import IGNORE

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """Where the files are; either `images` and `masks`, or `table`."""

    images: str = ""
    masks: str = ""
    classes: str = ""
    table: str = ""  # CSV with the columns image, mask and perhaps split
    image_suffix: str = ""  # at the end of image names, before the dot
    mask_suffix: str = ""
    val_share: float = 0.1  # drawn where the paths tell no splits
    seed: int = 0


def _files(folder: str, kinds: Sequence[str], suffix: str) -> dict[pathlib.PurePath, pathlib.Path]:
    """Path below the folder, without the suffixes -> file."""
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder: --images and --masks each name one")
    found: dict[pathlib.PurePath, pathlib.Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in kinds and path.stem.endswith(suffix):
            key = path.relative_to(root).with_name(path.stem.removesuffix(suffix) or path.stem)
            if key in found:
                raise ValueError(f"{found[key]} and {path} have the same name")
            found[key] = path
    if not found:
        ending = f" whose names end in {suffix}" if suffix else ""
        raise FileNotFoundError(f"{root} holds no {', '.join(kinds)} files{ending}")
    return found


def _matched(config: FolderConfig) -> list[pairs.Pair]:
    """The images with their masks; a file without a partner is a pair too, for `pairs.check`."""
    images = _files(config.images, files.IMAGE_SUFFIXES, config.image_suffix)
    masks = _files(config.masks, files.MASK_SUFFIXES, config.mask_suffix)
    by_name: dict[str, list[pathlib.Path]] = {}
    for key, path in masks.items():
        by_name.setdefault(key.name, []).append(path)

    def partner(
        key: pathlib.PurePath, folder: str, suffix: str, like: pathlib.Path
    ) -> pathlib.Path:
        name = f"{key.name}{suffix}{like.suffix}"
        return pathlib.Path(folder).expanduser() / key.with_name(name)

    found, used = [], set()
    for key, image in images.items():
        candidates = [masks[key]] if key in masks else by_name.get(key.name, [])
        used.update(candidates)
        mask, draw = candidates[0] if candidates else None, None
        if len(candidates) > 1:
            draw = functools.partial(_refuse, " and ".join(map(str, candidates)))
        mask = mask or partner(key, config.masks, config.mask_suffix, next(iter(masks.values())))
        found.append(pairs.Pair(key.as_posix(), image, mask, draw=draw))
    like = next(iter(images.values()))
    found += [
        pairs.Pair(key.as_posix(), partner(key, config.images, config.image_suffix, like), mask)
        for key, mask in masks.items()
        if mask not in used
    ]
    return found


def _refuse(several: str) -> np.ndarray:
    raise ValueError(f"is one of several masks with this name: {several}")


def _listed(config: FolderConfig) -> tuple[list[pairs.Pair], list[str]]:
    """The pairs of a CSV file and their splits ("" where it has no such column)."""
    table = pathlib.Path(config.table).expanduser()
    images = pathlib.Path(config.images).expanduser() if config.images else table.parent
    masks = pathlib.Path(config.masks).expanduser() if config.masks else table.parent
    if not table.is_file():
        raise FileNotFoundError(f"{table}: no such file: --table names a CSV file")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is no table (CSV in UTF-8): {error}") from None
    if not rows or not {"image", "mask"} <= set(rows[0]):
        columns = ", ".join(filter(None, rows[0])) if rows else "no rows"
        raise ValueError(f"{table} needs the columns image, mask (and perhaps split): {columns}")
    found, splits = [], []
    for number, row in enumerate(rows, 2):
        split = row.get("split") or ""
        whole = row["image"] and row["mask"] and "\0" not in row["image"] + row["mask"]
        if not whole or ("split" in row and split not in _SPLITS):
            raise ValueError(
                f"{table} line {number}: needs an image, a mask, and train, val or test"
            )
        name = pathlib.PurePath(row["image"]).with_suffix("").as_posix().lstrip("/")
        found.append(pairs.Pair(name, images / row["image"], masks / row["mask"]))
        splits.append(_SPLITS.get(split, ""))
    return found, splits


def _split_of(name: str) -> str:
    parts = [_SPLITS[part] for part in name.lower().split("/")[:-1] if part in _SPLITS]
    return parts[0] if parts else ""


def _drawn(found: Sequence[pairs.Pair], share: float, seed: int) -> dict[str, list[pairs.Pair]]:
    """A share for val by a hash of the names: adding files moves almost none of the others."""
    order = sorted(found, key=lambda pair: hashlib.sha256(f"{seed}/{pair.name}".encode()).digest())
    chosen = {pair.name for pair in order[: round(share * len(found))]}
    return {
        "train": [pair for pair in found if pair.name not in chosen],
        "val": [pair for pair in found if pair.name in chosen],
    }


def any_id() -> LabelSpec:
    """Every id up to 253 as a class of its own, 254 and 255 as void: to look at unknown data."""
    ids = range(MAX_CLASSES)
    return LabelSpec(
        names=tuple(f"id {k}" for k in ids),
        palette=voc_palette(MAX_CLASSES),
        raw_to_train={**{k: k for k in ids}, 254: IGNORE, 255: IGNORE},
    )


def find(config: FolderConfig, *, need_classes: bool = True) -> pairs.Published:
    """The pairs, their splits and classes.

    Args:
      config: where the files are.
      need_classes: False: where there is no file of classes, every id is one.

    Raises:
      FileNotFoundError: a folder or file that is not there.
      ValueError: a classes file or table that is wrong, files of which some tell a split.
    """
    named = config.classes or not need_classes
    if not named or not (config.table or (config.images and config.masks)):
        raise ValueError(
            "a set of one's own needs --images=FOLDER --masks=FOLDER (or --table=CSV) and "
            "--classes=FILE, one class a line: NAME, or ID NAME, or NAME RED GREEN BLUE"
        )
    if not 0 <= config.val_share < 1:
        raise ValueError(f"val_share {config.val_share}: a share from 0 to 1 (without 1)")
    labels: LabelSpec = any_id()
    colours: files.Colours | None = None
    if config.classes:
        classes = read_classes(pathlib.Path(config.classes).expanduser())
        labels, colours = classes.labels, classes.colours
    if config.table:
        found, splits = _listed(config)
    else:
        found = _matched(config)
        splits = [_split_of(pair.name) for pair in found]
    by_split: Mapping[str, list[pairs.Pair]]
    if set(splits) in ({""}, {"train"}):
        by_split = _drawn(found, config.val_share, config.seed)
    elif "" not in splits:
        by_split = {split: [] for split in dict.fromkeys(_SPLITS.values()) if split in splits}
        for pair, split in zip(found, splits, strict=True):
            by_split[split].append(pair)
    else:
        lost = [pair.name for pair, split in zip(found, splits, strict=True) if not split]
        raise ValueError(f"{len(lost)} of {len(found)} files are in no split: {lost[0]} ...")
    return pairs.Published({s: p for s, p in by_split.items() if p}, labels, colours)


class Folder(tfds.core.GeneratorBasedBuilder):
    """The builder; its config says where the files are."""

    VERSION = tfds.core.Version(builders.VERSIONS["folder"])

    def _info(self) -> tfds.core.DatasetInfo:
        classes = read_classes(pathlib.Path(self.builder_config.classes).expanduser())
        return records.info(self, classes.labels)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        return pairs.generators(self, find(self.builder_config))

    def _generate_examples(
        self, published: pairs.Published, split: str
    ) -> Iterator[tuple[int, dict[str, object]]]:
        yield from pairs.examples(published, split)
