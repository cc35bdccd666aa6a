"""Oxford-IIIT Pet in its published layout, small, and as TFDS unpacks it."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.builders import oxford_iiit_pet
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair

LISTS = {"trainval": ["Abyssinian_100", "beagle_1"], "test": ["Abyssinian_202"]}
FOLDERS = {
    "archives": ("images", "annotations"),
    "tfds": (
        "downloads/extracted/TAR_GZ.thor.robots.ox.ac.uk_vgg_pets_imagesZxl.tar.gz/images",
        "downloads/extracted/TAR_GZ.thor.robots.ox.ac.uk_vgg_pets_annotatioUkJ.tar.gz/annotations",
    ),
}


def write(root, layout):
    """The files; returns the folders of images and annotations."""
    images, annotations = (root / folder for folder in FOLDERS[layout])
    ids = np.resize(np.array([1, 2, 3], np.uint8), (24, 32))
    for listed, names in LISTS.items():
        for name in names:
            mask = annotations / "trimaps" / f"{name}.png"
            save_pair(images / f"{name}.jpg", mask, int(name[-1]))
            Image.fromarray(ids).save(mask)
            mask.with_name(f"._{name}.png").write_bytes(b"")  # as the archive holds them
        lines = [f"{name} 1 1 1\n" for name in names]
        (annotations / f"{listed}.txt").write_text("".join(lines))
    return images, annotations


def run(command, root):
    return command(
        prepare.main, "--name=oxford_iiit_pet", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
    )


@pytest.mark.parametrize("layout", FOLDERS)
def test_pets_before_background_and_void_between(command, tmp_path, layout):
    images, _ = write(tmp_path, layout)
    Image.open(images / "beagle_1.jpg").save(images / "beagle_1.jpg", "GIF")
    status, out, err = run(command, tmp_path)
    assert status == 0, err
    assert "train 2 of 3680 published, test 1 of 3669 published" in out
    train = loader.open_split("oxford_iiit_pet", "train", tmp_path / "d")
    np.testing.assert_array_equal(train[0]["label"].ravel()[:3], [1, 0, 255])
    assert train.labels.names == ("background", "pet")
    assert train.encoded(0)["image"] == (images / "Abyssinian_100.jpg").read_bytes()
    expected = np.asarray(Image.open(images / "beagle_1.jpg").convert("RGB"))
    np.testing.assert_array_equal(train[1]["image"], expected)
    arguments = ["--name=oxford_iiit_pet", f"--data_dir={tmp_path / 'd'}", "--picture=none"]
    assert command(doctor.main, *arguments)[0] == 0


def test_the_splits_are_the_published():
    assert oxford_iiit_pet.OFFICIAL == {"train": 3680, "test": 3669}


def test_every_fault_is_named(command, tmp_path):
    images, annotations = write(tmp_path, "archives")
    (images / "beagle_1.jpg").write_bytes(b"")
    (annotations / "trimaps" / "Abyssinian_202.png").unlink()
    Image.new("L", (32, 24), 0).save(annotations / "trimaps" / "Abyssinian_100.png")
    with (annotations / "test.txt").open("a") as file:
        file.write("beagle_1 1 1 1\n")
    status, _, err = run(command, tmp_path)
    assert status == 1
    assert "4 problems, nothing was prepared" in err
    assert "beagle_1.jpg is not an image" in err
    assert "beagle_1.jpg is both in train and in test" in err
    assert "Abyssinian_202.png is missing" in err
    assert "Abyssinian_100.png holds ids without a class: 0 (768 pixels)" in err
    assert not source.is_prepared(source.prepared_folder("oxford_iiit_pet", tmp_path / "d"))
