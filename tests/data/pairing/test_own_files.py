"""Every layout of your own files, and what is never paired."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.builders import ade20k, cityscapes, folder, sun_rgbd
from jaxseg.data.builders.folder import FolderConfig
from jaxseg.data.pairing import copies, pairs

NFC, NFD = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))


def draw(root, *names):
    """Images of noise where names end as photos do, else masks of ids 0 to 2."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(sum(map(ord, str(name))))
        photo = path.suffix.lower() == ".jpg" or "image" in str(name).lower()
        shape = (6, 8, 3) if photo else (6, 8)
        Image.fromarray(rng.integers(0, 255 if photo else 3, shape, np.uint8)).save(path)


def found(root, images="images", masks="masks", **fields):
    (root / "classes.txt").write_text("a\nb\nc\n")
    return folder.find(
        FolderConfig(
            name="x",
            images=images and str(root / images),
            masks=masks and str(root / masks),
            classes=str(root / "classes.txt"),
            **{
                name: str(root / value) if name in ("lists", "table") else value
                for name, value in fields.items()
            },
        )
    )


def paired(published, root):
    assert not published.problems
    return {
        split: [(str(p.image.relative_to(root)), str(p.mask.relative_to(root))) for p in listed]
        for split, listed in published.splits.items()
    }


def refused(published, root):
    """The problems, from which `check` makes its error, with short paths."""
    with pytest.raises(ValueError, match="nothing was prepared"):
        pairs.check(published, root / "journal")
    return "\n".join(published.problems).replace(f"{root}/", "")


BOTH = {"images": ".", "masks": "."}


@pytest.mark.parametrize(
    ("image", "mask", "given"),
    [
        ("images/{}/{}.jpg", "masks/{}/{}.png", {}),
        ("images/{}/{}.jpg", "masks/{}/{}.png", BOTH),
        ("{}/images/{}.jpg", "{}/labels/{}.png", BOTH),
        ("{}/images/{}.png", "{}/labels/{}.png", BOTH),
        ("{}/images/{}.jpg", "{}/masks/deep/{}.png", BOTH),
        ("{}_images/{}.jpg", "{}_masks/{}.png", BOTH),
        ("{}2017/image_{}.png", "{}2017annot/image_{}.png", BOTH),
        ("{}/image {}.png", "{}annot/image {}.png", BOTH),
        ("{}/{}.jpg", "{}/{}_mask.png", {**BOTH, "mask_suffix": "_mask"}),
        ("{}/{}.jpg", "{}/{}.png", BOTH),
        (
            "leftImg8bit/{}/bonn/{}_leftImg8bit.png",
            "gtFine/{}/bonn/{}_gtFine_labelIds.png",
            {**BOTH, "image_suffix": "_leftImg8bit", "mask_suffix": "_gtFine_labelIds"},
        ),
        ("images/{}/{}.JPG", "images/masks/{}/{}.PNG", {"masks": "images/masks"}),
        ("{}/{}.jpg", "masks/{}/{}.tif", {"images": "."}),
        ("images/{}/rgb/{}.jpg", "masks/{}/ids/{}.png", {}),
    ],
)
def test_layouts_with_splits(tmp_path, image, mask, given):
    """Regression: folders given for both made photos of masks: 80 pairs from 40 photos."""
    places = [("train", 1), ("train", 2), ("val", 1)]
    draw(tmp_path, *(image.format(*place) for place in places))
    draw(tmp_path, *(mask.format(*place) for place in places))
    expected = {
        split: [(image.format(*place), mask.format(*place)) for place in places if split in place]
        for split in ("train", "val")
    }
    assert paired(found(tmp_path, **given), tmp_path) == expected


@pytest.mark.parametrize(
    ("images", "masks", "given"),
    [
        (["a.jpg", "b.jpg"], ["a_mask.png", "b_mask.png"], {**BOTH, "mask_suffix": "_mask"}),
        (["a.png", "b.png"], ["a_mask.png", "b_mask.png"], {**BOTH, "mask_suffix": "_mask"}),
        (["a_im.png", "b_im.png"], ["a.png", "b.png"], {**BOTH, "image_suffix": "_im"}),
        (["a.jpg", "b.jpg"], ["a.png", "b.png"], BOTH),
        (["images/a.jpg", "images/b.jpg"], ["masks/a.png", "masks/b.png"], {}),
        (
            ["train/images/a.jpg", "train/images/b.jpg"],
            ["train/masks/a.png", "train/masks/b.png"],
            BOTH,
        ),
        ([f"images/{NFC}.jpg", "images/b.jpg"], [f"masks/{NFD}.png", "masks/b.png"], {}),
        ([f"images/{NFD}/a.jpg", "images/b.jpg"], [f"masks/{NFC}/a.png", "masks/b.png"], {}),
    ],
)
def test_layouts_without_splits(tmp_path, images, masks, given):
    draw(tmp_path, *images, *masks)
    published = found(tmp_path, val_share=0.5, **given)
    both = [pair for listed in paired(published, tmp_path).values() for pair in listed]
    assert sorted(both) == sorted(zip(images, masks, strict=True))
    assert "1 of 2 images are drawn for val" in published.counts()


def test_masks_alone_name_the_splits(tmp_path):
    """Regression: a share was drawn for val, whatever the folders of the masks said."""
    draw(tmp_path, "images/a.jpg", "images/b.jpg", "masks/train/a.png", "masks/val/b.png")
    assert paired(found(tmp_path), tmp_path) == {
        "train": [("images/a.jpg", "masks/train/a.png")],
        "val": [("images/b.jpg", "masks/val/b.png")],
    }


def test_lists_of_names_as_vocs(tmp_path):
    draw(tmp_path, *(f"JPEGImages/2007_{i}.jpg" for i in range(5)))
    draw(tmp_path, *(f"SegmentationClass/2007_{i}.png" for i in range(1, 4)))
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_1\r\n2007_3\r\n", encoding="utf-8-sig")
    (lists / "val.txt").write_text("2007_2.jpg\n\n")
    (lists / "trainval.txt").write_text("2007_1\n2007_2\n2007_3\n")
    given = {"images": "JPEGImages", "masks": "SegmentationClass"}
    published = found(tmp_path, **given, lists="ImageSets/Segmentation")
    names = {split: [p.name for p in listed] for split, listed in published.splits.items()}
    assert names == {"train": ["2007_1", "2007_3"], "val": ["2007_2"]}
    assert "2 of 5 images are in no list" in published.counts()
    assert "not used: trainval.txt" in published.counts()
    (lists / "val.txt").write_text("2007_2\n2007_3\n2007_4\n2007_9\n")
    said = refused(found(tmp_path, **given, lists="ImageSets/Segmentation"), tmp_path)
    assert "val.txt line 2: 2007_3 is listed already, for train" in said
    assert "val.txt line 4: 2007_9 is not among the images" in said
    assert "2007_4 has no mask below SegmentationClass" in said
    (lists / "val.txt").write_text("")
    assert "val.txt lists no images" in refused(
        found(tmp_path, **given, lists=str(lists)), tmp_path
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables(tmp_path, separator, encoding):
    draw(tmp_path, "i/a.jpg", "i/b.jpg", f"i/{NFD}.jpg", "m/a.png", "m/b.png", f"m/{NFC}.png")
    rows = [
        ["Mask", " image", "Split"],
        ["m\\a.png", "i\\a.jpg", "train"],
        ["m/b.png", "i/b.jpg", "Val"],
        [],
        [f"m/{NFC}.png", f"i/{NFC}.jpg", "train", ""],
    ]
    text = "\r\n".join(separator.join(row) for row in rows)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert paired(found(tmp_path, "", "", table="t.csv"), tmp_path) == {
        "train": [("i/a.jpg", "m/a.png"), (f"i/{NFD}.jpg", f"m/{NFC}.png")],
        "val": [("i/b.jpg", "m/b.png")],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,mask\na,b\n", "needs the columns image, mask .*'picture,mask'"),
        ("image,mask\n", "no rows"),
        ("", "needs the columns"),
        ("image,mask,split\na.jpg,b.png,dev\n", "line 2: .* train, val or test"),
        ("image,mask\n\na.jpg,\n", "line 3: needs an image"),
        ("image,mask\na.jpg,b.png,c\n", "line 2: 3 columns"),
        ("image,mask,mask\na.jpg,b.png,c.png\n", "a column occurs twice"),
        ('image,mask\n"a.jpg,b.png\n', r"t\.csv line"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        found(tmp_path, "", "", table="t.csv")
    assert "t.csv" in str(error.value)


def test_a_table_with_one_file_twice(tmp_path):
    draw(tmp_path, "a.jpg", "b.jpg", "m.png")
    (tmp_path / "a.png").symlink_to("a.jpg")
    (tmp_path / "t.csv").write_text("image,mask\na.jpg,m.png\nb.jpg,m.png\n")
    assert (
        "one mask to several images, first to a, b"
        in found(tmp_path, "", "", table="t.csv").counts()
    )
    (tmp_path / "t.csv").write_text("image,mask\na.jpg,a.png\n")
    said = refused(found(tmp_path, "", "", table="t.csv"), tmp_path)
    assert "t.csv line 2: a.jpg is both an image and a mask" in said
    (tmp_path / "t.csv").write_text("image,mask,split\na.jpg,m.png,train\na.png,m.png,train\n")
    said = refused(found(tmp_path, "", "", table="t.csv"), tmp_path)
    assert "a.jpg and a.png are the same file" in said


NEVER = {  # files, what is given, words of the message
    "of another split": (
        ["images/train/0001.jpg", "images/val/0001.jpg", "masks/train/0001.png"],
        {},
        [
            "val/0001 has no mask: masks/train/0001.png has its name, but is that of "
            "images/train/0001.jpg"
        ],
    ),
    "of another split, free": (
        ["images/val/1.jpg", "images/train/2.jpg", "masks/train/2.png", "masks/train/1.png"],
        {},
        [
            "val/1 has no mask: masks/train/1.png has its name, but is that of the split train",
            "train/1 has no image below images: masks/train/1.png",
        ],
    ),
    "of another image": (
        ["images/a/1.jpg", "images/b/1.jpg", "masks/a/1.png"],
        {},
        ["b/1 has no mask: masks/a/1.png has its name, but is that of images/a/1.jpg"],
    ),
    "of a third folder": (
        ["images/a/1.jpg", "images/b/1.jpg", "masks/a/1.png", "masks/c/1.png"],
        {},
        ["images/a/1.jpg and images/b/1.jpg would share the mask masks/c/1.png"],
    ),
    "of a third folder, the only image": (
        [
            "images/train/1.jpg",
            "masks/train/1.png",
            "images/val/b/1.jpg",
            "masks/val/c/1.png",
            "masks/val/1.png",
        ],
        {},
        ["val/b/1 has several masks with its name: masks/val/1.png and masks/val/c/1.png"],
    ),
    "two images, one mask": (
        ["images/train/1.jpg", "images/val/1.jpg", "masks/1.png"],
        {},
        ["images/train/1.jpg and images/val/1.jpg would share the mask masks/1.png"],
    ),
    "one image, two masks": (
        ["images/1.jpg", "masks/a/1.png", "masks/b/1.png"],
        {},
        ["1 has several masks with its name: masks/a/1.png and masks/b/1.png"],
    ),
    "two kinds of an image": (
        ["images/1.jpg", "images/1.png", "masks/1.png"],
        {},
        ["images/1.jpg and images/1.png have the same name: one image each"],
    ),
    "two kinds of a mask": (
        ["images/1.jpg", "masks/1.png", "masks/1.tif"],
        {},
        ["masks/1.png and masks/1.tif have the same name: one mask each"],
    ),
    "two Unicode forms": (
        [f"images/{NFC}.jpg", f"images/{NFD}.jpg", f"masks/{NFC}.png"],
        {},
        ["have the same name: one image each"],
    ),
    "letter case": (
        ["images/IMG_1.jpg", "images/b.jpg", "masks/img_1.png", "masks/b.png"],
        {},
        [
            "IMG_1 has no mask below masks: images/IMG_1.jpg; masks/img_1.png differs only in "
            "letter case"
        ],
    ),
    "a missing ending": (
        ["a.jpg", "b.jpg", "a_mask.png", "b_mask.png"],
        BOTH,
        ["the names of masks end in _mask: give --mask_suffix=_mask"],
    ),
    "a missing ending, two folders": (
        ["images/a.jpg", "images/b.jpg", "masks/a_seg.png", "masks/b_seg.png"],
        {},
        ["the names of masks end in _seg: give --mask_suffix=_seg"],
    ),
    "one folder of both, unclear": (
        ["a.png", "b.png"],
        BOTH,
        ["a.png, b.png could be an image or a mask: put them into folders named images and masks"],
    ),
    "a split without masks": (
        [
            "images/train/a.jpg",
            "images/val/b.jpg",
            "images/test/c.jpg",
            "masks/train/a.png",
            "masks/val/b.png",
        ],
        {},
        [
            "no image of the split test has a mask: leave its folder out of --images",
            "test/c has no mask below masks",
        ],
    ),
    "two splits in one path": (
        ["images/train/val/a.jpg", "masks/train/val/a.png"],
        {},
        ["is in folders of several splits: train, val"],
    ),
    "splits that are not understood": (
        ["images/train_a/1.jpg", "images/val_a/2.jpg", "masks/train_a/1.png", "masks/val_a/2.png"],
        {},
        ["the folders train_a, val_a seem to be splits: name them train, val and test"],
    ),
}


@pytest.mark.parametrize("case", NEVER)
def test_what_is_never_paired(tmp_path, case):
    names, given, words = NEVER[case]
    draw(tmp_path, *names)
    said = refused(found(tmp_path, **given), tmp_path)
    for line in words:
        assert line in said


def test_names_that_are_never_data(tmp_path):
    """Regression: a notebook's copy of a val image went into train, and ._0.png stopped all."""
    places = ("train/0", "train/1", "val/0")
    draw(tmp_path, *(f"images/{place}.png" for place in places))
    draw(tmp_path, *(f"masks/{place}.png" for place in places))
    for top in ("images", "masks"):
        draw(tmp_path, f"{top}/train/.ipynb_checkpoints/0-checkpoint.png")
        draw(tmp_path, f"{top}/__MACOSX/train/0.png")
        for junk in (f"{top}/train/._0.png", f"{top}/.DS_Store", f"{top}/Thumbs.db"):
            (tmp_path / junk).write_bytes(b"\0")
    (tmp_path / "images" / "notes.txt").touch()
    published = found(tmp_path)
    assert {split: len(listed) for split, listed in paired(published, tmp_path).items()} == {
        "train": 2,
        "val": 1,
    }
    said = published.counts()
    assert "images: 3 of 7 files are used; left out: .DS_Store, train/._0.png" in said
    for words in (
        "train/.ipynb_checkpoints/ have a name that begins with a dot",
        "notes.txt is not an image by its suffix",
        "__MACOSX/ are created by the system",
        "masks: 3 of 6 files are used",
    ):
        assert words in said


def test_linked_folders_are_followed(tmp_path):
    """Regression: a linked val was dropped and a val drawn from train."""
    draw(tmp_path, "images/train/1.jpg", "elsewhere/i/2.jpg")
    draw(tmp_path, "masks/train/1.png", "elsewhere/m/2.png")
    (tmp_path / "images" / "val").symlink_to("../elsewhere/i")
    (tmp_path / "masks" / "val").symlink_to("../elsewhere/m")
    (tmp_path / "images" / "train" / "round").symlink_to("../../images")
    published = found(tmp_path)
    assert paired(published, tmp_path)["val"] == [("images/val/2.jpg", "masks/val/2.png")]
    assert "round/ is a link to" in published.counts()
    (tmp_path / "images" / "test").symlink_to("nowhere")
    assert "images/test is a link to nowhere, which is missing" in refused(
        found(tmp_path), tmp_path
    )


def test_one_file_under_two_names(tmp_path):
    draw(tmp_path, "images/train/1.jpg", "masks/train/1.png", "masks/val/1.png")
    (tmp_path / "images" / "val").symlink_to("train")
    said = refused(found(tmp_path), tmp_path)
    assert "images/train/1.jpg and images/val/1.jpg are the same file" in said
    draw(tmp_path, "b/images/1.png", "b/masks/2.png", "b/images/2.jpg")
    (tmp_path / "b" / "masks" / "1.png").symlink_to("../images/1.png")
    said = refused(found(tmp_path, "b/images", "b/masks"), tmp_path)
    assert "b/images/1.png is both an image and a mask" in said


def test_copies_across_splits_are_said(tmp_path, capsys):
    draw(tmp_path, "images/train/1.jpg", "masks/train/1.png", "masks/val/2.png")
    draw(tmp_path, "images/train/3.jpg", "masks/train/3.png")
    (tmp_path / "images" / "val").mkdir()
    (tmp_path / "images/val/2.jpg").write_bytes((tmp_path / "images/train/1.jpg").read_bytes())
    pairs.check(found(tmp_path), tmp_path / "journal")
    said = capsys.readouterr().err
    assert "WARNING: images are in two splits, byte for byte" in said
    assert f"train {tmp_path}/images/train/1.jpg is val {tmp_path}/images/val/2.jpg" in said
    assert "3.jpg" not in said
    several = {
        "trainval": [tmp_path / "images/train/1.jpg"],
        "val": [tmp_path / "images/val/2.jpg"],
    }
    assert copies.across(several) == ""


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    draw(tmp_path, "images/train/1.jpg", "masks/train/1.png")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("train"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="train"):
        found(tmp_path)


@pytest.mark.parametrize(
    ("classes", "ids", "line"),
    [
        (
            "ground\nvessel\n",
            (0, 255),
            "add the line `void`; if the masks mark one class by "
            "255, its lines are `0 ground` and `255 vessel`",
        ),
        ("a\nb\n", (0, 1, 255), "if 255 is void, add the line `void`"),
        ("0 a\n1 b\n", (0, 1, 255), "if 255 is void, add the line `255 void`"),
    ],
)
def test_ids_that_no_class_has_name_the_line_to_add(tmp_path, classes, ids, line):
    draw(tmp_path, "images/1.jpg")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.resize(np.array(ids, np.uint8), (6, 8))).save(tmp_path / "masks/1.png")
    published = found(tmp_path)
    (tmp_path / "classes.txt").write_text(classes)
    given = FolderConfig(
        name="x",
        images=str(tmp_path / "images"),
        masks=str(tmp_path / "masks"),
        classes=str(tmp_path / "classes.txt"),
    )
    published = folder.find(given)
    with pytest.raises(ValueError, match="255") as error:
        pairs.check(published, tmp_path / "journal")
    first = str(error.value).splitlines()[1]
    assert str(tmp_path / "classes.txt") in first
    assert line in first


def test_folders_of_two_splits_are_not_paired(tmp_path):
    draw(tmp_path, "s/train/images/1.png", "s/val/labels/1.png", "s/train/labels/1.png")
    with pytest.raises(ValueError, match=r"train/images is in the split train, .* in val: name"):
        found(tmp_path, "s/train/images", "s/val/labels")
    assert paired(found(tmp_path, "s/train/images", "s/train/labels"), tmp_path)["train"]


def test_what_is_given_together_or_not_there(tmp_path):
    draw(tmp_path, "images/a.jpg", "masks/a.jpg")
    with pytest.raises(
        FileNotFoundError, match=r"masks holds no .*left out: a\.jpg .* JPEG changes"
    ):
        found(tmp_path)
    with pytest.raises(ValueError, match=r"mask_suffix=_mask\.png: .*before the dot"):
        found(tmp_path, mask_suffix="_mask.png")
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder: --masks must name one"):
        found(tmp_path, masks="nowhere")
    draw(tmp_path, "masks/a.png")
    with pytest.raises(FileNotFoundError, match="holds no lists of names"):
        found(tmp_path, lists="masks")


def test_published_sets_with_what_systems_add(tmp_path):
    """Regression: `._NAME.png` was a damaged image; NAME.JPG and a linked city were skipped."""
    draw(tmp_path, *(f"images/training/{k}.jpg" for k in range(2)))
    draw(tmp_path, *(f"annotations/training/{k}.png" for k in range(2)))
    draw(tmp_path, "images/validation/9.JPG", "annotations/validation/9.PNG")
    (tmp_path / "images/training/._0.jpg").write_bytes(b"\0")
    found_ade = ade20k.find(tmp_path)
    assert {split: len(listed) for split, listed in found_ade.splits.items()} == {
        "train": 2,
        "val": 1,
    }
    assert found_ade.splits["val"][0].image.name == "9.JPG"
    draw(tmp_path, "c/elsewhere/bonn_000000_000000_leftImg8bit.png")
    draw(tmp_path, "c/gtFine/train/bonn/bonn_000000_000000_gtFine_labelIds.png")
    (tmp_path / "c/leftImg8bit/train").mkdir(parents=True)
    (tmp_path / "c/leftImg8bit/train/bonn").symlink_to("../../elsewhere")
    (pair,) = cityscapes.find(tmp_path / "c").splits["train"]
    assert pair.image.is_file()
    assert pair.mask.is_file()
    draw(tmp_path, "s/SUNRGBD-train_images/img-000001.JPG")
    draw(tmp_path, "s/sunrgbd_train_test_labels/img-005051.png")
    (pair,) = sun_rgbd.find(tmp_path / "s").splits["train"]
    assert pair.image.is_file()
    (tmp_path / "images/training/lost").symlink_to("nowhere")
    with pytest.raises(ValueError, match="lost is a link to nowhere, which is missing"):
        ade20k.find(tmp_path)


def test_colours_that_no_class_has_name_the_line_to_add(tmp_path):
    draw(tmp_path, "images/1.jpg")
    (tmp_path / "masks").mkdir()
    colours = np.resize(np.array([[1, 2, 3], [224, 224, 192]], np.uint8), (6, 8, 3))
    Image.fromarray(colours).save(tmp_path / "masks/1.png")
    config = FolderConfig(
        name="x",
        images=str(tmp_path / "images"),
        masks=str(tmp_path / "masks"),
        classes=str(tmp_path / "classes.txt"),
    )
    (tmp_path / "classes.txt").write_text("a 1 2 3\n")
    with pytest.raises(ValueError, match="224,224,192") as error:
        pairs.check(folder.find(config), tmp_path / "journal")
    assert "classes.txt: add a line for each colour" in str(error.value).splitlines()[1]
    (tmp_path / "classes.txt").write_text("a 1 2 3\nvoid 224 224 192\n")
    pairs.check(folder.find(config), tmp_path / "journal")
