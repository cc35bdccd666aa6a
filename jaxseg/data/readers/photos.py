"""Reads image files from cameras and scanners as uint8 RGB, and finds them in folders."""

import os
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.data.readers import mask_file, pixels, walk

SUFFIXES = mask_file.IMAGE_SUFFIXES
OUTPUTS = ("labels", "instances", "overlays", "probabilities")  # folders of predictions


class Photo(NamedTuple):
    """A file to predict and the name of its outputs, without a suffix."""

    file: pathlib.Path
    name: str
    renamed: bool = False  # another file has the same plain name


def read(path: pathlib.Path) -> np.ndarray:
    """Reads an image, uint8 RGB [H, W, 3], as in training: see `jaxseg.data.readers.pixels`.

    Raises:
      ValueError: the reason why it cannot be read, without the file's name.
    """
    try:
        return pixels.read_image(path)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("is ")) from None


class Found(NamedTuple):
    """The files to predict, and the files left out, with the reasons."""

    photos: list[Photo]
    left_out: list[walk.LeftOut]


def find(inputs: Sequence[str | pathlib.Path], *, without: pathlib.Path | None = None) -> Found:
    """The image files in `inputs`, searching folders recursively; sorted, with unique names.

    A file given directly keeps its name; one found in a folder has its relative path as its name.
    If two would share a name (a.jpg and a.png are both "a"), their suffixes are kept ("a.jpg",
    "a.png"); if that is not enough, a number is added. Links are followed; see `walk.below` for
    what is never an image.

    Args:
      inputs: files, with any suffix, or folders, which are searched for the suffixes above.
      without: the output folder, which is not searched if it is inside an input.

    Raises:
      FileNotFoundError: an input does not exist.
      ValueError: there is no image in any of them.
    """
    found: dict[pathlib.Path, pathlib.PurePath] = {}  # file -> its relative path
    left_out: list[walk.LeftOut] = []
    for given in map(pathlib.Path, inputs):
        if given.is_dir():
            inside = walk.below(given, without=_outputs(given, without))
            images = walk.kinds(inside, SUFFIXES, "an image")
            broken = [left for left in images.left_out if _names_an_image(left.path)]
            left_out += [left for left in images.left_out if left not in broken]
            for path in sorted([*images.files, *(left.path for left in broken)]):
                found.setdefault(path, path.relative_to(given))
        elif given.exists():
            found.setdefault(given, pathlib.PurePath(given.name))
        else:
            raise FileNotFoundError(f"{given}: no such file or folder")
    if not found:
        if not inputs:
            raise ValueError("no image is given: name files or folders (--inputs=FOLDER)")
        where = ", ".join(map(str, inputs))
        others = f"; left out: {walk.text(left_out)}" if left_out else ""
        raise ValueError(f"no image in {where}: looked for {' '.join(SUFFIXES)}{others}")
    return Found(_named(found), left_out)


def _names_an_image(path: pathlib.Path) -> bool:
    """Whether it is a broken link with an image's suffix, which reading will report."""
    return path.is_symlink() and not path.exists() and path.suffix.lower() in SUFFIXES


def _outputs(given: pathlib.Path, output: pathlib.Path | None) -> dict[str, str]:
    """Real paths of output folders below `given` -> why they are not searched."""
    if output is None:
        return {}
    inside = given.resolve().is_relative_to(output.resolve())  # the photos are inside the output
    folders = [output / part for part in OUTPUTS] if inside else [output]
    return dict.fromkeys(map(os.path.realpath, folders), "is the output of this command")


def _named(found: dict[pathlib.Path, pathlib.PurePath]) -> list[Photo]:
    """A unique name for each file, ignoring case and Unicode form."""
    plain = [relative.with_suffix("").as_posix() for relative in found.values()]
    times = Counter(walk.nfc(name).casefold() for name in plain)
    taken = {name for name, count in times.items() if count == 1}
    photos = []
    for (path, relative), name in zip(found.items(), plain, strict=True):
        renamed = times[walk.nfc(name).casefold()] > 1
        if renamed:
            base, number = relative.as_posix(), 2
            name = base
            while walk.nfc(name).casefold() in taken:
                name, number = f"{base}_{number}", number + 1
            taken.add(walk.nfc(name).casefold())
        photos.append(Photo(path, name, renamed))
    return photos
