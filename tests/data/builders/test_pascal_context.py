"""PASCAL-Context in its published layout, small: labels are MATLAB files of 459 ids."""

import numpy as np
import pytest
import scipy.io

from jaxseg.data import loader, source
from jaxseg.data.builders import pascal_context
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair

IDS = np.array([[2, 23, 431], [258, 458, 1]], np.uint16)  # aeroplane, bicycle, unknown ...


@pytest.fixture
def root(tmp_path):
    """Two training images and one for validation; labels beside VOC2010."""
    base = tmp_path / "VOC2010"
    for split, names in (("train", ["2008_000008", "2008_000015"]), ("val", ["2008_000002"])):
        for name in names:
            save_pair(
                base / "JPEGImages" / f"{name}.jpg", tmp_path / "unused.png", int(name), (2, 3)
            )
            (tmp_path / "trainval").mkdir(exist_ok=True)
            scipy.io.savemat(tmp_path / "trainval" / f"{name}.mat", {"LabelMap": IDS})
        lists = base / "ImageSets" / "Main"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def run(command, root, name="pascal_context"):
    return command(
        prepare.main, f"--name={name}", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pascal_context", [[0, 1, 255], [13, 58, 255]]),
        ("pascal_context/60", [[1, 2, 0], [14, 59, 0]]),
    ],
)
def test_59_classes_with_and_without_background(command, root, name, expected):
    status, out, err = run(command, root, name)
    assert status == 0, err
    assert "train 2 of 4998 published, val 1 of 5105 published" in out
    val = loader.open_split(name, "val", root / "d")
    np.testing.assert_array_equal(val[0]["label"], expected)
    arguments = [f"--name={name}", f"--manual_dir={root}", "--picture=none"]
    assert command(doctor.main, *arguments)[0] == 0


def test_the_classes_are_the_official():
    assert pascal_context.LABELS.num_classes == 59
    assert pascal_context.LABELS_60.num_classes == 60
    names = pascal_context.LABELS.names
    for raw, name in ((397, "diningtable"), (80, "clothes"), (19, "bedcloth"), (284, "person")):
        assert names[pascal_context.LABELS.raw_to_train[raw]] == name
    kept = [raw for raw, train in pascal_context.LABELS.raw_to_train.items() if train != 255]
    assert len(kept) == 59


def test_every_fault_is_named(command, root):
    labels = root / "trainval"
    (labels / "2008_000008.mat").unlink()
    whole = (labels / "2008_000015.mat").read_bytes()
    (labels / "2008_000015.mat").write_bytes(whole[: len(whole) // 2])
    scipy.io.savemat(labels / "2008_000002.mat", {"Other": IDS})
    status, _, err = run(command, root)
    assert status == 1
    assert "3 problems, nothing was prepared" in err
    assert "2008_000008.mat is missing" in err
    assert "2008_000015.mat is not a MATLAB file, or damaged" in err
    assert "2008_000002.mat holds neither LabelMap nor GTcls.Segmentation nor S" in err
    scipy.io.savemat(labels / "2008_000002.mat", {"LabelMap": IDS + 2})
    assert "2008_000002.mat holds ids without a class: 460 (1 pixels)" in run(command, root)[2]
    scipy.io.savemat(labels / "2008_000002.mat", {"LabelMap": IDS.astype(int) - 2})
    assert "2008_000002.mat holds numbers that are not ids" in run(command, root)[2]
    assert not source.is_prepared(source.prepared_folder("pascal_context", root / "d"))
