"""Sets of instances with planted faults: the doctor names each, and counts what is there."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair

SIZE = (130, 140)
SQUARES = {  # name -> x, y, side: two small, one medium, one large
    "a": (0, 5, 10),
    "b": (20, 20, 31),
    "c": (60, 70, 60),
    "d": (20, 20, 100),
}


def square(x, y, side):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def annotation(image, name="a", category=1, **changes):
    x, y, side = SQUARES[name]
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": square(x, y, side),
        "bbox": [x, y, side, side],
        "area": side**2,
        "iscrowd": 0,
    } | changes


@pytest.fixture
def own(tmp_path):
    """Six images without a fault; the flags that name them, and how to change annotations."""
    annotations = [
        *(
            annotation(i, name, category)
            for i in range(3)
            for name, category in (("a", 1), ("b", 2))
        ),
        annotation(3, "c"),
        annotation(4, "d"),
        annotation(4, "a", iscrowd=1),
    ]
    for i in range(6):
        save_pair(tmp_path / "images" / f"{i}.png", tmp_path / "unused.png", i, SIZE)

    def write(*more):
        each = [one | {"id": k} for k, one in enumerate([*annotations, *more])]
        images = [
            {"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]}
            for i in range(6)
        ]
        categories = [
            {"id": 1, "name": "nut"},
            {"id": 2, "name": "bolt"},
            {"id": 9, "name": "nail"},
        ]
        content = {"images": images, "annotations": each, "categories": categories}
        (tmp_path / "train.json").write_text(json.dumps(content))
        return [
            "--name=folder/own",
            f"--images={tmp_path / 'images'}",
            f"--annotations=train={tmp_path / 'train.json'}",
            "--val_share=0",
        ]

    return write


def examine(command, arguments, *more):
    status, out, err = command(doctor.main, *arguments, "--picture=none", *more)
    return status, out + err


def test_objects_are_counted(command, own):
    status, text = examine(command, own())
    assert status == 0, text
    assert "No problems were found." in text
    assert "objects        8, and 1 crowd\n" in text
    assert "in an image    0 to 2, median 1.5; none in 1 image, more than 100 in 0 images" in text
    assert "areas          75.00 % small, 12.50 % medium, 12.50 % large" in text
    assert "at the border  50.00 % of the objects" in text  # three nuts at x = 0, c at the bottom
    rows = {line.split()[1]: line.split() for line in text.splitlines() if line.startswith("    ")}
    assert rows["nut"] == ["1", "nut", "5", "3", "1", "1", "1", "5"]
    assert rows["bolt"] == ["2", "bolt", "3", "3", "0", "0", "0", "3"]
    assert rows["nail"] == ["9", "nail", "0", "0", "0", "0", "0", "0"]
    assert "--config.model.num_classes=3" in text
    assert "data.instances.objects" not in text


def test_more_objects_than_are_taken(command, own):
    status, text = examine(command, own(), "--objects=1")
    assert status == 0
    assert "more than 1 in 3 images" in text
    assert "--config.data.instances.objects=2" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bbox": [3, 3, 0, 5]}, "has a box of 0 x 5"),
        ({"segmentation": [[1, 1, 1, 1, 1, 1]]}, "has a mask without a pixel"),
        ({"segmentation": []}, "has a mask without a pixel"),
        ({"segmentation": square(500, 500, 9)}, "has a mask without a pixel"),
        ({}, "is a duplicate"),
    ],
)
def test_what_is_wrong_with_an_object_is_named(command, own, changes, words):
    image, place = (5, 0) if changes else (2, 2)
    status, text = examine(command, own(annotation(image) | changes))
    assert status == 1
    assert "1 problem:" in text
    assert f"train: {image}: object {place} (category 1) {words}" in text


def test_the_same_of_the_prepared_set(command, own, tmp_path):
    arguments = own(annotation(2, "a", bbox=[3, 3, 0, 5]), annotation(5, "b", 2))
    prepared = ["--name=folder/own", f"--data_dir={tmp_path / 'd'}"]
    assert command(prepare.main, *arguments, f"--data_dir={tmp_path / 'd'}")[0] == 0
    status, text = examine(command, prepared)
    assert status == 1
    assert "has a box of 0 x 5" in text
    report = text[: text.index("reading")]
    assert report in examine(command, arguments)[1]  # beside the remarks on the files


def test_files_that_cannot_be_read_and_copies(command, own, tmp_path):
    arguments = own(annotation(1, "a", segmentation=[[1, 2, 3]]))
    (tmp_path / "images" / "4.png").write_bytes((tmp_path / "images" / "5.png").read_bytes())
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "images" / "0.png")
    status, text = examine(command, arguments)
    assert status == 1
    assert "train.json 1 has annotation 9 with a polygon of 3 numbers" in text
    assert "its objects are of an image of 130 x 140, the image is 20 x 20" in text
    assert "the same image: train 4, train 5" in text


def test_the_picture(command, own, tmp_path):
    path = tmp_path / "picture.png"
    more = [f"--picture={path}", "--preview=2", "--views=1", "--augment=jitter_range=0.5,1.5"]
    status, out, err = command(doctor.main, *own(), *more)
    assert status == 0, err
    assert f"Picture: {path}" in out
    with Image.open(path) as image:
        assert min(image.size) > 300
        assert len(np.unique(np.array(image.convert("RGB")).reshape(-1, 3), axis=0)) > 500


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rotation=3", "there is no field 'rotation'"),
        ("crop=2", "jaxseg: --augment=crop=2.0: a share above 0"),
        ("jitter_range=1", "it must be 2 values separated by commas"),
    ],
)
def test_a_wrong_setting_of_the_views(command, own, setting, message):
    status, text = examine(command, own(), f"--augment={setting}")
    assert status == 2
    assert message in text


def test_the_drawn_set(command, tmp_path):
    name = ["--name=shapes/instances", f"--data_dir={tmp_path}"]
    sizes = ["--shapes_size=64", "--shapes_train=4", "--shapes_val=2"]
    assert command(prepare.main, *name, *sizes)[0] == 0
    augment = "--augment=jitter_range=0.5,2"  # as the documentation has it
    status, text = examine(command, name, "--split=train,crowds", augment)
    assert status == 0, text
    assert "crowds: 1 example" in text
    assert "touching" not in text
    status, text = examine(command, name, "--split=best")
    assert status == 1
    assert "has no split 'best'" in text
