"""What the path of a file says: image or mask, its split, its name."""

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
      same: the key without folders that only say what they hold: equal for an image and its mask.
      split: "train", "val", "test", or "" where no folder says one.
      role: "image", "mask", or "" where no folder says one.
      problem: what is wrong with its path; "".
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
    """What the path of a file says.

    Args:
      path: of the file, below `root`.
      root: the folder that was given.
      suffix: of its name before the dot, taken off.
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
        problem = f"{path} lies in folders of several splits: {', '.join(splits)}"
    return File(
        path,
        "/".join([*folders, name]),
        "/".join([*same, name]),
        splits[0] if splits else "",
        roles[-1] if roles else "",
        problem,
    )


def apart(one: File, other: File) -> bool:
    """Whether their folders name two splits."""
    return bool(one.split and other.split and one.split != other.split)


def unclear_splits(files: Iterable[File]) -> list[str]:
    """Folders that seem to name splits, two at least, in words that are not understood."""
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
    """Images and masks among the files of one folder, which holds both.

    Folders that say what they hold decide (images, masks); of a tree where only one kind is named,
    what lies elsewhere is the other. So does a folder of a.jpg and a.png where each JPEG file has
    its PNG file and the other way round, for a JPEG file is never a mask.

    Args:
      files: all of the folder.
      images: paths that can be images, by their names.
      masks: paths that can be masks, by their names; a path can be in both.

    Returns:
      The images, the masks, and lines on what can be both; where there is such, none of them.
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
                f"{shown}{more} can be an image as well as a mask: put them into folders images "
                "and masks, or give the ending of the masks' names with --mask_suffix"
            )
            return (
                [],
                [],
                [line, *missing_ending([*found["image"], *both], [*found["mask"], *both])],
            )
    return found["image"], found["mask"] + both, []


def missing_ending(images: Sequence[File], masks: Sequence[File]) -> list[str]:
    """The flag that is missing where names without a partner differ in one ending."""
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
