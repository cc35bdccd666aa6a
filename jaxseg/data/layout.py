"""Which mask belongs to which image, by the paths of both.

A mask belongs to the image with the same path below its folder, without the suffixes of names; or
with the same path when folders that say only what they hold are taken out (images, labels,
train_masks); or with the same name, where no other image and no other mask of that split has it.
What no rule pairs is a problem; nothing is guessed. Unicode's two forms of a letter are one.
"""

import os
import pathlib
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from jaxseg.data import walk

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
        ("image", "images", "img", "imgs", "jpegimages", "leftimg8bit", "photo", "photos",
         "picture", "pictures", "input", "inputs"), "image"),
    **dict.fromkeys(
        ("mask", "masks", "label", "labels", "labelids", "annotation", "annotations", "annot",
         "annots", "gt", "gtfine", "gtcoarse", "groundtruth", "ground_truth",
         "segmentationclass", "segmentationclassaug", "target", "targets"), "mask"),
}  # fmt: skip
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


def unclear_splits(files: Iterable[File]) -> list[str]:
    """Folders that seem to name splits, two at least, in words that are not understood."""
    found: dict[str, str] = {}
    for file in files:
        for folder in file.key.split("/")[:-1] if not file.split else ():
            for word in re.split(r"[^a-z]+", folder.lower()):
                if word in SPLITS:
                    found[folder] = SPLITS[word]
    return sorted(found) if len(set(found.values())) > 1 else []


class Matched(NamedTuple):
    """Images with their masks, and a line for each problem."""

    pairs: list[tuple[File, File]]
    problems: list[str]


def _by(files: Sequence[File], key: Callable[[File], Hashable]) -> dict[Hashable, list[File]]:
    found: dict[Hashable, list[File]] = {}
    for file in files:
        found.setdefault(key(file), []).append(file)
    return found


def _apart(one: File, other: File) -> bool:
    """Whether their folders name two splits."""
    return bool(one.split and other.split and one.split != other.split)


def _once(files: Sequence[File], what: str) -> tuple[list[File], list[str]]:
    """The files whose keys no other has, and a line for each key that several have."""
    groups = _by(files, lambda file: file.key)
    lines = [
        f"{' and '.join(str(file.path) for file in group)} have the same name: one {what} each"
        for group in groups.values()
        if len(group) > 1
    ]
    return [group[0] for group in groups.values() if len(group) == 1], lines


def match(
    images: Sequence[File], masks: Sequence[File], image_root: str, mask_root: str
) -> Matched:
    """Pairs images and masks.

    Args:
      images: each with its key.
      masks: each with its key.
      image_root: where images were looked for, for messages.
      mask_root: where masks were looked for.

    Returns:
      The pairs in the order of the images; problems: files without a partner or with several.
    """
    problems = [file.problem for file in (*images, *masks) if file.problem]
    all_images, all_masks = images, masks
    images, twice = _once(images, "image")
    masks, twice_masks = _once(masks, "mask")
    problems += twice + twice_masks
    mask_of: dict[str, File] = {}  # key of an image -> its mask
    owner: dict[str, File] = {}  # key of a mask -> its image
    keys: tuple[Callable[[File], Hashable], ...] = (lambda f: f.key, lambda f: f.same)
    for key in keys:
        masks_by = _by(masks, key)
        for value, (image, *others) in _by(images, key).items():
            same = masks_by.get(value, [])
            if others or len(same) != 1 or image.key in mask_of or same[0].key in owner:
                continue
            mask_of[image.key], owner[same[0].key] = same[0], image
    told = {file.key for file in all_images} - {file.key for file in images}
    told_masks = {file.key for file in all_masks} - {file.key for file in masks}
    told, told_masks = told | told_masks, told_masks | told  # its partner is not lost
    lines = _by_name(images, masks, mask_of, owner, told, told_masks)
    free = [image for image in images if image.key not in mask_of]
    spare = [mask for mask in masks if mask.key not in owner]
    lines += [
        f"{image.key} has no mask below {mask_root}: {image.path}{_near(image, spare)}"
        for image in free
        if image.key not in told
    ]
    lines += [
        f"{mask.key} has no image below {image_root}: {mask.path}"
        for mask in spare
        if mask.key not in told_masks
    ]
    pairs = [(image, mask_of[image.key]) for image in images if image.key in mask_of]
    return Matched(pairs, problems + _ending(free, spare) + lines)


def _by_name(
    images: Sequence[File],
    masks: Sequence[File],
    mask_of: dict[str, File],
    owner: dict[str, File],
    told: set[str],
    told_masks: set[str],
) -> list[str]:
    """Pairs what is left where no other image and no other mask of the split has the name.

    Returns:
      Lines for the others; their keys are added to `told` and `told_masks`.
    """
    lines = []
    images_by, masks_by = (_by(files, lambda file: file.name) for files in (images, masks))
    for image in images:
        if image.key in mask_of or image.key in told or image.name not in masks_by:
            continue
        named = masks_by[image.name]
        near = [mask for mask in named if not _apart(image, mask)]
        usable = [mask for mask in near if mask.key not in owner]
        if not usable:
            mask = (near or named)[0]
            of = owner[mask.key].path if mask.key in owner else f"the split {mask.split}"
            lines.append(f"{image.key} has no mask: {mask.path} has its name, but is that of {of}")
            told.add(image.key)
            continue
        rivals = [other for other in images_by[image.name] if not _apart(other, usable[0])]
        if len(near) == 1 and len(rivals) == 1:
            mask_of[image.key], owner[usable[0].key] = usable[0], image
            continue
        told_masks.update(mask.key for mask in usable)
        told.add(image.key)
        if len(usable) > 1:
            several = " and ".join(str(mask.path) for mask in usable)
            lines.append(f"{image.key} has several masks of its name: {several}")
        elif len(rivals) > 1:
            told.update(other.key for other in rivals)
            several = " and ".join(str(other.path) for other in rivals)
            lines.append(f"{several} would share the mask {usable[0].path}")
        else:
            lines.append(
                f"{image.key} has no mask of its path; {usable[0].path} has its name, and so has "
                f"{next(mask.path for mask in near if mask.key in owner)}"
            )
    return lines


def _near(image: File, masks: Sequence[File]) -> str:
    """A mask whose path differs from the image's in letter case alone, for messages."""
    folded = image.key.casefold()
    found = next((mask for mask in masks if mask.key.casefold() == folded), None)
    return f"; {found.path} differs in letter case" if found else ""


def _ending(images: Sequence[File], masks: Sequence[File]) -> list[str]:
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


def same_files(files: Iterable[File]) -> dict[str, list[pathlib.Path]]:
    """Real path -> the paths that lead to it."""
    found: dict[str, list[pathlib.Path]] = {}
    for file in files:
        found.setdefault(os.path.realpath(file.path), []).append(file.path)
    return found


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
            return [], [], [line, *_ending([*found["image"], *both], [*found["mask"], *both])]
    return found["image"], found["mask"] + both, []
