import dataclasses

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import records
from jaxseg.data.builders import folder
from jaxseg.data.builders.folder import FolderConfig
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import pixels
from tests.data.conftest import save_pair


def write(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def config(tmp_path):
    classes = write(tmp_path / "classes.txt", "a\nb\nc\n")
    return FolderConfig(
        name="x",
        images=str(tmp_path / "images"),
        masks=str(tmp_path / "masks"),
        classes=str(classes),
    )


def names(published):
    return {split: [pair.name for pair in found] for split, found in published.splits.items()}


def test_splits_by_folder_and_nesting(tmp_path, config):
    for i, name in enumerate(["train/city/a", "training/b", "validation/c", "x/test/d"]):
        save_pair(tmp_path / "images" / f"{name}.jpg", tmp_path / "masks" / f"{name}.png", i)
    assert names(folder.find(config)) == {
        "train": ["train/city/a", "training/b"],
        "val": ["validation/c"],
        "test": ["x/test/d"],
    }


def test_masks_are_found_by_stem_in_other_folders_and_suffixes_come_off(tmp_path, config):
    for i in range(4):
        save_pair(
            tmp_path / "images" / f"deep/{i}_leftImg8bit.png",
            tmp_path / "masks" / f"{i}_gt_ids.png",
            i,
        )
        save_pair(tmp_path / "spare.png", tmp_path / "masks" / f"{i}_gt_other.png", i)
    config.image_suffix, config.mask_suffix = "_leftImg8bit", "_gt_ids"
    found = folder.find(config)
    assert [p.mask.name for split in found.splits.values() for p in split] == [
        p.image.name.replace("leftImg8bit", "gt_ids") for s in found.splits.values() for p in s
    ]


def test_all_faults_are_named_together(tmp_path, config):
    """Files without a partner beside those that cannot be read or do not fit."""
    for i in range(4):
        save_pair(tmp_path / f"images/a{i}.jpg", tmp_path / f"masks/a{i}.png", i)
    save_pair(tmp_path / "images/b.jpg", tmp_path / "masks/c.png", 1)
    (tmp_path / "images/a1.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((3, 5), np.uint8)).save(tmp_path / "masks/a2.png")
    with pytest.raises(ValueError, match="4 problems, nothing was prepared") as error:
        pairs.check(folder.find(config), tmp_path / "journal")
    for words in (
        "b has no mask below",
        "c has no image below",
        "a1.jpg is not an image",
        "a2.png is 3 x 5",
    ):
        assert words in str(error.value)


def test_a_stem_that_two_masks_share_is_not_guessed(tmp_path, config):
    save_pair(tmp_path / "images/a.jpg", tmp_path / "masks/one/a.png", 0)
    save_pair(tmp_path / "images/a.jpg", tmp_path / "masks/two/a.png", 0)
    with pytest.raises(ValueError, match=r"several masks .*one/a\.png and .*two/a\.png"):
        pairs.check(folder.find(config), tmp_path / "journal")


def test_the_drawn_share_is_stable(tmp_path, config):
    for i in range(30):
        save_pair(tmp_path / f"images/{i}.png", tmp_path / f"masks/{i}.png", i, size=(2, 2))
    config.val_share = 0.2
    before = names(folder.find(config))
    assert (len(before["train"]), len(before["val"])) == (24, 6)
    assert names(folder.find(config)) == before
    save_pair(tmp_path / "images/new.png", tmp_path / "masks/new.png", 99, size=(2, 2))
    after = names(folder.find(config))
    assert len(set(after["val"]) ^ set(before["val"])) <= 2  # only the new file can push one out
    config.seed = 1
    assert names(folder.find(config)) != after


def test_tables(tmp_path, config):
    for i in range(3):
        save_pair(tmp_path / f"i/{i}.jpg", tmp_path / f"m/{i}.png", i)
    rows = ["image, mask, split"] + [
        f"i/{i}.jpg,m/{i}.png,{'train' if i else 'val'}" for i in range(3)
    ]
    config.table, config.images, config.masks = (
        str(write(tmp_path / "t.csv", "\n".join(rows))),
        "",
        "",
    )
    found = folder.find(config)
    assert names(found) == {"train": ["i/1", "i/2"], "val": ["i/0"]}
    assert found.splits["val"][0].mask == tmp_path / "m/0.png"
    write(tmp_path / "t.csv", "picture,mask\na,b\n")
    with pytest.raises(ValueError, match=r"t\.csv needs the columns image, mask.*picture"):
        folder.find(config)
    write(tmp_path / "t.csv", "image,mask,split\na.png,b.png,dev\n")
    with pytest.raises(ValueError, match=r"t\.csv line 2"):
        folder.find(config)


def test_what_is_missing_is_said(tmp_path, config):
    with pytest.raises(FileNotFoundError, match="images is not a folder"):
        folder.find(config)
    save_pair(tmp_path / "images/a.ppm", tmp_path / "masks/a.png", 0)
    with pytest.raises(FileNotFoundError, match=r"holds no \.jpg"):
        folder.find(config)
    config.classes = ""
    with pytest.raises(ValueError, match="needs --images=FOLDER"):
        folder.find(config)


def test_some_files_in_a_split_and_some_not(tmp_path, config):
    for name in ("train/a", "b", "val/c"):
        save_pair(tmp_path / f"images/{name}.png", tmp_path / f"masks/{name}.png", 0)
    with pytest.raises(ValueError, match=r"1 of 3 files are not in a split.*: b"):
        folder.find(config)


def test_every_id_is_a_class_where_there_is_no_file_of_classes():
    labels = folder.any_id()
    raw = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(labels.encode(raw, ""), [*range(254), 255, 255])
    assert Image.fromarray(labels.colour(raw[None])).size == (256, 1)


@pytest.mark.parametrize("text", [b"image,mask\n\xff,b.png\n", b"image,mask\na\0.png,b.png\n"])
def test_what_the_fuzz_found_in_tables(tmp_path, config, text):
    table = tmp_path / "pairs.csv"
    table.write_bytes(text)
    with pytest.raises(ValueError, match=r"pairs.csv"):
        folder.find(dataclasses.replace(config, images="", masks="", table=str(table)))


def test_files_that_one_of_two_decoders_reads_are_read_alike_everywhere(tmp_path):
    """Pillow reads a PNG without its last chunk, OpenCV, which decodes most PNGs, does not."""
    save_pair(tmp_path / "a.png", tmp_path / "mask.png", 2)
    whole, ids = pixels.read_image(tmp_path / "a.png"), np.array(Image.open(tmp_path / "mask.png"))
    for name in ("a.png", "mask.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-12])
    pair = pairs.Pair("a", tmp_path / "a.png", tmp_path / "mask.png")
    assert pairs.inspect(pair).kind == "grey 8 bit"
    labels = folder.any_id()
    published = pairs.Published({"train": [pair]}, labels)
    ((_, example),) = pairs.examples(published, "train")
    image = records.decode_image(example["image"].getvalue(), "a")
    np.testing.assert_array_equal(image, whole)
    raw = records.decode_label(example["label"].getvalue(), "a")
    np.testing.assert_array_equal(raw, ids)
