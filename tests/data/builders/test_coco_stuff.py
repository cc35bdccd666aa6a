"""COCO-Stuff in its published layout, small."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.builders import coco_stuff
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair

NEVER = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)  # numbers of labels.txt less one
DRAWN = [*(raw for raw in range(182) if raw not in NEVER), 255]


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        for i in range(count):
            name = f"{i + 9:012d}"
            mask = tmp_path / "annotations" / f"{split}2017" / f"{name}.png"
            save_pair(tmp_path / "images" / f"{split}2017" / f"{name}.jpg", mask, i)
            ids = np.resize(np.array(DRAWN, np.uint8), (24, 32))
            Image.fromarray(ids).save(mask)
    return tmp_path


def run(command, root, name="coco_stuff"):
    return command(
        prepare.main, f"--name={name}", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
    )


def test_things_and_stuffs_that_are_drawn_are_numbered_through(command, root):
    status, out, err = run(command, root)
    assert status == 0, err
    assert "train 2 of 118287 published, val 1 of 5000 published" in out
    val = loader.open_split("coco_stuff", "val", root / "d")
    assert val[0]["name"] == "000000000009"
    np.testing.assert_array_equal(val[0]["label"].ravel()[:172], [*range(171), 255])


def test_the_classes_are_the_official():
    labels = coco_stuff.LABELS
    assert labels.num_classes == 80 + 91
    for raw, name in ((0, "person"), (71, "tv"), (91, "banner"), (148, "road"), (181, "wood")):
        assert labels.names[labels.raw_to_train[raw]] == name
    assert not set(NEVER) & set(labels.raw_to_train)


def test_every_fault_is_named(command, root):
    masks = root / "annotations" / "train2017"
    Image.new("L", (32, 24), 11).save(masks / "000000000009.png")
    (masks / "000000000010.png").unlink()
    status, _, err = run(command, root)
    assert status == 1
    assert "2 problems, nothing was prepared" in err
    assert "000000000009.png holds ids without a class: 11 (768 pixels)" in err
    assert "000000000010.png is missing" in err
    assert not source.is_prepared(source.prepared_folder("coco_stuff", root / "d"))


@pytest.fixture
def root_10k(tmp_path):
    """Two training images and one for testing; labels with all ids that 10k has."""
    for folder in ("imageLists", "annotations"):
        (tmp_path / folder).mkdir()
    ids = np.resize(np.array([raw + 1 for raw in DRAWN[:-1]] + [0], np.uint16), (24, 32))
    for split, names in (("train", ["7", "8"]), ("test", ["9"])):
        names = [f"COCO_train2014_00000000000{name}" for name in names]
        (tmp_path / "imageLists" / f"{split}.txt").write_text("\n".join(names))
        for k, name in enumerate(names):
            save_pair(tmp_path / "images" / f"{name}.jpg", tmp_path / "unused.png", k)
            scipy.io.savemat(tmp_path / "annotations" / f"{name}.mat", {"S": ids})
    return tmp_path


def test_10k_has_the_same_classes_by_their_own_numbers(command, root_10k):
    status, out, err = run(command, root_10k, "coco_stuff/10k")
    assert status == 0, err
    assert "train 2 of 9000 published, test 1 of 1000 published" in out
    test = loader.open_split("coco_stuff/10k", "test", root_10k / "d")
    assert test[0]["name"] == "COCO_train2014_000000000009"
    np.testing.assert_array_equal(test[0]["label"].ravel()[:172], [*range(171), 255])
    assert test.labels.names == coco_stuff.LABELS.names


def test_every_fault_of_10k_is_named(command, root_10k):
    masks = root_10k / "annotations"
    old = {"S": np.ones((24, 32), np.uint16), "names": np.array(["x"] * 172, object)}
    scipy.io.savemat(masks / "COCO_train2014_000000000007.mat", old)
    scipy.io.savemat(masks / "COCO_train2014_000000000008.mat", {"S": np.full((24, 32), 12)})
    scipy.io.savemat(masks / "COCO_train2014_000000000009.mat", {"S": np.ones((5, 5))})
    status, _, err = run(command, root_10k, "coco_stuff/10k")
    assert status == 1
    assert "3 problems, nothing was prepared" in err
    assert "7.mat is from version 1.0 of COCO-Stuff" in err
    assert "8.mat holds ids without a class: 12 (768 pixels)" in err
    assert "9.mat is 5 x 5, but its image is 24 x 32" in err
    assert not source.is_prepared(source.prepared_folder("coco_stuff/10k", root_10k / "d"))
