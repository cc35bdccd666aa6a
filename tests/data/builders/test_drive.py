"""DRIVE in its published layout, small: TIFF images, GIF labels."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare


def save_example(folder, own, number, test_labels=True):
    """Writes an image and its label; returns both."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (20, 18, 3), dtype=np.uint8)
    vessels = image[..., 1] > 200
    for part in ("images", "1st_manual", "mask"):
        (folder / own / part).mkdir(parents=True, exist_ok=True)
    name = f"{number:02d}"
    Image.fromarray(image).save(folder / own / "images" / f"{name}_{own}.tif")
    grey = Image.fromarray(vessels.astype(np.uint8) * 255)
    grey.save(folder / own / "mask" / f"{name}_{own}_mask.gif")
    grey.save(folder / own / "1st_manual" / f"{name}_manual1.gif")
    return image, vessels


@pytest.fixture
def examples(tmp_path):
    """Name -> image and label of a folder DRIVE with two training and one test image."""
    kinds = {"21": "training", "22": "training", "01": "test"}
    return {k: save_example(tmp_path / "DRIVE", own, int(k)) for k, own in kinds.items()}


def run(command, root, data_dir):
    return command(prepare.main, "--name=drive", f"--manual_dir={root}", f"--data_dir={data_dir}")


def test_images_and_vessels(command, examples, tmp_path):
    status, out, err = run(command, tmp_path, tmp_path / "d")
    assert status == 0, err
    assert "train 2 of 20 published, test 1 of 20 published" in out
    for split, names in (("train", ["21", "22"]), ("test", ["01"])):
        opened = loader.open_split("drive", split, tmp_path / "d")
        assert [opened[i]["name"] for i in range(len(opened))] == names
        for i, name in enumerate(names):
            np.testing.assert_array_equal(opened[i]["image"], examples[name][0])
            np.testing.assert_array_equal(opened[i]["label"], examples[name][1])
    arguments = [f"--manual_dir={tmp_path}", "--picture=none"]
    status, out, _ = command(doctor.main, "--name=drive", *arguments)
    assert status == 0
    assert "vessel" in out


def test_labels_are_read_by_colour_whatever_their_indices(command, examples, tmp_path):
    path = tmp_path / "DRIVE" / "training" / "1st_manual" / "21_manual1.gif"
    image = Image.fromarray((~examples["21"][1]).astype(np.uint8), "P")  # 0 is white here
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(path)
    assert run(command, tmp_path, tmp_path / "d")[0] == 0
    train = loader.open_split("drive", "train", tmp_path / "d")
    np.testing.assert_array_equal(train[0]["label"], examples["21"][1])


def test_test_images_without_labels_are_left_out(command, examples, tmp_path):
    folder = tmp_path / "DRIVE" / "test" / "1st_manual"
    (folder / "01_manual1.gif").unlink()
    folder.rmdir()
    status, out, _ = run(command, tmp_path, tmp_path / "d")
    assert status == 0
    assert "test 0 of 20 published" in out


def test_every_fault_is_named(command, examples, tmp_path):
    folder = tmp_path / "DRIVE" / "training"
    (folder / "images" / "22_training.tif").unlink()
    grey = Image.new("L", (18, 20), 7)
    grey.save(folder / "1st_manual" / "21_manual1.gif")
    status, _, err = run(command, tmp_path, tmp_path / "d")
    assert status == 1
    assert "2 problems, nothing was prepared" in err
    assert "22_training.tif is missing" in err
    assert "21_manual1.gif holds colours that no class has: 7,7,7 (360 pixels)" in err
    assert not source.is_prepared(source.prepared_folder("drive", tmp_path / "d"))
