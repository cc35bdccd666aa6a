"""The EM challenge as two volumes and as single slices, small and real."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.builders import isbi_em
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare


@pytest.fixture
def volumes():
    """Six slices of 20 x 24 and their labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 20, 24), dtype=np.uint8)
    return images, np.where(images > 90, 255, 0).astype(np.uint8)


def save_volume(path, slices):
    first, *rest = [Image.fromarray(each) for each in slices]
    first.save(path, save_all=True, append_images=rest)


def save_files(root, volumes):
    for folder, slices in zip(("image", "label"), volumes, strict=True):
        (root / folder).mkdir()
        for i, each in enumerate(slices):
            Image.fromarray(each).save(root / folder / f"{i:02d}.png")


def run(command, root, data_dir):
    return command(prepare.main, "--name=isbi_em", f"--manual_dir={root}", f"--data_dir={data_dir}")


@pytest.mark.parametrize("layout", ["volumes", "files"])
def test_both_layouts_give_the_same_examples(command, volumes, tmp_path, layout):
    if layout == "volumes":
        save_volume(tmp_path / "train-volume.tif", volumes[0])
        save_volume(tmp_path / "train-labels.tif", volumes[1])
    else:
        save_files(tmp_path, volumes)
    status, out, err = run(command, tmp_path, tmp_path / "d")
    assert status == 0, err
    assert "found train 2, val 4, trainval 6 of 30 published" in out
    for split, which in (("train", [0, 1]), ("val", [2, 3, 4, 5]), ("trainval", range(6))):
        opened = loader.open_split("isbi_em", split, tmp_path / "d")
        assert [opened[i]["name"] for i in range(len(opened))] == [f"{i:02d}" for i in which]
        assert opened.largest == (20, 24)
        for i, k in enumerate(which):
            grey = np.repeat(volumes[0][k][..., None], 3, axis=-1)
            np.testing.assert_array_equal(opened[i]["image"], grey)
            np.testing.assert_array_equal(opened[i]["label"], volumes[1][k] // 255)
    picture = f"--picture={tmp_path / 'a.png'}"
    status, out, _ = command(doctor.main, "--name=isbi_em", f"--manual_dir={tmp_path}", picture)
    assert "membrane" in out
    assert (tmp_path / "a.png").is_file()


def test_membranes_are_black_in_the_labels_and_come_first():
    assert isbi_em.LABELS.names == ("membrane", "cell")
    raw = np.array([0, 255], np.uint8)
    np.testing.assert_array_equal(isbi_em.LABELS.encode(raw, "x"), [0, 1])
    with pytest.raises(ValueError, match="1 "):
        isbi_em.LABELS.encode(np.array([1], np.uint8), "x")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_faults_of_volumes_are_named_with_their_pages(command, volumes, tmp_path):
    images, labels = volumes
    save_volume(tmp_path / "train-volume.tif", images)
    strange = labels.copy()
    strange[1, 0, 0] = 7
    save_volume(tmp_path / "train-labels.tif", strange[:5])
    status, _, err = run(command, tmp_path, tmp_path / "d")
    assert status == 1
    assert "train-labels.tif page 5 is missing: the file holds 5 pages" in err
    assert "2 problems" in err  # trainval, which holds them too, says nothing new
    assert "train-labels.tif page 1 holds ids without a class: 7 (1 pixels)" in err
    (tmp_path / "train-labels.tif").unlink()
    status, _, err = run(command, tmp_path, tmp_path / "d")
    assert status == 1
    assert "train-labels.tif is missing" in err
    whole = (tmp_path / "train-volume.tif").read_bytes()
    (tmp_path / "train-volume.tif").write_bytes(whole[:700])  # the middle of the second slice
    save_volume(tmp_path / "train-labels.tif", labels)
    status, _, err = run(command, tmp_path, tmp_path / "d")
    assert status == 1
    assert "train-volume.tif page 1 is" in err
    assert not source.is_prepared(source.prepared_folder("isbi_em", tmp_path / "d"))


def test_faults_of_files_are_named(command, volumes, tmp_path):
    save_files(tmp_path, volumes)
    (tmp_path / "label" / "03.png").unlink()
    Image.new("L", (5, 5)).save(tmp_path / "label" / "00.png")
    status, _, err = run(command, tmp_path, tmp_path / "d")
    assert status == 1
    assert "03.png is missing" in err
    assert "00.png is 5 x 5, but its image is 20 x 24" in err
    for i in (0, 1):
        (tmp_path / "image" / f"0{i}.png").unlink()
        (tmp_path / "label" / f"0{i}.png").unlink()
    status, _, err = run(command, tmp_path, tmp_path / "d")
    assert status == 1
    assert "holds 4 slices, 4 of them are for val" in err


def test_real_files(command, shared, tmp_path):
    root = shared / "data" / "isbi_em"
    status, out, _ = run(command, root, tmp_path)
    assert status == 0
    assert "train 20, val 4, trainval 24 of 30 published" in out
    val = loader.open_split("isbi_em", "val", tmp_path)
    for i in range(4):
        example = val[i]
        assert example["name"] == f"{20 + i}"
        raw = np.asarray(Image.open(root / "label" / f"{20 + i}.png"))
        np.testing.assert_array_equal(example["label"], raw > 0)
        assert 0.5 < example["label"].mean() < 0.9  # cells are most of a slice
    status, out, _ = command(
        doctor.main, "--name=isbi_em", f"--data_dir={tmp_path}", "--picture=none"
    )
    assert status == 0  # images of val stand in trainval too
    assert "membrane" in out
