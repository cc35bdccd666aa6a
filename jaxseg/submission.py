r"""Packs what `--mode=predict` wrote into the archive that a test server takes.

    python -m jaxseg.main --mode=predict --workdir=runs/v3 --inputs=cityscapes/leftImg8bit/test \
        --output=out/test
    python -m jaxseg.submission --server=cityscapes --predictions=out/test \
        --images=cityscapes/leftImg8bit/test --output=test.zip
    python -m jaxseg.submission --server=voc2012 --predictions=out/test --output=test.tgz \
        --images=VOCdevkit/VOC2012/JPEGImages \
        --list=VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt --competition=comp6

Every image has to have a label map of its own size whose values are classes; what is missing or
wrong is named, and nothing is written. The servers want:

- VOC 2012 (development kit, section 5.3): results/VOC2012/Segmentation/COMPETITION_test_cls/
  NAME.png, palette images of class ids; comp5 for training on VOC alone, comp6 for other data too.
- Cityscapes (cityscapesScripts, evalPixelLevelSemanticLabeling): for each image one file whose name
  begins with CITY_SEQUENCE_FRAME, grey images of label ids, not of train ids.

Exit status: 0 done; 1 refused, with what is wrong; 2 a wrong flag.
"""

import io
import pathlib
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, NoReturn

import numpy as np
from absl import flags
from PIL import Image

from jaxseg import whole_file
from jaxseg.cli import program
from jaxseg.data.builders import cityscapes, voc2012
from jaxseg.data.fingerprint import class_difference
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import mask_file, photos, text_file, walk
from jaxseg.errors import one_line
from jaxseg.progress import over
from jaxseg.types import IGNORE

LABELS: Mapping[str, LabelSpec] = {"voc2012": voc2012.LABELS, "cityscapes": cityscapes.LABELS}
SUFFIXES = {"voc2012": ".tgz", "cityscapes": ".zip"}  # of the archives
COMPETITIONS = ("comp5", "comp6")
_NAMED = 5  # files named in an error


def raw_ids(labels: LabelSpec) -> np.ndarray:
    """The raw id of each train id: uint8 [K].

    Raises:
      ValueError: a class has two raw ids, so that there is no way back.
    """
    ids = np.zeros(labels.num_classes, np.uint8)
    for train in range(labels.num_classes):
        found = [raw for raw, to in labels.raw_to_train.items() if to == train]
        if len(found) != 1:
            raise ValueError(f"class {labels.names[train]} has the raw ids {found}, not one")
        ids[train] = found[0]
    return ids


def member(server: str, name: str, competition: str = "comp6") -> str:
    """The place of an image's label map in the archive.

    Args:
      server: one of LABELS.
      name: of the image, its folders before it, without suffix.
      competition: of VOC.

    Raises:
      ValueError: not a name that Cityscapes gives.
    """
    stem = pathlib.PurePosixPath(name).name
    if server == "voc2012":
        return f"results/VOC2012/Segmentation/{competition}_test_cls/{stem}.png"
    found = re.match(r"[A-Za-z-]+_\d{6}_\d{6}(?=_|$)", stem)
    if found is None:
        raise ValueError(f"{name}: the names of Cityscapes begin with CITY_000000_000000")
    return f"{found[0]}.png"


def encoded(server: str, label: np.ndarray) -> bytes:
    """Train ids uint8 [H, W] as the PNG file that the server reads."""
    labels = LABELS[server]
    image = Image.fromarray(raw_ids(labels)[label])
    if server == "voc2012":
        every_id = np.arange(256, dtype=np.uint8)[None]
        image.putpalette(np.asarray(labels.colour(every_id)).tobytes())
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def checked(path: pathlib.Path, image: pathlib.Path, num_classes: int) -> np.ndarray:
    """A predicted label map, uint8 [H, W].

    Raises:
      ValueError: why it is none for this image, without its name.
    """
    label, kind = mask_file.read_mask(path)
    if label.dtype != np.uint8 or kind == "grey as RGB":
        raise ValueError("is not a map of 8-bit ids")
    size = photos.read(image).shape[:2]
    if label.shape != size:
        raise ValueError(
            f"has {label.shape[1]} x {label.shape[0]} pixels, its image {size[1]} x {size[0]}"
        )
    if label.max() >= num_classes:
        what = "void" if label.max() == IGNORE else f"class {label.max()}"
        raise ValueError(f"holds {what}; there are the classes 0 to {num_classes - 1}")
    return label


def _members(
    server: str, predictions: pathlib.Path, images: Sequence[photos.Photo], competition: str
) -> Iterator[tuple[str, bytes]]:
    """Place in the archive and content, image by image; all that is wrong is one error, at the end.

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
                raise ValueError(f"stands for the same {place} as {sources[place]}")
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


def _add_all(file: BinaryIO, suffix: str, members: Iterable[tuple[str, bytes]]) -> None:
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:  # PNG files do not get smaller
            for place, content in members:
                archive.writestr(place, content)
        return
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for place, content in members:
            entry = tarfile.TarInfo(place)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def named_in(images: pathlib.Path, listed: pathlib.Path | None) -> list[photos.Photo]:
    """The images to submit: all of a folder, or those whose names a list has, in its order.

    Raises:
      FileNotFoundError: no such folder or list.
      ValueError: the list names an image that is not there.
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
    """Writes the archive, whole or not at all.

    Args:
      server: one of LABELS.
      predictions: the output folder of `--mode=predict`.
      images: see `named_in`.
      output: the archive; its suffix is the server's of SUFFIXES.
      competition: of VOC.

    Raises:
      ValueError: another suffix; predictions of other classes; label maps that cannot be submitted,
        by name.
    """
    if output.suffix != SUFFIXES[server]:
        raise ValueError(f"--output={output}: {server} takes *{SUFFIXES[server]}")
    _refuse_other_classes(predictions, server)
    whole_file.sweep(output.parent)
    with whole_file.writing(output) as file:
        _add_all(file, output.suffix, _members(server, predictions, images, competition))


def _refuse_other_classes(predictions: pathlib.Path, server: str) -> None:
    """Label maps hold train ids: they have to be those of the server's classes."""
    path = predictions / "labels.json"
    if not path.is_file():
        print(
            f"jaxseg: {path} is not there: the classes are taken for those of {server}",
            file=sys.stderr,
        )
        return
    try:
        labels = LabelSpec.from_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): predict again, or delete it") from None
    others = ("predictions", f"{server} server")
    if found := class_difference(labels, LABELS[server], raw_ids=False, others=others):
        raise ValueError(f"{predictions} is of other classes: {found}; nothing is written")


def define_flags() -> None:
    """The flags; only when this is the command, since others have some of their names."""
    flags.DEFINE_enum("server", None, sorted(LABELS), "Whose archive.", required=True)
    flags.DEFINE_string("predictions", None, "The --output of --mode=predict.", required=True)
    flags.DEFINE_string("images", None, "The folder of the images.", required=True)
    flags.DEFINE_string("list", None, "A file of their names; default: all of the folder.")
    flags.DEFINE_string("output", None, "The archive to write.", required=True)
    flags.DEFINE_enum("competition", "comp6", COMPETITIONS, "Of VOC.")


def main(arguments: Sequence[str]) -> int:
    """Checks and writes; what is wrong becomes one line."""
    values = flags.FLAGS
    if len(arguments) > 1:
        print(f"jaxseg: {arguments[1]!r} is not a flag; see --help", file=sys.stderr)
        return 2
    try:
        listed = pathlib.Path(values.list) if values.list else None
        images = named_in(pathlib.Path(values.images), listed)
        output = pathlib.Path(values.output)
        write(values.server, pathlib.Path(values.predictions), images, output, values.competition)
    except (ValueError, OSError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    print(f"Written: {output}, {len(images)} label maps")
    return 0


def start(arguments: Sequence[str]) -> NoReturn:
    """`jaxseg submission`."""
    define_flags()
    program.start(
        program.Program(
            name="jaxseg submission",
            usage="--server=NAME --predictions=FOLDER --images=FOLDER --output=FILE",
            about=__doc__ or "",
            main=main,
            own=program.defined_in("jaxseg.submission", "jaxseg.data.readers.image_limit"),
        ),
        arguments,
    )


if __name__ == "__main__":
    from jaxseg import submission as named  # its flags belong to the module's name

    named.start(sys.argv[1:])
