"""Packs predicted label maps into the archive for a test server, completely or not at all.

Every image needs a label map of its own size whose values are classes; if any is missing or wrong,
it is named, and nothing is written.
"""

import io
import pathlib
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from jaxseg import whole_file
from jaxseg.data.fingerprint import class_difference
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import mask_file, photos, text_file, walk
from jaxseg.evaluation.server import LABELS, SUFFIXES, encoded, member
from jaxseg.inference.object_files import DETECTIONS
from jaxseg.progress import over
from jaxseg.types import IGNORE

_NAMED = 5  # files named in an error


def named_in(images: pathlib.Path, listed: pathlib.Path | None) -> list[photos.Photo]:
    """The images to submit: all in a folder, or those in a list, in its order.

    Raises:
      FileNotFoundError: no such folder or list.
      ValueError: the list names an image that does not exist.
    """
    found, left_out = photos.find([images])
    if lost := [walk.shown(left) for left in left_out if left.fault]:
        raise ValueError("; ".join(lost[:_NAMED]))
    if listed is None:
        return found
    by_name = {walk.nfc(photo.name): photo for photo in found}
    names = [walk.nfc(line) for _, line in text_file.lines(listed)]
    lost = [name for name in names if name not in by_name]
    if lost:
        raise ValueError(
            f"{listed}: {len(lost)} of {len(names)} images are not in {images}: "
            f"{', '.join(lost[:_NAMED])}"
        )
    return [by_name[name] for name in names]


def write(
    server: str,
    predictions: pathlib.Path,
    images: Sequence[photos.Photo],
    output: pathlib.Path,
    competition: str = "comp6",
) -> None:
    """Writes the archive, completely or not at all.

    Args:
      server: one of LABELS.
      predictions: the output folder of `--mode=predict`.
      images: see `named_in`.
      output: the archive, with the suffix in SUFFIXES.
      competition: of VOC.

    Raises:
      ValueError: the suffix is wrong; the predictions are objects or have other classes; or some
        label maps, which are named, cannot be submitted.
    """
    if output.suffix != SUFFIXES[server]:
        raise ValueError(f"--output={output}: {server} takes *{SUFFIXES[server]}")
    if (predictions / DETECTIONS).is_file() and not (predictions / "labels").is_dir():
        raise ValueError(
            f"{predictions} holds the objects of a detector, but {server} takes a class for each "
            "pixel: predict with a network for semantic segmentation"
        )
    _refuse_other_classes(predictions, server)
    whole_file.sweep(output.parent)
    with whole_file.writing(output) as file:
        _add_all(file, output.suffix, _members(server, predictions, images, competition))


def _refuse_other_classes(predictions: pathlib.Path, server: str) -> None:
    """Checks that the train ids in the label maps are those of the server's classes."""
    path = predictions / "labels.json"
    if not path.is_file():
        print(
            f"jaxseg: {path} does not exist: assuming the classes of {server}",
            file=sys.stderr,
        )
        return
    try:
        labels = LabelSpec.from_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): predict again, or delete it") from None
    others = ("predictions", f"{server} server")
    if found := class_difference(labels, LABELS[server], raw_ids=False, others=others):
        raise ValueError(f"{predictions} has other classes: {found}; nothing is written")


def _members(
    server: str, predictions: pathlib.Path, images: Sequence[photos.Photo], competition: str
) -> Iterator[tuple[str, bytes]]:
    """Yields the path in the archive and the content of each image; faults are raised at the end.

    Raises:
      ValueError: names the files and what is wrong with them.
    """
    wrong: list[str] = []
    sources: dict[str, pathlib.Path] = {}
    for photo in over(images, "checking label maps"):
        path = predictions / "labels" / f"{photo.name}.png"
        try:
            place = member(server, photo.name, competition)
            if place in sources:
                raise ValueError(f"has the same path {place} in the archive as {sources[place]}")
            sources[place] = path
            label = checked(path, photo.file, LABELS[server].num_classes)
        except ValueError as error:
            wrong.append(f"{path}: {error}")
            continue
        yield place, encoded(server, label)
    if wrong:
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ValueError(
            f"nothing is written, since {len(wrong)} of {len(images)} label maps cannot be "
            f"submitted: {'; '.join(wrong[:_NAMED])}{more}"
        )


def checked(path: pathlib.Path, image: pathlib.Path, num_classes: int) -> np.ndarray:
    """Reads and checks a predicted label map, uint8 [H, W].

    Raises:
      ValueError: the reason why it does not fit the image, without its name.
    """
    label, kind = mask_file.read_mask(path)
    if label.dtype != np.uint8 or kind == "grey as RGB":
        raise ValueError("is not a map of 8-bit ids")
    size = photos.read(image).shape[:2]
    if label.shape != size:
        raise ValueError(
            f"has {label.shape[1]} x {label.shape[0]} pixels, but its image {size[1]} x {size[0]}"
        )
    if label.max() >= num_classes:
        what = "void" if label.max() == IGNORE else f"class {label.max()}"
        raise ValueError(f"holds {what}, but the classes are 0 to {num_classes - 1}")
    return label


def _add_all(file: BinaryIO, suffix: str, members: Iterable[tuple[str, bytes]]) -> None:
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:  # PNG files cannot be compressed further
            for place, content in members:
                archive.writestr(place, content)
        return
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for place, content in members:
            entry = tarfile.TarInfo(place)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
