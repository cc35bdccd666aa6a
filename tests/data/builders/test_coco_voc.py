"""COCO's instances in their published layout, small, as VOC's classes."""

import json

import numpy as np
import pytest

from jaxseg.data import loader, source
from jaxseg.data.builders import coco_voc, voc2012
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair

SIZE = (40, 60)
CUP = 47  # no class of VOC


def box(top, left, bottom, right):
    return [[left, top, right, top, right, bottom, left, bottom]]


def write(root, split, annotations):
    """The images and the file of a split; annotations: image -> (category, segmentation) ..."""
    numbers = sorted(annotations)
    for k in numbers:
        save_pair(root / f"{split}2017" / f"{k:012d}.jpg", root / "unused.png", k, SIZE)
    content = {
        "images": [
            {"id": k, "file_name": f"{k:012d}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for k in reversed(numbers)
        ],
        "annotations": [
            {"image_id": k, "category_id": category, "segmentation": shape, "id": 1, "iscrowd": 0}
            for k, regions in annotations.items()
            for category, shape in regions
        ],
        "categories": [
            *({"id": number, "name": name} for number, (name, _) in coco_voc.CLASSES.items()),
            {"id": CUP, "name": "cup"},
        ],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    train = {
        9: [(1, box(0, 0, 25, 40)), (64, box(20, 30, 30, 50)), (CUP, box(0, 50, 10, 60))],
        10: [(18, box(0, 0, 25, 40))],  # 1000 pixels: not more than that
        11: [(CUP, box(0, 0, 40, 60))],
        12: [(18, box(0, 0, 30, 30)), (18, box(10, 10, 40, 40))],  # 900 and 900, together more
        13: [],
    }
    crowd = {"size": list(SIZE), "counts": [80, 40 * 20, 2400 - 80 - 40 * 20]}
    write(tmp_path, "train", train)
    write(tmp_path, "val", {7: [(17, crowd)], 8: [(72, box(1, 1, 3, 3) + box(5, 5, 6, 6))], 9: []})
    return tmp_path


def run(command, root):
    return command(
        prepare.main, "--name=coco_voc", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
    )


def test_images_with_more_than_1000_pixels_are_trained_on(command, root):
    status, out, err = run(command, root)
    assert status == 0, err
    assert "found train 2, val 3\n" in out
    assert "train: 2 images with more than 1000 pixels of VOC's classes among 5 of 118287" in out
    assert "val: 3 images among 3 of 5000 published" in out
    train = loader.open_split("coco_voc", "train", root / "d")
    assert [train[i]["name"] for i in range(2)] == ["000000000009", "000000000012"]
    assert train.labels == voc2012.LABELS


def test_regions_become_classes_and_overlaps_void(command, root):
    assert run(command, root)[0] == 0
    train = loader.open_split("coco_voc", "train", root / "d")
    expected = np.zeros(SIZE, np.uint8)
    expected[:25, :40] = 15
    expected[20:30, 30:50] = 16
    expected[20:25, 30:40] = 255  # person and plant; the cup is background
    np.testing.assert_array_equal(train[0]["label"], expected)
    expected[:] = 0
    expected[:30, :30] = expected[10:40, 10:40] = 12  # two dogs
    np.testing.assert_array_equal(train[1]["label"], expected)
    val = loader.open_split("coco_voc", "val", root / "d")
    expected[:] = 0
    expected[:, 2:22] = 8  # a crowd of cats
    np.testing.assert_array_equal(val[0]["label"], expected)
    expected[:] = 0
    expected[1:3, 1:3] = expected[5, 5] = 20
    np.testing.assert_array_equal(val[1]["label"], expected)
    assert not val[2]["label"].any()


def test_every_class_of_voc_has_one_of_coco():
    assert sorted(voc for _, voc in coco_voc.CLASSES.values()) == list(range(1, 21))
    same = {
        "aeroplane": "airplane",
        "motorbike": "motorcycle",
        "diningtable": "dining table",
        "pottedplant": "potted plant",
        "sofa": "couch",
        "tvmonitor": "tv",
    }
    for name, voc in coco_voc.CLASSES.values():
        assert same.get(voc2012.LABELS.names[voc], voc2012.LABELS.names[voc]) == name


def test_every_fault_is_named(command, root):
    (root / "train2017" / "000000000009.jpg").unlink()
    save_pair(root / "train2017" / "000000000012.jpg", root / "unused.png", 1, (9, 9))
    listed = root / "annotations" / "instances_val2017.json"
    write(root, "val", {7: [(17, {"size": list(SIZE), "counts": [80]})], 8: [(72, [[1, 2, 3]])]})
    status, _, err = run(command, root)
    assert status == 1
    assert "4 problems, nothing was prepared" in err
    assert "000000000009.jpg is missing" in err
    assert "instances_train2017.json 000000000012 is 40 x 60, but its image is 9 x 9" in err
    assert f"{listed} 000000000007 runs of 80 pixels in an image of 40 x 60" in err
    assert f"{listed} 000000000008 a polygon of 3 numbers" in err
    arguments = [f"--manual_dir={root}", "--picture=none"]
    status, out, _ = command(doctor.main, "--name=coco_voc", *arguments)
    assert status == 1
    assert f"{listed} 000000000007 runs of 80 pixels" in out
    assert not source.is_prepared(source.prepared_folder("coco_voc", root / "d"))


def test_a_damaged_or_other_file_of_annotations_is_refused(command, root):
    listed = root / "annotations" / "instances_val2017.json"
    whole = listed.read_text()
    for text, message in (
        (whole[:200], "is damaged or not a file of COCO's instances: JSONDecodeError"),
        ('{"images": []}', "is damaged or not a file of COCO's instances: KeyError('categories')"),
        (whole.replace('"cat"', '"kitten"'), "category 17 is kitten, not cat"),
        (whole.replace('"image_id": 7', '"image_id": 99'), "KeyError(99)"),
    ):
        listed.write_text(text)
        status, _, err = run(command, root)
        assert status == 1
        assert err.splitlines()[-1].startswith(f"jaxseg: {listed}")
        assert message in err
