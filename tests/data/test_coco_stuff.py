"""COCO-Stuff in its published layout, small."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, prepare, source
from jaxseg.data.builders import coco_stuff
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


def run(command, root):
    return command(
        prepare.main, "--name=coco_stuff", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
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
    assert "000000000009.png holds ids that no class has: 11 (768 pixels)" in err
    assert "000000000010.png is missing" in err
    assert not source.is_prepared(source.prepared_folder("coco_stuff", root / "d"))
