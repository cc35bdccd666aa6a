"""SBD's own files as VOC 2012's trainaug and as FCN's VOC 2011, small."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxseg.data import loader
from jaxseg.data.builders import voc2012
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare
from jaxseg.data.readers import mask_file
from tests.data.conftest import save_pair

TRAIN, VAL = ["a", "b"], ["c", "d"]  # of the challenge
SBD = {"train": ["b", "c", "e"], "val": ["d", "f"]}


@pytest.fixture
def root(tmp_path):
    """VOC2012, VOC2011 and SBD; image k of the alphabet has id k everywhere, of SBD ten more."""
    for year in ("VOC2011", "VOC2012"):
        for k, name in enumerate("abcdef"):
            mask = tmp_path / year / "SegmentationClass" / f"{name}.png"
            save_pair(tmp_path / year / "JPEGImages" / f"{name}.jpg", mask, k)
            Image.new("L", (32, 24), k).save(mask)
        lists = tmp_path / year / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("\n".join(TRAIN))
        (lists / "val.txt").write_text("\n".join(VAL))
    sbd = tmp_path / "benchmark_RELEASE" / "dataset"
    for part in ("img", "cls"):
        (sbd / part).mkdir(parents=True)
    for split, names in SBD.items():
        (sbd / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            k = "abcdef".index(name)
            save_pair(sbd / "img" / f"{name}.jpg", tmp_path / "unused.png", k)
            ids = np.full((24, 32), k + 10, np.uint8)
            scipy.io.savemat(sbd / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": ids}})
    return tmp_path


def run(command, root, name):
    return command(
        prepare.main, f"--name={name}", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
    )


def ids_of(root, name, split):
    """Name -> the one id of its label."""
    opened = loader.open_split(name, split, root / "d")
    found = [opened[i] for i in range(len(opened))]
    assert all(len(np.unique(example["label"])) == 1 for example in found)
    return {example["name"]: int(example["label"][0, 0]) for example in found}


def test_trainaug_has_the_challenges_labels_where_there_are_some(command, root):
    status, out, err = run(command, root, "voc2012")
    assert status == 0, err
    assert "trainaug 4 of 10582 published" in out
    assert ids_of(root, "voc2012", "trainaug") == {"a": 0, "b": 1, "e": 14, "f": 15}
    assert ids_of(root, "voc2012", "val") == {"c": 2, "d": 3}


def test_a_folder_of_converted_labels_goes_before_sbd(command, root):
    (root / "VOC2012" / "SegmentationClassAug").mkdir()
    assert "trainaug 0 of 10582 published" in run(command, root, "voc2012")[1]


def test_fcn_is_evaluated_on_what_sbd_does_not_train_on(command, root):
    status, out, err = run(command, root, "voc2011")
    assert status == 0, err
    assert "train 3 of 8498 published, val 1 of 736 published" in out
    assert ids_of(root, "voc2011", "train") == {"b": 11, "c": 12, "e": 14}
    assert ids_of(root, "voc2011", "val") == {"d": 3}


def test_faults_are_named(command, root):
    cls = root / "benchmark_RELEASE" / "dataset" / "cls"
    (cls / "e.mat").unlink()
    ids = np.full((24, 32), 21, np.uint8)
    scipy.io.savemat(cls / "b.mat", {"GTcls": {"Segmentation": ids}})
    scipy.io.savemat(cls / "c.mat", {"GTcls": {"Boundaries": ids}})
    status, _, err = run(command, root, "voc2011")
    assert status == 1
    assert "3 problems, nothing was prepared" in err
    assert "e.mat is missing" in err
    assert "b.mat holds ids without a class: 21 (768 pixels)" in err
    assert "c.mat holds neither LabelMap nor GTcls.Segmentation nor S" in err
    (cls.parent / "train.txt").unlink()
    status, _, err = run(command, root, "voc2011")
    assert status == 1
    assert err.startswith("jaxseg: ")
    assert "train.txt" in err


def test_another_list_of_the_published_length_is_told(root, monkeypatch):
    monkeypatch.setitem(voc2012.OFFICIAL, "trainaug", 4)
    monkeypatch.setitem(voc2012.LISTS, "trainaug", mask_file.digest(["a", "b", "e", "x"]))
    published = voc2012.find(root)
    assert "WARNING: trainaug has the published number of examples, but not" in published.counts()
    monkeypatch.setitem(voc2012.LISTS, "trainaug", mask_file.digest(["e", "a", "b", "f"]))
    assert "WARNING" not in published.counts()


def test_labels_of_both_sources_are_no_problem_to_the_doctor(command, root):
    arguments = [f"--manual_dir={root}", "--split=trainaug", "--picture=none"]
    status, out, _ = command(doctor.main, "--name=voc2012", *arguments)
    assert "MATLAB (2)" in out
    assert "ids in several ways" not in out
    assert status == 0
