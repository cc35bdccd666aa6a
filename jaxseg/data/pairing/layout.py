"""Interprets the path of a file: image or mask, split, name."""

import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxseg.data.readers import walk

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_WORDS = {  # names of folders -> what they hold
    **dict.fromkeys(
        (
            "image",
            "images",
            "img",
            "imgs",
            "jpegimages",
            "leftimg8bit",
            "photo",
            "photos",
            "picture",
            "pictures",
            "input",
            "inputs",
        ),
        "image",
    ),
    **dict.fromkeys(
        (
            "mask",
            "masks",
            "label",
            "labels",
            "labelids",
            "annotation",
            "annotations",
            "annot",
            "annots",
            "gt",
            "gtfine",
            "gtcoarse",
            "groundtruth",
            "ground_truth",
            "segmentationclass",
            "segmentationclassaug",
            "target",
            "targets",
        ),
        "mask",
    ),
}
_SHOWN = 5  # files
_SPLIT, _ROLE = ("|".join(sorted(words, key=len, reverse=True)) for words in (SPLITS, _WORDS))
_YEAR = r"(?:(?:19|20)\d\d)?"
_FOLDER = re.compile(  # train, train2017, images, train_images, trainannot, masks-val
    rf"(?P<split>{_SPLIT})?{_YEAR}[ _.-]?(?P<role>{_ROLE})?[ _.-]?(?P<last>{_SPLIT})?{_YEAR}"
)


class File(NamedTuple):
    """An image or a mask.

    Attributes:
      path: the file.
      key: its path below its folder, without suffixes, in NFC: the name of the pair.
      same: the key without folders that only describe their contents: equal for an image and its
        mask.
      split: "train", "val", "test", or "" if no folder names one.
      role: "image", "mask", or "" if no folder names one.
      problem: a fault of its path, or "".
    """

    path: pathlib.Path
    key: str
    same: str
    split: str
    role: str
    problem: str = ""

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]


def file_of(path: pathlib.Path, root: pathlib.Path, suffix: str = "") -> File:
    """Interprets the path of a file.

    Args:
      path: of the file, below `root`.
      root: the folder named by the user.
      suffix: of its name before the dot, which is removed.
    """
    stem = walk.nfc(path.stem)
    name = stem.removesuffix(walk.nfc(suffix)) or stem
    folders = [walk.nfc(part) for part in path.relative_to(root).parts[:-1]]
    splits, roles, same = [], [], []
    for folder in folders:
        found = _FOLDER.fullmatch(folder.lower())
        if found is None or not any(found.groups()) or (found["split"] and found["last"]):
            same.append(folder)
            continue
        if word := found["split"] or found["last"]:
            splits.append(SPLITS[word])
            same.append(SPLITS[word])
        if found["role"]:
            roles.append(_WORDS[found["role"]])
    problem = ""
    if len(set(splits)) > 1:
        problem = f"{path} is in folders of several splits: {', '.join(splits)}"
    return File(
        path,
        "/".join([*folders, name]),
        "/".join([*same, name]),
        splits[0] if splits else "",
        roles[-1] if roles else "",
        problem,
    )


def apart(one: File, other: File) -> bool:
    """Whether their folders name different splits."""
    return bool(one.split and other.split and one.split != other.split)


def unclear_splits(files: Iterable[File]) -> list[str]:
    """Folders, at least two, that seem to name splits in unknown words."""
    found: dict[str, str] = {}
    for file in files:
        for folder in file.key.split("/")[:-1] if not file.split else ():
            for word in re.split(r"[^a-z]+", folder.lower()):
                if word in SPLITS:
                    found[folder] = SPLITS[word]
    return sorted(found) if len(set(found.values())) > 1 else []


def divide(
    files: Sequence[File], images: set[pathlib.Path], masks: set[pathlib.Path]
) -> tuple[list[File], list[File], list[str]]:
    """Separates images and masks among the files of a folder that holds both.

    Folders named after their contents (images, masks) decide; if only one kind is named in a tree,
    files elsewhere are of the other kind. A folder of a.jpg and a.png can also be separated if each
    JPEG file has a PNG file and vice versa, since a JPEG file is never a mask.

    Args:
      files: all of the folder.
      images: paths that can be images, by their names.
      masks: paths that can be masks, by their names; a path can be in both.

    Returns:
      The images, the masks, and lines about files that could be both; in that case there are no
      images and masks.
    """
    found: dict[str, list[File]] = {"image": [], "mask": [], "both": [], "neither": []}
    roles = {file.role for file in files} - {""}
    for file in files:
        can = {kind for kind, of in (("image", images), ("mask", masks)) if file.path in of}
        if file.role:
            can &= {file.role}
        elif len(can) == 2 and len(roles) == 1:
            can -= roles
        found["both" if len(can) == 2 else "".join(can) or "neither"].append(file)
    if both := found["both"]:
        sure, either = ([file.key for file in found[kind]] for kind in ("image", "both"))
        if found["mask"] or sorted(sure) != sorted(either):
            shown = ", ".join(str(file.path) for file in both[:_SHOWN])
            more = f" and {len(both) - _SHOWN} more" if len(both) > _SHOWN else ""
            line = (
                f"{shown}{more} could be an image or a mask: put them into folders named images "
                "and masks, or give the suffix of the names of masks with --mask_suffix"
            )
            return (
                [],
                [],
                [line, *missing_ending([*found["image"], *both], [*found["mask"], *both])],
            )
    return found["image"], found["mask"] + both, []


def missing_ending(images: Sequence[File], masks: Sequence[File]) -> list[str]:
    """Suggests a flag if names without a partner differ in one suffix."""
    for flag, short, long in (("mask", images, masks), ("image", masks, images)):
        names = {file.name for file in short}
        ends = {
            file.name[cut:]
            for file in long
            for cut in range(len(file.name))
            if file.name[:cut] in names
        }
        if len(ends) == 1 and not (end := ends.pop()).isdigit():
            return [f"the names of {flag}s end in {end}: give --{flag}_suffix={end}"]
    return []
