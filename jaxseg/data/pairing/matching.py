"""Matches each image with its mask, by the paths of both.

A mask belongs to the image with the same path below its folder, without the suffixes of names; or
with the same path after folders that only describe their contents (images, labels, train_masks) are
removed; or with the same name, if no other image and no other mask of that split has it. Files that
no rule pairs are reported; nothing is guessed. The two Unicode forms of a letter are equal.
"""

import os
import pathlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from jaxseg.data.pairing import layout
from jaxseg.data.pairing.layout import File


class Matched(NamedTuple):
    """Images with their masks, and a line for each problem."""

    pairs: list[tuple[File, File]]
    problems: list[str]


def _by(files: Sequence[File], key: Callable[[File], Hashable]) -> dict[Hashable, list[File]]:
    found: dict[Hashable, list[File]] = {}
    for file in files:
        found.setdefault(key(file), []).append(file)
    return found


def _once(files: Sequence[File], what: str) -> tuple[list[File], list[str]]:
    """The files with unique keys, and a line for each key that several files have."""
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
      image_root: the folder of images, for messages.
      mask_root: the folder of masks, for messages.

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
    told, told_masks = told | told_masks, told_masks | told  # the partner is reported already
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
    return Matched(pairs, problems + layout.missing_ending(free, spare) + lines)


def _by_name(
    images: Sequence[File],
    masks: Sequence[File],
    mask_of: dict[str, File],
    owner: dict[str, File],
    told: set[str],
    told_masks: set[str],
) -> list[str]:
    """Pairs the remaining files whose name is unique among images and masks of the split.

    Returns: Lines for the others, whose keys are added to `told` and `told_masks`.
    """
    lines = []
    images_by, masks_by = (_by(files, lambda file: file.name) for files in (images, masks))
    for image in images:
        if image.key in mask_of or image.key in told or image.name not in masks_by:
            continue
        named = masks_by[image.name]
        near = [mask for mask in named if not layout.apart(image, mask)]
        usable = [mask for mask in near if mask.key not in owner]
        if not usable:
            mask = (near or named)[0]
            of = owner[mask.key].path if mask.key in owner else f"the split {mask.split}"
            lines.append(f"{image.key} has no mask: {mask.path} has its name, but is that of {of}")
            told.add(image.key)
            continue
        rivals = [other for other in images_by[image.name] if not layout.apart(other, usable[0])]
        if len(near) == 1 and len(rivals) == 1:
            mask_of[image.key], owner[usable[0].key] = usable[0], image
            continue
        told_masks.update(mask.key for mask in usable)
        told.add(image.key)
        if len(usable) > 1:
            several = " and ".join(str(mask.path) for mask in usable)
            lines.append(f"{image.key} has several masks with its name: {several}")
        elif len(rivals) > 1:
            told.update(other.key for other in rivals)
            several = " and ".join(str(other.path) for other in rivals)
            lines.append(f"{several} would share the mask {usable[0].path}")
        else:
            lines.append(
                f"{image.key} has no mask with its path; {usable[0].path} has its name, and so "
                "does "
                f"{next(mask.path for mask in near if mask.key in owner)}"
            )
    return lines


def _near(image: File, masks: Sequence[File]) -> str:
    """A mask whose path differs from the image's only in case, for messages."""
    folded = image.key.casefold()
    found = next((mask for mask in masks if mask.key.casefold() == folded), None)
    return f"; {found.path} differs only in letter case" if found else ""


def same_files(files: Iterable[File]) -> dict[str, list[pathlib.Path]]:
    """Real path -> the paths that resolve to it."""
    found: dict[str, list[pathlib.Path]] = {}
    folders: dict[str, str] = {}  # -> real path
    for file in files:
        folder, name = os.path.split(file.path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        path = os.path.join(folders[folder], name)
        real = os.path.realpath(path) if os.path.islink(path) else path
        found.setdefault(real, []).append(file.path)
    return found
