"""C. Pairing image and mask files of a user."""

import functools
import pathlib
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from experiments.robustness.field_reports.situation import Seen, Situation, check, refusal, right
from jaxseg.data.builders import folder
from jaxseg.data.pairing import pairs

_TESTS = "tests/data/pairing/test_own_files.py::"
_NFC, _NFD = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
_BOTH = {"images": ".", "masks": "."}


def draw(root: pathlib.Path, *names: str) -> None:
    """Draws colour images for names of photos, and masks of ids 0 to 2 for others."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(sum(map(ord, name)))
        photo = path.suffix.lower() == ".jpg" or ("image" in name and "annot" not in name)
        shape = (6, 8, 3) if photo else (6, 8)
        Image.fromarray(rng.integers(0, 256 if photo else 3, shape, np.uint8)).save(path)


def _find(
    root: pathlib.Path,
    images: str = "images",
    masks: str = "masks",
    table: str = "",
    lists: str = "",
    mask_suffix: str = "",
) -> pairs.Published:
    (root / "classes.txt").write_text("a\nb\nc\n")
    return folder.find(
        folder.FolderConfig(
            name="own",
            images=images and str(root / images),
            masks=masks and str(root / masks),
            classes=str(root / "classes.txt"),
            table=table and str(root / table),
            lists=lists and str(root / lists),
            mask_suffix=mask_suffix,
        )
    )


def _pairs(root: pathlib.Path, published: pairs.Published) -> dict[str, list[tuple[str, str]]]:
    """The pairs of each split, if no fault was found in paths and files."""
    pairs.check(published, root / "journal")
    return {
        split: [(str(p.image.relative_to(root)), str(p.mask.relative_to(root))) for p in found]
        for split, found in published.splits.items()
    }


Make = Callable[[pathlib.Path], None]


def _paired(
    places: tuple[tuple[str, str, str], ...],
    given: dict[str, str],
    make: Make | None,
    root: pathlib.Path,
) -> Seen:
    """The (split, image, mask) that must be found, exactly."""
    if make:
        make(root)
    draw(root, *(name for _, *both in places for name in both if not (root / name).exists()))
    found = _pairs(root, _find(root, **given))
    expected: dict[str, list[tuple[str, str]]] = {}
    for split, image, mask in places:
        expected.setdefault(split, []).append((image, mask))
    counts = ", ".join(f"{split} {len(each)}" for split, each in found.items())
    check(found == expected, f"found {found}")
    return right(True, f"{counts}, each with its mask")


def _refused(
    files: tuple[str, ...],
    given: dict[str, str],
    words: tuple[str, ...],
    make: Make | None,
    root: pathlib.Path,
) -> Seen:
    draw(root, *files)
    if make:
        make(root)
    return refusal(lambda: pairs.check(_find(root, **given), root / "journal"), *words)


def _linked_val(root: pathlib.Path) -> None:
    draw(root, "elsewhere/i/2.jpg", "elsewhere/m/2.png")
    for top, of in (("images", "i"), ("masks", "m")):
        (root / top).mkdir(exist_ok=True)
        (root / top / "val").symlink_to(f"../elsewhere/{of}")


def _junk(root: pathlib.Path) -> None:
    for top in ("images", "masks"):
        draw(root, f"{top}/train/.ipynb_checkpoints/0-checkpoint.png", f"{top}/__MACOSX/0.png")
        (root / top / "train" / "._0.png").write_bytes(b"\0\5\x16\7")


def _link(place: str, target: str) -> Make:
    def make(root: pathlib.Path) -> None:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(target)

    return make


def text(place: str, content: str, encoding: str = "utf-8") -> Make:
    def make(root: pathlib.Path) -> None:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(content, encoding=encoding)

    return make


def _voc(root: pathlib.Path) -> None:
    draw(root, "JPEGImages/3.jpg")  # not in any list
    text("lists/train.txt", "1\r\n", "utf-8-sig")(root)
    text("lists/val.txt", "2\n")(root)


_Row = tuple[Any, ...]
# Input, former outcome, places, flags, what else is created, the test.
_PAIRED: tuple[_Row, ...] = (
    (
        "{train,val}/{images,labels}/NNN.png given for both",
        "masks became photos, exit 0",
        (
            ("train", "train/images/1.png", "train/labels/1.png"),
            ("val", "val/images/1.png", "val/labels/1.png"),
        ),
        _BOTH,
        None,
        "test_layouts_with_splits",
    ),
    (
        "images/{train,val} and masks/{train,val} given for both",
        "masks became photos, exit 0",
        (
            ("train", "images/train/1.png", "masks/train/1.png"),
            ("val", "images/val/2.png", "masks/val/2.png"),
        ),
        _BOTH,
        None,
        "test_layouts_with_splits",
    ),
    (
        "one flat folder, --mask_suffix=_mask",
        "a_mask_mask.png is missing",
        (("train", "a.jpg", "a_mask.png"), ("train", "b.jpg", "b_mask.png")),
        {**_BOTH, "mask_suffix": "_mask"},
        None,
        "test_layouts_without_splits",
    ),
    (
        "train/images and train/masks given for both",
        "masks became photos, exit 0",
        (("train", "train/images/1.png", "train/masks/1.png"),),
        _BOTH,
        None,
        "test_layouts_without_splits",
    ),
    (
        "masks in a folder inside the images'",
        "masks became photos, exit 0",
        (("train", "data/a.png", "data/masks/a.png"),),
        {"images": "data", "masks": "data/masks"},
        None,
        "test_layouts_with_splits",
    ),
    (
        "SegNet's train and trainannot given for both",
        "masks became photos, exit 0",
        (
            ("train", "train/image 1.png", "trainannot/image 1.png"),
            ("val", "val/image 1.png", "valannot/image 1.png"),
        ),
        _BOTH,
        None,
        "test_layouts_with_splits",
    ),
    (
        "folders train2017 and val2017",
        "a share was drawn over both, val in train, exit 0",
        (
            ("train", "images/train2017/1.jpg", "masks/train2017/1.png"),
            ("val", "images/val2017/2.jpg", "masks/val2017/2.png"),
        ),
        {},
        None,
        "test_layouts_with_splits",
    ),
    (
        "splits in the folders of the masks alone",
        "a share was drawn over both, exit 0",
        (
            ("train", "images/a.jpg", "masks/train/a.png"),
            ("val", "images/b.jpg", "masks/val/b.png"),
        ),
        {},
        None,
        "test_masks_alone_name_the_splits",
    ),
    (
        "VOC's lists, one with a byte-order mark",
        "there was no way to give them",
        (
            ("train", "JPEGImages/1.jpg", "SegmentationClass/1.png"),
            ("val", "JPEGImages/2.jpg", "SegmentationClass/2.png"),
        ),
        {"images": "JPEGImages", "masks": "SegmentationClass", "lists": "lists"},
        _voc,
        "test_lists_of_names_as_vocs",
    ),
    (
        "a table with semicolons and backslashes",
        "refused; backslashes: the files are missing",
        (("train", "i/a.jpg", "m/a.png"), ("val", "i/b.jpg", "m/b.png")),
        {"images": "", "masks": "", "table": "t.csv"},
        text("t.csv", "image;mask;split\ni\\a.jpg;m\\a.png;train\n\ni\\b.jpg;m\\b.png;val\n"),
        "test_tables",
    ),
    (
        "a name in NFC, its mask in NFD",
        "each was missing for the other",
        (("train", f"images/{_NFC}.jpg", f"masks/{_NFD}.png"),),
        {},
        None,
        "test_layouts_without_splits",
    ),
    (
        "suffixes .JPG and .PNG",
        "right",
        (("train", "images/a.JPG", "masks/a.PNG"),),
        {},
        None,
        "test_layouts_with_splits",
    ),
    (
        "val is a link to a folder",
        "dropped, and a val drawn from train, exit 0",
        (
            ("train", "images/train/1.jpg", "masks/train/1.png"),
            ("val", "images/val/2.jpg", "masks/val/2.png"),
        ),
        {},
        _linked_val,
        "test_linked_folders_are_followed",
    ),
    (
        "a link to a folder that contains it",
        "right",
        (("train", "images/train/1.jpg", "masks/train/1.png"),),
        {},
        _link("images/train/again", ".."),
        "test_linked_folders_are_followed",
    ),
    (
        ".ipynb_checkpoints, __MACOSX and ._0.png",
        "copies went into train; ._0.png stopped all",
        (
            ("train", "images/train/0.png", "masks/train/0.png"),
            ("val", "images/val/0.png", "masks/val/0.png"),
        ),
        {},
        _junk,
        "test_names_that_are_never_data",
    ),
)
# Input, former outcome, files, flags, words, what else is created, the test.
_REFUSED: tuple[_Row, ...] = (
    (
        "images train/1 and val/1, mask train/1 alone",
        "val's image got train's mask, exit 0",
        ("images/train/1.jpg", "images/val/1.jpg", "masks/train/1.png"),
        {},
        ("val/1 has no mask", "masks/train/1.png"),
        None,
        "test_what_is_never_paired",
    ),
    (
        "two images and one mask of their name",
        "both got it, exit 0",
        ("images/train/1.jpg", "images/val/1.jpg", "masks/1.png"),
        {},
        ("would share the mask",),
        None,
        "test_what_is_never_paired",
    ),
    (
        "a.jpg and a.png among the images",
        "right",
        ("images/a.jpg", "images/a.png", "masks/a.png"),
        {},
        ("have the same name",),
        None,
        "test_what_is_never_paired",
    ),
    (
        "a.png and b.png in one folder given for both",
        "each was its own mask",
        ("a.png", "b.png"),
        _BOTH,
        ("could be an image or a mask", "--mask_suffix"),
        None,
        "test_what_is_never_paired",
    ),
    (
        "a table row with one file as image and mask",
        "prepared, exit 0",
        ("a.png",),
        {"images": "", "masks": "", "table": "t.csv"},
        ("line 2", "is both an image and a mask"),
        text("t.csv", "image,mask\na.png,a.png\n"),
        "test_a_table_with_one_file_twice",
    ),
    (
        "folders train_a and val_a",
        "a share was drawn over both, exit 0",
        ("images/train_a/1.jpg", "images/val_a/2.jpg", "masks/train_a/1.png", "masks/val_a/2.png"),
        {},
        ("train_a, val_a seem to be splits",),
        None,
        "test_what_is_never_paired",
    ),
    (
        "--images=train/images, --masks=val/labels",
        "train's images got val's masks, exit 0",
        ("train/images/1.png", "val/labels/1.png"),
        {"images": "train/images", "masks": "val/labels"},
        ("is in the split train",),
        None,
        "test_folders_of_two_splits_are_not_paired",
    ),
    (
        "val is a link that leads nowhere",
        "dropped, and a val drawn from train, exit 0",
        ("images/train/1.jpg", "masks/train/1.png"),
        {},
        ("val is a link to nowhere",),
        _link("images/val", "nowhere"),
        "test_linked_folders_are_followed",
    ),
    (
        "val is a link to train",
        "the same images in both, exit 0",
        ("images/train/1.jpg", "masks/train/1.png", "masks/val/1.png"),
        {},
        ("are the same file",),
        _link("images/val", "train"),
        "test_one_file_under_two_names",
    ),
    (
        "masks that end in _mask, without the flag",
        "each file was missing for another",
        ("images/a.jpg", "images/b.jpg", "masks/a_mask.png", "masks/b_mask.png"),
        {},
        ("give --mask_suffix=_mask",),
        None,
        "test_what_is_never_paired",
    ),
)


def _copies(root: pathlib.Path) -> Seen:
    draw(root, "images/train/1.jpg", "masks/train/1.png", "masks/val/2.png")
    (root / "images" / "val").mkdir()
    (root / "images/val/2.jpg").write_bytes((root / "images/train/1.jpg").read_bytes())
    published = _find(root)
    said = pairs.copies.across({s: [p.image for p in f] for s, f in published.splits.items()})
    return right("2.jpg" in said and "byte for byte" in said, said)


SITUATIONS: tuple[Situation, ...] = (
    *(
        Situation("C", name, before, _TESTS + test, functools.partial(_paired, places, given, make))
        for name, before, places, given, make, test in _PAIRED
    ),
    *(
        Situation(
            "C", name, before, _TESTS + test, functools.partial(_refused, files, given, words, make)
        )
        for name, before, files, given, words, make, test in _REFUSED
    ),
    Situation(
        "C",
        "one photo's bytes in train and in val",
        "prepared, nothing said",
        f"{_TESTS}test_copies_across_splits_are_said",
        _copies,
    ),
)
