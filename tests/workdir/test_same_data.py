"""A run knows its classes and its data: opening its folder compares them with the current ones.

The set has masks of ids 0, 1, 2; what these are called is decided by a file of classes.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from jaxseg import config, evaluate, predict, train
from jaxseg.data import builders, loader
from jaxseg.data.prepare import prepare
from jaxseg.workdir import data_identity, same_data
from tests.helpers.programs import tiny

VERSION = builders.VERSIONS["folder"]
CLASSES = "0 ground 9 9 9\n1 red 200 0 0\n2 blue 0 0 200\n"
TURNED = "2 blue 0 0 200\n1 red 200 0 0\n0 ground 9 9 9\n"
FIRST = 'class 0 is "ground" in the run and "blue" in the data'


def write_pairs(root, count, seed=0):
    """Images and masks 0 to count - 1 of 20 x 24, of ids 0, 1, 2."""
    source = tiny.Squares(count, seed=seed)
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        example = source[i]
        Image.fromarray(example["image"]).save(root / "images" / f"{i}.png")
        ids = np.where(example["label"] == 255, 0, example["label"]).astype(np.uint8)
        Image.fromarray(ids).save(root / "masks" / f"{i}.png")


def prepared(name, data_dir, *arguments, files=None, classes=CLASSES):
    """Prepares a set in this process; with `files`, from what `write_pairs` wrote there."""
    given = []
    if files is not None:
        (files / "classes.txt").write_text(classes)
        given = [
            f"--images={files / 'images'}",
            f"--masks={files / 'masks'}",
            f"--classes={files / 'classes.txt'}",
            "--val_share=0.34",
        ]
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        flags.FLAGS(["prepare", *given, *arguments])
        return prepare.prepare(name, data_dir, overwrite="--overwrite" in arguments)


def experiment(name, data_dir, classes=3, **fields):
    one = tiny.experiment(tiny.Tiny(num_classes=classes), **({"steps": 1, "pictures": 0} | fields))
    one.data = dataclasses.replace(one.data, name=name, data_dir=str(data_dir), batch_size=2)
    return one


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the files of a set, data with folder/own of it, and a run of one step on it."""
    root = tmp_path_factory.mktemp("own")
    write_pairs(root / "files", 6)
    prepared("folder/own", root / "data", files=root / "files")
    train.fit(experiment("folder/own", root / "data"), root / "run")
    return root


@pytest.fixture
def own(trained, tmp_path):
    """A copy of it for one test, whose data may be prepared again."""
    shutil.copytree(trained, tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def turned(own):
    """The same set prepared again with the same classes in another order."""
    prepared("folder/own", own / "data", "--overwrite", files=own / "files", classes=TURNED)
    return own


def test_training_keeps_classes_and_data(trained):
    labels = json.loads((trained / "run" / "labels.json").read_text())
    assert labels["names"] == ["ground", "red", "blue"]
    assert labels["palette"] == [[9, 9, 9], [200, 0, 0], [0, 0, 200]]
    assert labels["raw_to_train"] == {"0": 0, "1": 1, "2": 2}
    data = json.loads((trained / "run" / "data.json").read_text())
    assert (data["name"], data["version"], data["train_split"]) == ("folder/own", VERSION, "train")
    train_split = loader.open_split("folder/own", "train", trained / "data")
    names = [train_split[i]["name"] for i in range(4)]
    assert data["splits"]["train"]["names"] == names
    assert len(set(data["splits"]["train"]["digests"])) == 4


def test_other_classes_are_refused_by_every_mode_with_the_first_that_differs(turned, capsys):
    one = experiment("folder/own", turned / "data")
    with pytest.raises(ValueError, match=FIRST) as refused:
        evaluate.run(one, turned / "run", progress=False)
    assert "labels.json" in str(refused.value)  # the way out
    longer = experiment("folder/own", turned / "data", steps=2)
    with pytest.raises(ValueError, match=FIRST):
        train.fit(longer, turned / "run")
    with pytest.raises(ValueError, match=FIRST):  # not even where other examples are accepted
        train.fit(longer, turned / "run", changed_data=True)
    arguments = (turned / "run", [turned / "files" / "images" / "0.png"], turned / "out")
    with pytest.raises(ValueError, match=f"{FIRST}.*--changed_data"):
        predict.main(one, *arguments)
    new = experiment("folder/own", turned / "data", init_from=str(turned / "run"))
    with pytest.raises(ValueError, match=r'"ground" in the run .* and "blue" in the data.*partial'):
        train.fit(new, turned / "new")
    assert not list((turned / "run" / "eval").glob("*"))


def test_other_examples_are_refused_unless_they_are_accepted(own, capsys):
    write_pairs(own / "files", 9)
    prepared("folder/own", own / "data", "--overwrite", files=own / "files")
    known = data_identity.read(own / "run")
    one = experiment("folder/own", own / "data", steps=2)
    val = loader.open_split("folder/own", "val", own / "data")
    with pytest.raises(ValueError, match=r"val has 2 examples in the run and 3 in the data"):
        same_data.hold_evaluation(own / "run", val, one.data)
    record = same_data.hold_evaluation(own / "run", val, one.data, changed_data=True)
    assert "val has 2 examples in the run and 3" in record["compared"]
    with pytest.raises(ValueError, match=r"train has 4 examples in the run and 6 .*--workdir"):
        train.fit(one, own / "run")
    train_split = loader.open_split("folder/own", "train", own / "data")
    lines = same_data.hold_training(own / "run", one.data, changed_data=True)
    assert lines == [
        "accepted by --changed_data: train has 4 examples in the run and 6 in the data"
    ]
    data_identity.keep(own / "run", train_split, one.data)
    assert data_identity.read(own / "run").data.splits["train"].count == 6
    assert data_identity.read(own / "run").labels == known.labels


def test_one_changed_mask_is_named(own):
    mask = own / "files" / "masks" / "0.png"
    ids = np.array(Image.open(mask))
    ids[0, 0] = 2
    Image.fromarray(ids).save(mask)
    prepared("folder/own", own / "data", "--overwrite", files=own / "files")
    one = experiment("folder/own", own / "data")
    splits = [loader.open_split("folder/own", s, own / "data") for s in ("train", "val")]
    split = next(s for s in splits if "0" in [s[i]["name"] for i in range(len(s))])
    one.data.eval_split = split.split
    with pytest.raises(ValueError, match=f'example "0" of {split.split} has other bytes'):
        same_data.hold_evaluation(own / "run", split, one.data)


def test_another_set_of_the_same_classes_is_no_fault_and_is_said(own, capsys):
    """Its masks may code them by other numbers."""
    for path in (own / "files" / "masks").iterdir():
        Image.fromarray(np.array(Image.open(path)) + np.uint8(7)).save(path)
    shifted = CLASSES.replace("0 g", "7 g").replace("1 r", "8 r").replace("2 b", "9 b")
    prepared("folder/other", own / "data", files=own / "files", classes=shifted)
    one = experiment("folder/other", own / "data")
    val = loader.open_split("folder/other", "val", own / "data")
    record = same_data.hold_evaluation(own / "run", val, one.data)
    assert record["trained_on"] == "folder/own"
    assert "folder/other is another set than the run's, folder/own" in record["compared"]
    assert record["data_digest"] == val.fingerprint.splits["val"].digest
    assert "another set" in capsys.readouterr().err
    one.train.steps = 2
    with pytest.raises(ValueError, match="the set is folder/own in the run and folder/other now"):
        train.fit(one, own / "run")


def test_a_run_of_an_earlier_version_is_opened_and_says_what_is_not_compared(turned, capsys):
    for name in ("labels.json", "data.json"):
        (turned / "run" / name).unlink()
    val = loader.open_split("folder/own", "val", turned / "data")
    one = experiment("folder/own", turned / "data", steps=2)
    record = same_data.hold_evaluation(turned / "run", val, one.data)
    assert "has no list of its classes" in record["compared"]
    train.fit(one, turned / "run")
    assert "it is unknown whether" in capsys.readouterr().err
    assert data_identity.read(turned / "run").labels.names[0] == "blue"  # from now on it can


def test_a_set_of_an_earlier_version_is_compared_by_counts_and_bytes(own, capsys):
    folder = own / "data" / "folder" / "own" / VERSION
    (folder / "fingerprint.json").unlink()
    one = experiment("folder/own", own / "data")
    val = loader.open_split("folder/own", "val", own / "data")
    record = same_data.hold_evaluation(own / "run", val, one.data)
    assert "only classes, counts and bytes of val are compared" in record["compared"]
    (folder / "fingerprint.json").write_text("{}")  # damaged: the same
    val = loader.open_split("folder/own", "val", own / "data")
    assert "only classes" in same_data.hold_evaluation(own / "run", val, one.data)["compared"]


def test_a_damaged_list_of_classes_is_named_and_the_other_file_stands_in(own, capsys):
    (own / "run" / "labels.json").write_text("[")
    shutil.rmtree(own / "data")
    labels = data_identity.labels_of(experiment("folder/own", own / "data"), own / "run")
    assert labels.names == ("ground", "red", "blue")
    assert "labels.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["folder/own", "shapes/thin"])
def test_a_run_predicts_when_its_data_is_gone(name, own, tmp_path):
    """With the run folder alone, and under its own names and colours."""
    root, data_dir = (own, own / "data") if name == "folder/own" else (tmp_path, tmp_path / "data")
    if name == "shapes/thin":
        prepared(name, data_dir, "--shapes_size=32", "--shapes_train=2", "--shapes_val=1")
        train.fit(experiment(name, data_dir, classes=7), root / "run")
    colours = loader.open_split(name, "val", data_dir).labels.palette
    write_pairs(tmp_path / "photos", 1)
    shutil.rmtree(data_dir)
    one = config.from_dict(json.loads((root / "run" / "config.json").read_text()))
    assert predict.main(one, root / "run", [tmp_path / "photos" / "images"], tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "labels" / "0.png") as label:
        flat = [channel for colour in colours for channel in colour]
        assert label.getpalette()[: len(flat)] == flat


def test_classes_of_every_kind_of_set_are_known_by_its_name_where_they_can_be(tmp_path):
    for name, count in (("cityscapes/coarse", 19), ("shapes/far", 7), ("pascal_context/60", 60)):
        assert data_identity.labels_of_data(experiment(name, tmp_path).data).num_classes == count
    with pytest.raises(FileNotFoundError, match=r"folder/mine is not prepared.*prepare"):
        data_identity.labels_of_data(experiment("folder/mine", tmp_path).data)
