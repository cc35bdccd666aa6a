"""C. Finding the photos of a folder and the files of a published data set."""

import pathlib

from experiments.robustness.field_reports.pairing import draw, text
from experiments.robustness.field_reports.situation import Seen, Situation, check, right
from jaxseg.data.builders import ade20k, voc2012
from jaxseg.data.readers import photos, walk


def _left_out(root: pathlib.Path) -> Seen:
    draw(root, *(f"photos/{k}.jpg" for k in range(8)), "photos/.ipynb_checkpoints/0.jpg")
    for name in ("._0.jpg", ".DS_Store", "notes.txt", "Thumbs.db"):
        (root / "photos" / name).touch()
    found, left_out = photos.find([root / "photos"])
    files = len(found) + sum(not left.folder for left in left_out)
    said = walk.text(left_out, root / "photos")
    check("notes.txt" in said and "._0.jpg" in said, said)
    return right((len(found), files) == (8, 12), f"{len(found)} of {files} files; left out: {said}")


def _linked_photos(root: pathlib.Path) -> Seen:
    draw(root, "photos/1.jpg", "elsewhere/2.jpg")
    (root / "photos" / "more").symlink_to("../elsewhere")
    (root / "photos" / "round").symlink_to(".")
    found, left_out = photos.find([root / "photos"])
    names = [photo.name for photo in found]
    return right(names == ["1", "more/2"] and len(left_out) == 1, f"{names}; {left_out[0].reason}")


def _published(root: pathlib.Path) -> Seen:
    draw(root, "images/training/0.jpg", "annotations/training/0.png")
    draw(root, "images/training/9.JPG", "annotations/training/9.PNG")
    (root / "images/training/._0.jpg").write_bytes(b"\0")
    found = [pair.name for pair in ade20k.find(root).splits["train"]]
    return right(found == ["0", "9"], f"ADE20K: {found}")


def _published_list(root: pathlib.Path) -> Seen:
    text("VOC2012/ImageSets/Segmentation/val.txt", "2007_000033\r\n", "utf-8-sig")(root)
    found = [pair.name for pair in voc2012.find(root).splits["val"]]
    return right(found == ["2007_000033"], f"VOC 2012: {found}")


SITUATIONS: tuple[Situation, ...] = (
    Situation(
        "C",
        "12 files, 8 of them photos, and a hidden folder",
        "the copies that begin with a dot were predicted, nothing said of the others",
        "tests/data/readers/test_photos.py::test_eight_of_twelve_files_and_what_the_other_four_are",
        _left_out,
    ),
    Situation(
        "C",
        "a linked folder among the photos",
        "dropped, nothing said",
        "tests/data/readers/test_photos.py::test_linked_folders_are_searched_and_circles_are_noticed",
        _linked_photos,
    ),
    Situation(
        "C",
        "NAME.JPG and ._NAME.jpg in a published data set",
        "._NAME counted as a damaged image, NAME.JPG was skipped",
        "tests/data/pairing/test_own_files.py::test_published_sets_with_what_systems_add",
        _published,
    ),
    Situation(
        "C",
        "a byte-order mark in a published list",
        "the first image was missing",
        "tests/data/readers/test_text_file.py::test_published_lists_with_a_mark",
        _published_list,
    ),
)
