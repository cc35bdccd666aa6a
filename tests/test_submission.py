"""Archives for the test servers: official places and ids; nothing is written if any is wrong."""

import dataclasses
import io
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import photos
from jaxseg.evaluation import archive as archives
from jaxseg.evaluation import server
from jaxseg.inference import object_files
from tests.conftest import ROOT

BERLIN = "berlin/berlin_000000_000019"


@pytest.fixture
def folders(tmp_path):
    """Images of two sizes, and what predict would write for them: (images, predictions)."""
    images, predictions = tmp_path / "images", tmp_path / "out"
    for name, (h, w) in (("2008_000001", (4, 6)), ("2008_000002", (5, 3))):
        save(images / f"{name}.jpg", np.zeros((h, w, 3), np.uint8))
        save(predictions / "labels" / f"{name}.png", np.arange(h * w).reshape(h, w) % 19)
    return images, predictions


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def test_voc_takes_palette_images_in_the_folder_of_the_competition(tmp_path, folders):
    images, predictions = folders
    output = tmp_path / "a.tgz"
    found = archives.named_in(images, None)
    archives.write("voc2012", predictions, found, output, "comp5")
    with tarfile.open(output) as archive:
        assert archive.getnames() == [
            f"results/VOC2012/Segmentation/comp5_test_cls/2008_00000{i}.png" for i in (1, 2)
        ]
        for place, name in zip(archive.getnames(), ("2008_000001", "2008_000002"), strict=True):
            image = Image.open(archive.extractfile(place))
            assert image.mode == "P"
            assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
            expected = np.asarray(Image.open(predictions / "labels" / f"{name}.png"))
            np.testing.assert_array_equal(np.asarray(image), expected)


def test_cityscapes_takes_label_ids_by_city_sequence_and_frame(tmp_path):
    images, predictions = tmp_path / "test", tmp_path / "out"
    train = np.arange(19).reshape(1, 19)
    save(images / f"{BERLIN}_leftImg8bit.png", np.zeros((1, 19, 3)))
    save(predictions / "labels" / f"{BERLIN}_leftImg8bit.png", train)
    output = tmp_path / "a.zip"
    archives.write("cityscapes", predictions, archives.named_in(images, None), output)
    with zipfile.ZipFile(output) as archive:
        assert archive.namelist() == ["berlin_000000_000019.png"]
        image = Image.open(io.BytesIO(archive.read("berlin_000000_000019.png")))
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [ids]  # cityscapesScripts, labels.py


def test_all_that_is_wrong_is_named_and_an_older_archive_stays(tmp_path, folders):
    images, predictions = folders
    save(images / "small.jpg", np.zeros((4, 6, 3)))
    save(images / "void.jpg", np.zeros((1, 2, 3)))
    save(predictions / "labels" / "small.png", np.zeros((3, 6)))
    save(predictions / "labels" / "void.png", [[0, 255]])
    (predictions / "labels" / "2008_000001.png").unlink()
    output = tmp_path / "a.tgz"
    output.write_text("older")
    with pytest.raises(ValueError, match="3 of 4 label maps") as error:
        archives.write("voc2012", predictions, archives.named_in(images, None), output)
    text = str(error.value)
    assert "2008_000001.png: is missing" in text
    assert "small.png: has 6 x 3 pixels, but its image 6 x 4" in text
    assert "void.png: holds void, but the classes are 0 to 20" in text
    assert output.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "images", "out"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.zeros((4, 6, 3)), "is not a map of 8-bit ids"),
        (np.full((4, 6), 21), "holds class 21, but the classes are 0 to 20"),
        (b"\x89PNG", "is truncated or damaged"),
    ],
)
def test_a_label_map_that_is_none_is_refused(folders, content, reason):
    images, predictions = folders
    path = predictions / "labels" / "2008_000001.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save(path, content)
    with pytest.raises(ValueError, match=reason):
        archives.checked(path, images / "2008_000001.jpg", 21)


def test_a_list_says_what_is_submitted(tmp_path, folders):
    images, _ = folders
    listed = tmp_path / "test.txt"
    listed.write_text("2008_000002\n")
    assert [p.name for p in archives.named_in(images, listed)] == ["2008_000002"]
    listed.write_text("2008_000002\n2008_000007\n")
    with pytest.raises(ValueError, match=r"1 of 2 images are not in .*: 2008_000007"):
        archives.named_in(images, listed)


def test_names_that_cityscapes_does_not_give_are_refused():
    with pytest.raises(ValueError, match="berlin_19: the names of Cityscapes begin with"):
        server.member("cityscapes", "berlin_19")


def test_two_images_of_one_name_are_refused(tmp_path):
    found = [
        photos.Photo(tmp_path / "x.png", f"{city}/{'a_000000_000001_' + city}")
        for city in ("b", "c")
    ]
    for photo in found:
        save(tmp_path / "labels" / f"{photo.name}.png", [[0]])
    save(tmp_path / "x.png", np.zeros((1, 1, 3)))
    with pytest.raises(ValueError, match=r"has the same path a_000000_000001\.png"):
        archives.write("cityscapes", tmp_path, found, tmp_path / "a.zip")


def test_objects_of_a_detector_are_refused(tmp_path, folders):
    images, _ = folders
    detected = tmp_path / "detected"
    detected.mkdir()
    (detected / object_files.DETECTIONS).write_text("[]")
    output, found = tmp_path / "a.tgz", archives.named_in(images, None)
    with pytest.raises(ValueError, match="detected holds the objects of a detector, but voc2012"):
        archives.write("voc2012", detected, found, output)
    assert not output.exists()


def test_a_class_of_two_raw_ids_has_no_way_back():
    labels = LabelSpec(("a", "b"), ((0, 0, 0), (1, 1, 1)), {0: 0, 1: 1, 2: 1})
    with pytest.raises(ValueError, match=r"class b has the raw ids \[1, 2\]"):
        server.raw_ids(labels)


def test_the_command(tmp_path, folders):
    images, predictions = folders

    def run(output):
        flags = ["--server=voc2012", f"--predictions={predictions}", f"--images={images}"]
        return subprocess.run(
            [sys.executable, "-m", "jaxseg.submission", *flags, f"--output={output}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    done = run(tmp_path / "a.tgz")
    assert (done.returncode, done.stdout) == (0, f"Written: {tmp_path}/a.tgz, 2 label maps\n")
    refused = run(tmp_path / "a.zip")
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1].endswith("a.zip: voc2012 takes *.tgz")


def test_predictions_of_other_classes_are_refused(tmp_path, folders, capsys):
    """Though there are as many, and all numbers are classes."""
    images, predictions = folders
    found = archives.named_in(images, None)
    labels = server.LABELS["voc2012"]
    turned = dataclasses.replace(labels, names=labels.names[::-1])
    (predictions / "labels.json").write_text(turned.to_json())
    with pytest.raises(ValueError, match='class 0 is "tvmonitor" in the predictions and "backgr'):
        archives.write("voc2012", predictions, found, tmp_path / "a.tgz")
    assert not (tmp_path / "a.tgz").exists()
    (predictions / "labels.json").write_text(labels.to_json())
    archives.write("voc2012", predictions, found, tmp_path / "a.tgz")
    assert "are taken for" not in capsys.readouterr().err
    (predictions / "labels.json").unlink()
    archives.write("voc2012", predictions, found, tmp_path / "b.tgz")
    assert "assuming the classes of voc2012" in capsys.readouterr().err
