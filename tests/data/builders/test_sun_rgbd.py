"""SUN RGB-D as the colour images and labels are published, small."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.builders import sun_rgbd
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair


@pytest.fixture
def root(tmp_path):
    """Images 1 and 2 for training, 1 for testing; labels numbered through."""
    for split, image, label in (("train", 1, 5051), ("train", 2, 5052), ("test", 1, 1)):
        mask = tmp_path / "sunrgbd_train_test_labels" / f"img-{label:06d}.png"
        save_pair(tmp_path / f"SUNRGBD-{split}_images" / f"img-{image:06d}.jpg", mask, label)
        ids = np.full((24, 32), label % 37, np.uint8)
        ids.ravel()[:38] = range(38)
        Image.fromarray(ids).save(mask)
    return tmp_path


def run(command, root):
    return command(
        prepare.main, "--name=sun_rgbd", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
    )


def test_labels_of_the_training_images_begin_after_those_of_the_test_images(command, root):
    status, out, err = run(command, root)
    assert status == 0, err
    assert "train 2 of 5285 published, test 1 of 5050 published" in out
    for split, labels in (("train", [5051, 5052]), ("test", [1])):
        opened = loader.open_split("sun_rgbd", split, root / "d")
        assert len(opened) == len(labels)
        for i, label in enumerate(labels):
            found = opened[i]["label"]
            np.testing.assert_array_equal(found.ravel()[:38], [255, *range(37)])
            assert found[-1, -1] == label % 37 - 1
            assert opened[i]["name"] == f"{split}/{i + 1:06d}"


def test_the_classes_are_the_official():
    assert sun_rgbd.LABELS.num_classes == 37
    for raw, name in ((1, "wall"), (20, "floor_mat"), (31, "person"), (37, "bag")):
        assert sun_rgbd.LABELS.names[sun_rgbd.LABELS.raw_to_train[raw]] == name


def test_every_fault_is_named(command, root):
    (root / "SUNRGBD-train_images" / "img-000001.jpg").unlink()
    (root / "sunrgbd_train_test_labels" / "img-005052.png").unlink()
    Image.new("L", (5, 5)).save(root / "sunrgbd_train_test_labels" / "img-000001.png")
    status, _, err = run(command, root)
    assert status == 1
    assert "3 problems, nothing was prepared" in err
    assert "SUNRGBD-train_images/img-000001.jpg is missing" in err
    assert "img-005052.png is missing" in err
    assert "img-000001.png is 5 x 5, but its image is 24 x 32" in err
    assert not source.is_prepared(source.prepared_folder("sun_rgbd", root / "d"))
