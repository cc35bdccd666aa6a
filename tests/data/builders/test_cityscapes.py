"""Cityscapes in its published layout, small and real."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.builders import cityscapes
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair

VOID = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]  # labels.py: trainId 255


def files_of(root, split, name, masks="gtFine"):
    return (
        root / "leftImg8bit" / split / f"{name}_leftImg8bit.png",
        root / masks / split / f"{name}_{masks}_labelIds.png",
    )


@pytest.fixture
def root(tmp_path):
    """Two cities for training, one for validation, one for the server, and coarse labels."""
    counts = {"train": 3, "val": 2, "test": 1}
    for split, count in counts.items():
        for i in range(count):
            name = f"{split}city{i % 2}/{split}city{i % 2}_00000{i}_000019"
            image, mask = files_of(tmp_path, split, name)
            save_pair(image, mask, i)
            every_id = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32) % 34
            Image.fromarray(every_id if split != "test" else every_id % 4).save(mask)
            for other in ("labelTrainIds", "instanceIds"):  # lie beside it
                Image.new("L", (9, 9)).save(str(mask).replace("labelIds", other))
            if split != "test":
                _, coarse = files_of(tmp_path, split, name, "gtCoarse")
                coarse.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (32, 24), 7).save(coarse)
    save_pair(*files_of(tmp_path, "train_extra", "bonn/bonn_000000_000019", "gtCoarse"), 5)
    return tmp_path


def test_the_labels_are_the_official():
    labels = cityscapes.LABELS
    assert labels.names[0::6] == ("road", "traffic light", "rider", "bicycle")
    assert labels.palette[labels.names.index("terrain")] == (152, 251, 152)
    assert [raw for raw in range(34) if labels.raw_to_train[raw] == 255] == VOID
    assert labels.raw_to_train[255] == 255  # -1, a license plate
    trains = [train for raw, train in sorted(labels.raw_to_train.items()) if train != 255]
    assert trains == list(range(19))  # in the order of the ids
    assert cityscapes.OFFICIAL == {"train": 2975, "val": 500, "test": 1525}


def test_fine_labels(command, root, tmp_path):
    arguments = ["--name=cityscapes", f"--manual_dir={root}", f"--data_dir={tmp_path / 'd'}"]
    status, out, _ = command(prepare.main, *arguments)
    assert status == 0
    assert "train 3 of 2975 published, val 2 of 500 published, test 1 of 1525 published" in out
    train = loader.open_split("cityscapes", "train", tmp_path / "d")
    names = [
        "traincity0/traincity0_000000",
        "traincity0/traincity0_000002",
        "traincity1/traincity1_000001",
    ]
    assert [train[i]["name"] for i in range(3)] == [f"{name}_000019" for name in names]
    image, mask = files_of(root, "train", f"{names[1]}_000019")
    assert train.encoded(1)["image"] == image.read_bytes()
    assert train.encoded(1)["label"] == mask.read_bytes()
    first = train[0]["label"].ravel()[:34]
    assert [raw for raw in range(34) if first[raw] == 255] == VOID
    assert first[[7, 8, 11, 33]].tolist() == [0, 1, 2, 18]
    test = loader.open_split("cityscapes", "test", tmp_path / "d")
    assert (test[0]["label"] == 255).all()


def test_coarse_labels_are_a_set_of_their_own(command, root, tmp_path):
    Image.new("L", (32, 24)).save(
        files_of(root, "train_extra", "bonn/bonn_000000_000019", "gtCoarse")[1]
    )
    arguments = [f"--manual_dir={root}", f"--data_dir={tmp_path / 'd'}"]
    status, out, _ = command(prepare.main, "--name=cityscapes/coarse", *arguments)
    assert status == 0
    assert "train 3 of 2975 published, train_extra 1 of 19998 published, val 2 of 500" in out
    assert "Prepared cityscapes/coarse: train 3 (up to 24 x 32)" in out
    train = loader.open_split("cityscapes/coarse", "train", tmp_path / "d")
    assert (train[0]["label"] == 0).all()  # road everywhere: not the fine labels
    assert not source.is_prepared(source.prepared_folder("cityscapes", tmp_path / "d"))
    status, _, err = command(prepare.main, "--name=cityscapes/course", *arguments)
    assert status == 1
    assert err == (
        "jaxseg: unknown data set 'cityscapes/course' (known: cityscapes, cityscapes/coarse, "
        "cityscapes/instances)\n"
    )
    assert command(prepare.main, "--name=camvid/x", *arguments)[0] == 1


def test_every_fault_is_named(command, root, tmp_path):
    _, mask = files_of(root, "train", "traincity0/traincity0_000000_000019")
    mask.unlink()
    other, _ = files_of(root, "train", "traincity1/traincity1_000001_000019")
    other.unlink()
    _, small = files_of(root, "val", "valcity0/valcity0_000000_000019")
    Image.new("L", (5, 5)).save(small)
    _, strange = files_of(root, "val", "valcity1/valcity1_000001_000019")
    Image.new("L", (32, 24), 34).save(strange)
    arguments = ["--name=cityscapes", f"--manual_dir={root}", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(prepare.main, *arguments)
    assert status == 1
    assert "4 problems, nothing was prepared" in err
    assert f"{mask} is missing" in err
    assert f"{other} is missing" in err
    assert f"{small} is 5 x 5, but its image is 24 x 32" in err
    assert f"{strange} holds ids without a class: 34 (768 pixels)" in err
    assert not source.is_prepared(source.prepared_folder("cityscapes", tmp_path / "d"))


def polygons(*objects, size=(24, 32)):
    """The text of a file of polygons; an object is label, corners and perhaps True: deleted."""
    things = [
        {"label": label, "polygon": corners, **({"deleted": 1} if rest else {})}
        for label, corners, *rest in objects
    ]
    return json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": things})


def box(top, left, bottom, right):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_polygons_are_drawn_where_ids_are_missing(command, root, tmp_path):
    name = "traincity0/traincity0_000000_000019"
    _, mask = files_of(root, "train", name)
    mask.unlink()
    path = mask.with_name(mask.name.replace("labelIds.png", "polygons.json"))
    path.write_text(
        polygons(
            ("road", box(0, 0, 23, 31)),
            ("cargroup", box(2, 2, 9, 9)),
            ("polegroup", box(12, 2, 14, 4)),  # a label of its own
            ("license plate", box(4, 4, 6, 6)),  # never drawn
            ("sky", box(0, 0, 23, 31), True),
            ("out of roi", box(20, -5, 40, 99)),
        )
    )
    other = mask.parent.parent / "traincity0" / "traincity0_000002_000019_gtFine_polygons.json"
    other.write_text("its label ids are there, so this is not read")
    arguments = ["--name=cityscapes", f"--manual_dir={root}", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(prepare.main, *arguments)
    assert status == 0, err
    expected = np.full((24, 32), 7, np.uint8)
    expected[2:10, 2:10] = 26
    expected[12:15, 2:5] = 18
    expected[20:] = 3
    train = loader.open_split("cityscapes", "train", tmp_path / "d")
    assert train[0]["name"] == name
    np.testing.assert_array_equal(train[0]["label"], cityscapes.LABELS.encode(expected, "expected"))


def test_faults_of_polygons_are_named(command, root, tmp_path):
    texts = {
        "train/traincity0/traincity0_000000_000019": polygons(("tree", box(0, 0, 3, 3))),
        "train/traincity0/traincity0_000002_000019": polygons(("sky", box(0, 0, 3, 3)))[:-30],
        "train/traincity1/traincity1_000001_000019": polygons(size=(9, 9)),
        "val/valcity0/valcity0_000000_000019": polygons(("sky", [[1, 2, 3]])),
        "val/valcity1/valcity1_000001_000019": "[]",
    }
    for name, text in texts.items():
        (root / "gtFine" / f"{name}_gtFine_labelIds.png").unlink()
        (root / "gtFine" / f"{name}_gtFine_polygons.json").write_text(text)
    arguments = ["--name=cityscapes", f"--manual_dir={root}", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(prepare.main, *arguments)
    assert status == 1
    assert "5 problems, nothing was prepared" in err
    assert "_000019_gtFine_polygons.json holds the label 'tree', which is not a label of" in err
    assert "city0_000002_000019_gtFine_polygons.json is not JSON or is damaged" in err
    assert "city1_000001_000019_gtFine_polygons.json is 9 x 9, but its image is 24 x 32" in err
    assert "valcity0_000000_000019_gtFine_polygons.json is not a file of polygons" in err
    assert "valcity1_000001_000019_gtFine_polygons.json is not a file of polygons" in err
    assert not source.is_prepared(source.prepared_folder("cityscapes", tmp_path / "d"))


def test_real_files(command, shared, tmp_path):
    root = shared / "data" / "cityscapes"
    arguments = ["--name=cityscapes", f"--data_dir={tmp_path}"]
    assert command(prepare.main, *arguments, f"--manual_dir={root}")[0] == 0
    for split, count in (("train", 2), ("val", 1)):
        opened = loader.open_split("cityscapes", split, tmp_path)
        assert len(opened) == count
        assert opened.largest == (1024, 2048)
    example = opened[0]
    image, mask = files_of(root, "val", example["name"])
    np.testing.assert_array_equal(example["image"], np.asarray(Image.open(image)))
    raw = np.asarray(Image.open(mask))
    np.testing.assert_array_equal(example["label"] == 255, np.isin(raw, VOID))
    for train, (known, _, _) in enumerate(cityscapes.CLASSES):
        np.testing.assert_array_equal(example["label"] == train, raw == known)
    status, out, _ = command(doctor.main, *arguments, "--picture=none")
    assert "road" in out
    assert status == 0
