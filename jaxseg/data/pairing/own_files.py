"""Finds the pairs of your own data in folders and lists of names."""

import dataclasses
import os
import pathlib
from collections.abc import Collection, Sequence

from jaxseg.data.pairing import layout, matching
from jaxseg.data.pairing.layout import SPLITS
from jaxseg.data.pairing.pairs import Pair
from jaxseg.data.readers import mask_file, text_file, walk

_SHOWN = 5  # names


@dataclasses.dataclass
class Own:
    """The result of a search.

    Attributes:
      pairs: each with its split, or "" if none is named.
      problems: a line each; nothing is prepared if there are any.
      remarks: about files that are left out, a line each.
    """

    pairs: list[tuple[Pair, str]]
    problems: list[str] = dataclasses.field(default_factory=list)
    remarks: list[str] = dataclasses.field(default_factory=list)


def root_of(folder: str, flag: str) -> pathlib.Path:
    """The folder that a flag names.

    Raises:
      FileNotFoundError: it does not exist.
    """
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder: --{flag} must name one")
    return root


def _check_suffix(suffix: str, flag: str) -> None:
    if "." in suffix or "/" in suffix:
        raise ValueError(
            f"--{flag}={suffix}: must be the end of names before the dot, as in --{flag}=_mask"
        )


def _remark(root: pathlib.Path, left_out: Collection[walk.LeftOut], used: int) -> list[str]:
    """The number of files of a folder that are used, and what is left out."""
    if not left_out:
        return []
    count = used + sum(not left.folder for left in left_out)
    return [f"{root}: {used} of {count} files are used; left out: {walk.text(left_out, root)}"]


def _faults(left_out: Collection[walk.LeftOut]) -> list[str]:
    return [walk.shown(left) for left in left_out if left.fault]


def _ends(path: pathlib.Path, suffix: str) -> bool:
    return walk.nfc(path.stem).endswith(walk.nfc(suffix))


def _not_used(found: walk.Found, used: Collection[pathlib.Path], why: str) -> list[walk.LeftOut]:
    """The files left out of a search, including those that are not used."""
    others = [walk.LeftOut(path, why) for path in found.files if path not in used]
    return sorted([*found.left_out, *others], key=lambda left: left.path)


def _one_kind(
    root: pathlib.Path, kind: str, suffix: str, other: str
) -> tuple[list[layout.File], list[str], list[str]]:
    """The images or the masks below a folder, but not below `other`; problems and remarks."""
    suffixes = mask_file.IMAGE_SUFFIXES if kind == "image" else mask_file.MASK_SUFFIXES
    found = walk.below(root, without={other: ""})
    kinds = walk.kinds(found, suffixes, f"{'an' if kind == 'image' else 'a'} {kind}")
    used = [path for path in kinds.files if _ends(path, suffix)]
    left_out = _not_used(kinds, set(used), f"has a name that does not end in {suffix}")
    if not used and not _faults(left_out):
        ending = f" whose names end in {suffix}" if suffix else ""
        jpeg = any(path.suffix.lower() in (".jpg", ".jpeg") for path in found.files)
        lossy = "; JPEG changes pixels, so ids would be lost" if kind == "mask" and jpeg else ""
        others = f"; left out: {walk.text(left_out, root)}" if left_out else ""
        raise FileNotFoundError(
            f"{root} holds no {', '.join(suffixes)} files{ending}{others}{lossy}"
        )
    here = [layout.file_of(path, root, suffix) for path in used]
    return here, _faults(left_out), _remark(root, left_out, len(used))


def _both_kinds(
    root: pathlib.Path, image_suffix: str, mask_suffix: str
) -> tuple[list[layout.File], list[layout.File], list[str], list[str]]:
    """The images and masks below one folder, problems and remarks."""
    found = walk.below(root)
    can_image, can_mask = set(), set()
    for path in found.files:
        kind = path.suffix.lower()
        image = kind in mask_file.IMAGE_SUFFIXES and _ends(path, image_suffix)
        mask = kind in mask_file.MASK_SUFFIXES and _ends(path, mask_suffix)
        if image and (not mask or not mask_suffix or image_suffix):
            can_image.add(path)
        if mask and (not image or not image_suffix or mask_suffix):
            can_mask.add(path)
    listed = [
        layout.file_of(path, root, "" if path in can_image else mask_suffix)
        for path in found.files
        if path in can_image | can_mask
    ]
    images, masks, problems = layout.divide(listed, can_image, can_mask)
    images = [layout.file_of(image.path, root, image_suffix) for image in images]
    masks = [layout.file_of(mask.path, root, mask_suffix) for mask in masks]
    used = {file.path for file in (*images, *masks)}
    if not problems and not (images and masks):
        lacks = "images" if not images else "masks"
        raise FileNotFoundError(
            f"{root}, given as --images and as --masks, holds no {lacks}: name its folders images "
            "and masks, or give the suffix of the names of masks with --mask_suffix"
        )
    left_out = _not_used(found, used, "is neither an image nor a mask by its name and folder")
    remarks = [] if problems else _remark(root, left_out, len(used))
    return images, masks, problems + _faults(left_out), remarks


def in_folders(
    images: str, masks: str, image_suffix: str, mask_suffix: str, lists: str = ""
) -> Own:
    """The pairs below two folders, which may be the same or nested.

    Args:
      images: the folder of images.
      masks: the folder of masks.
      image_suffix: end of the names of images, before the dot.
      mask_suffix: end of the names of masks.
      lists: a folder of train.txt, val.txt, test.txt: names, one per line; "": use all images.

    Raises:
      FileNotFoundError: a folder does not exist, or holds no such files.
      ValueError: an invalid suffix; a list that cannot be read.
    """
    _check_suffix(image_suffix, "image_suffix")
    _check_suffix(mask_suffix, "mask_suffix")
    image_root, mask_root = root_of(images, "images"), root_of(masks, "masks")
    real_image, real_mask = os.path.realpath(image_root), os.path.realpath(mask_root)
    _check_splits(real_image, real_mask)
    if real_image == real_mask:
        found, targets, problems, remarks = _both_kinds(image_root, image_suffix, mask_suffix)
    else:
        found, wrong, said = _one_kind(image_root, "image", image_suffix, real_mask)
        targets, problems, remarks = _one_kind(mask_root, "mask", mask_suffix, real_image)
        problems, remarks = wrong + problems, said + remarks
    split_of: dict[str, str] | None = None
    if lists:
        split_of, wrong, said = _from_lists(root_of(lists, "lists"), found)
        names = {key.rpartition("/")[2] for key in split_of}
        found = [image for image in found if image.key in split_of]
        targets = [mask for mask in targets if mask.name in names]
        problems, remarks = problems + wrong, remarks + said
    elif unclear := layout.unclear_splits([*found, *targets]):
        problems.append(
            f"the folders {', '.join(unclear[:_SHOWN])} seem to be splits: name them train, val "
            "and test, or give the splits in --table or --lists"
        )
    pairs, wrong = matching.match(found, targets, str(image_root), str(mask_root))
    bare = {image.split for image in found} - {image.split for image, _ in pairs} - {""}
    problems += [
        f"no image of the split {split} has a mask: leave its folder out of --images (prediction "
        "needs no masks), or name the others in --lists"
        for split in sorted(bare)
    ]
    problems += wrong + _one_file_each(pairs)
    return Own(
        [
            (
                Pair(image.key, image.path, mask.path),
                (split_of or {}).get(image.key, "") if lists else image.split or mask.split,
            )
            for image, mask in pairs
        ],
        problems,
        remarks,
    )


def _check_splits(images: str, masks: str) -> None:
    """Raises if two folders are in different splits, such as train/images and val/masks."""
    top = pathlib.Path(os.path.commonpath([images, masks]))
    image, mask = (layout.file_of(pathlib.Path(root, "_"), top) for root in (images, masks))
    if layout.apart(image, mask):
        raise ValueError(
            f"--images={images} is in the split {image.split}, but --masks={masks} in "
            f"{mask.split}: name folders of one split, or folders that contain all splits"
        )


def _one_file_each(pairs: Sequence[tuple[layout.File, layout.File]]) -> list[str]:
    """Lines for files with several paths, through links."""
    images = matching.same_files(image for image, _ in pairs)
    masks = matching.same_files(mask for _, mask in pairs)
    lines = [f"{images[real][0]} is both an image and a mask" for real in images if real in masks]
    for paths in (*images.values(), *masks.values()):
        if len(paths) > 1:
            lines.append(f"{' and '.join(map(str, paths))} are the same file")
    return lines


def _from_lists(
    folder: pathlib.Path, images: Sequence[layout.File]
) -> tuple[dict[str, str], list[str], list[str]]:
    """Image key -> split, problems and remarks, from the lists in a folder."""
    lists: dict[str, pathlib.Path] = {}
    problems, others = [], []
    for path in walk.below(folder).checked():
        split = SPLITS.get(path.stem.lower(), "") if path.suffix.lower() == ".txt" else ""
        if not split or path.parent != folder:
            others.append(path.name)
        elif split in lists:
            problems.append(f"{lists[split]} and {path} are two lists of the split {split}")
        else:
            lists[split] = path
    if not lists:
        raise FileNotFoundError(
            f"{folder} holds no lists of names: train.txt, val.txt or test.txt"
            + (f"; it holds {', '.join(others[:_SHOWN])}" if others else "")
        )
    by_key = {image.key: image for image in images}
    by_name: dict[str, list[str]] = {}
    for image in images:
        by_name.setdefault(image.name, []).append(image.key)
    split_of: dict[str, str] = {}
    for split, path in lists.items():
        if not (lines := text_file.lines(path)):
            problems.append(f"{path} lists no images")
        for number, line in lines:
            where, name = f"{path} line {number}", walk.nfc(line).removeprefix("./")
            stem, dot, kind = name.rpartition(".")
            name = stem if dot and f".{kind.lower()}" in mask_file.IMAGE_SUFFIXES else name
            keys = [name] if name in by_key else by_name.get(name, [])
            if len(keys) != 1:
                what = f"is the name of {len(keys)} images" if keys else "is not among the images"
                problems.append(f"{where}: {line} {what}")
            elif keys[0] in split_of:
                problems.append(f"{where}: {line} is listed already, for {split_of[keys[0]]}")
            else:
                split_of[keys[0]] = split
    remarks = [f"{folder}: not used: {', '.join(others[:_SHOWN])}"] if others else []
    if unlisted := len(images) - len(split_of):
        remarks.append(f"{unlisted} of {len(images)} images are in no list of {folder}")
    return split_of, problems, remarks
