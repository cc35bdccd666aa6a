"""SceneParse150 in its published layout, small."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.builders import ade20k
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair


@pytest.fixture
def root(tmp_path):
    """Three images for training, one for validation, and the table of classes."""
    folder = tmp_path / "ADEChallengeData2016"
    for own, count, name in (("training", 3, "train"), ("validation", 1, "val")):
        for i in range(1, count + 1):
            stem = f"ADE_{name}_{i:08d}"
            mask = folder / "annotations" / own / f"{stem}.png"
            save_pair(folder / "images" / own / f"{stem}.jpg", mask, i)
            ids = (np.arange(24 * 32) % 151).astype(np.uint8).reshape(24, 32)
            Image.fromarray(ids).save(mask)
    rows = [f"{k}\t0.1\t9\t9\t{name}, a synonym" for k, name in enumerate(ade20k.LABELS.names, 1)]
    rows[89] = "90\t0.0007\t618\t53\ttelevision receiver, television, tv"
    (folder / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]))
    return tmp_path


def run(command, root, data_dir):
    return command(prepare.main, "--name=ade20k", f"--manual_dir={root}", f"--data_dir={data_dir}")


def test_ids_are_moved_by_one_and_zero_is_void(command, root, tmp_path):
    status, out, err = run(command, root, tmp_path / "d")
    assert status == 0, err
    assert "train 3 of 20210 published, val 1 of 2000 published" in out
    train = loader.open_split("ade20k", "train", tmp_path / "d")
    expected = np.array([255, *range(150)])
    np.testing.assert_array_equal(train[0]["label"].ravel()[:151], expected)
    assert train[2]["name"] == "ADE_train_00000003"


def test_the_labels_are_the_official():
    labels = ade20k.LABELS
    assert labels.num_classes == 150
    for raw, name in ((1, "wall"), (13, "person"), (90, "television"), (150, "flag")):
        assert labels.names[labels.raw_to_train[raw]] == name
    assert labels.palette[:2] == ((120, 120, 120), (180, 120, 120))
    assert labels.palette[149] == (92, 0, 255)


def test_another_table_of_classes_is_refused(command, root, tmp_path):
    table = root / "ADEChallengeData2016" / "objectInfo150.txt"
    table.write_text(table.read_text().replace("\tsky,", "\tceiling,"))
    status, _, err = run(command, root, tmp_path / "d")
    assert status == 1
    assert f"{table}: id 3 is ['ceiling', 'a synonym'], not sky" in err


def test_every_fault_is_named(command, root, tmp_path):
    folder = root / "ADEChallengeData2016"
    mask = folder / "annotations" / "training" / "ADE_train_00000002.png"
    mask.unlink()
    image = folder / "images" / "validation" / "ADE_val_00000001.jpg"
    image.write_bytes(image.read_bytes()[:200])
    other = folder / "annotations" / "training" / "ADE_train_00000001.png"
    Image.new("L", (32, 24), 151).save(other)
    status, _, err = run(command, root, tmp_path / "d")
    assert status == 1
    assert "3 problems, nothing was prepared" in err
    assert f"{mask} is missing" in err
    assert f"{image} is truncated" in err
    assert f"{other} holds ids without a class: 151" in err
    assert not source.is_prepared(source.prepared_folder("ade20k", tmp_path / "d"))
