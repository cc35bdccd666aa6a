"""Sets of instances from published files, whole: prepared, opened, and held against the files."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import instances, source
from jaxseg.data.builders import cityscapes, coco, voc2012
from jaxseg.data.labels import LabelSpec
from jaxseg.data.prepare import prepare
from jaxseg.ignore import IGNORE
from tests.data.conftest import save_pair


def prepared(command, name, root, out, *more):
    status, said, err = command(
        prepare.main, f"--name={name}", f"--manual_dir={root}", f"--data_dir={out}", *more
    )
    assert status == 0, err
    return said


def write_ids(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(path)


def test_penn_fudan(command, tmp_path):
    root = tmp_path / "PennFudanPed"
    masks = {}
    for i in range(11):
        name = f"FudanPed{i:05d}"
        ids = np.zeros((30, 40), np.uint8)
        ids[5:20, 3:9], ids[8:25, 15:30] = 1, 2
        ids[20:24, 2 + i : 4 + i] = 1  # a second part
        save_pair(root / "PNGImages" / f"{name}.png", tmp_path / "unused.png", i, (30, 40))
        write_ids(root / "PedMasks" / f"{name}_mask.png", ids)
        masks[name] = ids
    said = prepared(command, "penn_fudan", tmp_path, tmp_path / "d")
    assert "found train 9 of 136 published, val 2 of 34 published" in said
    val = source.open_instances("penn_fudan", "val", tmp_path / "d")
    assert [val[i]["name"] for i in range(2)] == ["FudanPed00004", "FudanPed00009"]
    both = source.open_instances("penn_fudan", "trainval", tmp_path / "d")
    assert len(both) == 11
    for i in range(11):
        example = both[i]
        objects, ids = example["objects"], masks[example["name"]]
        assert example["image"].shape == (30, 40, 3)
        assert both.size(i) == (30, 40)
        assert objects.classes.tolist() == [1, 1]
        for k in (0, 1):
            np.testing.assert_array_equal(objects.mask(k), ids == k + 1)
            assert objects.areas[k] == (ids == k + 1).sum()
            assert tuple(objects.boxes[k]) == instances.box_of(ids == k + 1)
    with pytest.raises(ValueError, match="holds objects, not a class for each pixel"):
        source.open_split("penn_fudan", "val", tmp_path / "d")
    with pytest.raises(ValueError, match="holds objects"):
        both.label(0)


COCO_OBJECTS = {  # image -> category, segmentation, crowd
    3: [(1, [[5, 5, 20, 5, 20, 25, 5, 25]], 0), (90, {"counts": [100, 200, 900]}, 1)],
    7: [(44, [[1, 1, 4, 1, 4, 4], [10, 10, 14, 10, 14, 14, 10, 14]], 0)],
    8: [],
}


def write_coco(root, year, objects=COCO_OBJECTS, **changes):
    for split in ("train", "val"):
        for k in objects:
            image = root / f"{split}{year}" / f"{split}_{k:06d}.jpg"
            save_pair(image, root / "unused.png", k + 10 * (split == "val"), (30, 40))
        content = {
            "images": [
                {"id": k, "file_name": f"{split}_{k:06d}.jpg", "height": 30, "width": 40}
                for k in reversed(objects)
            ],
            "annotations": [
                {
                    "id": 10 * k + i,
                    "image_id": k,
                    "category_id": category,
                    "segmentation": region,
                    "iscrowd": crowd,
                    "area": 7.5,
                    "bbox": [1.5, 2.0, 10.25, 6.0],
                }
                | changes
                for k, own in objects.items()
                for i, (category, region, crowd) in enumerate(own)
            ],
            "categories": [{"id": k, "name": name} for k, name in coco.CATEGORIES.items()],
        }
        (root / "annotations").mkdir(exist_ok=True)
        file = root / "annotations" / f"instances_{split}{year}.json"
        file.write_text(json.dumps(content))


@pytest.mark.parametrize(("name", "year"), [("coco", 2017), ("coco/2014", 2014)])
def test_coco(command, tmp_path, name, year):
    write_coco(tmp_path, year)
    prepared(command, name, tmp_path, tmp_path / "d")
    val = source.open_instances(name, "val", tmp_path / "d")
    assert [val[i]["name"] for i in range(3)] == ["val_000003", "val_000007", "val_000008"]
    first, second, third = (val[i]["objects"] for i in range(3))
    assert first.classes.tolist() == [1, 80]
    assert first.crowd.tolist() == [False, True]
    assert first.areas.tolist() == [7.5, 7.5]
    assert first.boxes[0].tolist() == [1.5, 2.0, 11.75, 8.0]
    assert first.mask(0).sum() == 15 * 20
    assert first.mask(1).sum() == 200
    assert second.classes.tolist() == [40]  # bottle
    assert second.mask(0).sum() == 16 + 3
    assert len(third) == 0
    assert third.size == (30, 40)


def test_what_is_wrong_in_a_file_of_annotations_is_named(command, tmp_path):
    write_coco(tmp_path, 2017, {3: [(1, [[1, 2, 3]], 0)]})
    arguments = ["--name=coco", f"--manual_dir={tmp_path}", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(prepare.main, *arguments)
    assert status == 1
    assert "val_000003 has annotation 30 with a polygon of 3 numbers" in err
    for changes, words in (
        ({"image_id": 99}, "annotation 30 is of image 99, not listed"),
        ({"category_id": 12}, "annotation 30 is of category 12, not listed"),
        ({"bbox": [1.0, 2.0]}, "annotation 30 with not enough values to unpack"),
    ):
        write_coco(tmp_path, 2017, {3: [(1, [[1, 2, 3, 4, 5, 9]], 0)]}, **changes)
        coco._pairs.cache_clear()
        status, _, err = command(prepare.main, *arguments)
        assert status == 1
        assert words in err


def test_an_image_of_another_size_than_its_annotations_is_refused(command, tmp_path):
    write_coco(tmp_path, 2017)
    image = tmp_path / "val2017" / "val_000003.jpg"
    save_pair(image, tmp_path / "unused.png", 0, (31, 40))
    arguments = ["--name=coco", f"--manual_dir={tmp_path}", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(prepare.main, *arguments)
    assert status == 1
    assert "has objects of an image of 30 x 40, which is 31 x 40" in err


def test_cityscapes(command, tmp_path):
    name = "aachen_000000_000019"
    ids = np.zeros((20, 30), np.uint16)
    ids[:5], ids[5:8] = 7, 26  # road; a group of cars
    ids[8:12, :10], ids[12:15, :4], ids[15:18], ids[18:] = 26001, 24000, 30005, 33000
    folder = tmp_path / "leftImg8bit" / "train" / "aachen"
    save_pair(folder / f"{name}_leftImg8bit.png", tmp_path / "unused.png", 0, (20, 30))
    write_ids(tmp_path / "gtFine" / "train" / "aachen" / f"{name}_gtFine_instanceIds.png", ids)
    prepared(command, "cityscapes/instances", tmp_path, tmp_path / "d")
    train = source.open_instances("cityscapes/instances", "train", tmp_path / "d")
    objects = train[0]["objects"]
    names = [train.labels.names[k - 1] for k in objects.classes]
    assert names == ["car", "person", "car", "bicycle"]  # the trailer, 30, is not counted
    assert objects.crowd.tolist() == [True, False, False, False]
    assert cityscapes.THINGS.num_classes == 8
    np.testing.assert_array_equal(objects.mask(2), ids == 26001)
    assert train.labels.stuff.names[:3] == ("things", "road", "sidewalk")
    assert train.labels.stuff.num_classes == 12
    semantic = train.semantic(0)
    assert np.unique(semantic[:5]).tolist() == [1]  # road
    assert np.unique(semantic[5:8]).tolist() == [0]  # a crowd is things
    assert np.unique(semantic[15:18]).tolist() == [IGNORE]
    np.testing.assert_array_equal(train.with_semantic(0)["semantic"], semantic)
    assert LabelSpec.from_json(train.labels.to_json()) == train.labels


@pytest.mark.slow
def test_cityscapes_stuff_is_that_of_the_published_label_ids(command, shared, tmp_path):
    root = shared / "data" / "cityscapes"
    prepared(command, "cityscapes/instances", root, tmp_path / "d")
    for split, count in (("train", 2), ("val", 1)):
        opened = source.open_instances("cityscapes/instances", split, tmp_path / "d")
        assert len(opened) == count
        for index in range(count):
            name = opened.encoded(index)["name"]
            path = root / "gtFine" / split / f"{name}_gtFine_labelIds.png"
            expected = cityscapes.THINGS.stuff.encode(np.asarray(Image.open(path)), name)
            found = opened.semantic(index)
            np.testing.assert_array_equal(found, expected)
            assert {0, 1, 3, IGNORE} <= set(np.unique(found).tolist())


def test_a_set_prepared_before_it_had_stuff_can_be_opened(command, tmp_path, monkeypatch):
    ids = np.full((20, 30), 26001, np.uint16)
    name, folder = "a_000000_000019", tmp_path / "leftImg8bit" / "train" / "a"
    save_pair(folder / f"{name}_leftImg8bit.png", tmp_path / "unused.png", 0, (20, 30))
    write_ids(tmp_path / "gtFine" / "train" / "a" / f"{name}_gtFine_instanceIds.png", ids)
    before = dataclasses.replace(cityscapes.THINGS, stuff=None)

    def find(manual_dir):
        found = cityscapes.find_instances(manual_dir)
        pairs = [dataclasses.replace(pair, stuff=None) for pair in found.splits["train"]]
        return dataclasses.replace(found, labels=before, splits={"train": pairs})

    monkeypatch.setitem(cityscapes.SET.variants, "instances", (find, before))
    prepared(command, "cityscapes/instances", tmp_path, tmp_path / "d")
    train = source.open_instances("cityscapes/instances", "train", tmp_path / "d")
    assert (train.labels, len(train[0]["objects"])) == (before, 1)
    with pytest.raises(ValueError, match="the set has no classes of stuff"):
        train.semantic(0)


def test_voc(command, tmp_path):
    root = tmp_path / "VOC2012"
    classes, ids = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    ids[2:10, 2:10], ids[5:15, 12:20], ids[10:12, 2:10] = 1, 2, 255
    classes[2:10, 2:10], classes[5:15, 12:20], classes[10:12, 2:10] = 15, 8, 255
    for split in ("train", "val"):
        save_pair(root / "JPEGImages" / f"{split}.jpg", tmp_path / "unused.png", 0, (20, 30))
        write_ids(root / "SegmentationClass" / f"{split}.png", classes)
        write_ids(root / "SegmentationObject" / f"{split}.png", ids)
        lists = root / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text(f"{split}\n")
    prepared(command, "voc2012/instances", tmp_path, tmp_path / "d")
    objects = source.open_instances("voc2012/instances", "val", tmp_path / "d").objects(0)
    assert [voc2012.THINGS.names[k - 1] for k in objects.classes] == ["person", "cat"]
    np.testing.assert_array_equal(objects.mask(0), ids == 1)


def test_the_published_files(command, shared, tmp_path):
    """COCO's categories, crowds and masks as pycocotools reads them from the file itself."""
    from pycocotools.coco import COCO

    root = shared / "data" / "coco"
    prepared(command, "coco", root, tmp_path)
    judge = COCO(str(root / "annotations" / "instances_val2017.json"))
    val = source.open_instances("coco", "val", tmp_path)
    numbers = {int(each["file_name"][:-4]): k for k, each in judge.imgs.items()}
    crowds = 0
    for i in range(len(val)):
        name, objects = val.encoded(i)["name"], val.objects(i)
        annotations = judge.imgToAnns[numbers[int(name)]]
        assert len(annotations) == len(objects)
        for k, annotation in enumerate(annotations):
            np.testing.assert_array_equal(objects.mask(k), judge.annToMask(annotation))
            category = judge.cats[annotation["category_id"]]["name"]
            assert val.labels.names[objects.classes[k] - 1] == category
        crowds += int(objects.crowd.sum())
    assert crowds == 5
    assert len(val) == 39


def own_annotations(tmp_path, name="boxes.json", categories=((0, "nut"), (5, "bolt")), count=10):
    """Images in a folder and a file that gives neither areas nor boxes."""
    images = []
    for i in range(count):
        save_pair(tmp_path / "images" / "a" / f"{i}.png", tmp_path / "unused.png", i, (20, 30))
        images.append({"id": f"x{i}", "file_name": f"a/{i}.png", "height": 20, "width": 30})
    square = [[2, 3, 12, 3, 12, 9, 2, 9]]
    content = {
        "images": images,
        "annotations": [
            {"id": i, "image_id": f"x{i}", "category_id": 5, "segmentation": square}
            for i in range(count)
        ],
        "categories": [{"id": number, "name": title} for number, title in categories],
    }
    (tmp_path / name).write_text(json.dumps(content))
    return tmp_path / name


def test_own_annotations(command, tmp_path):
    file = own_annotations(tmp_path)
    given = ["--name=folder/own", f"--images={tmp_path / 'images'}", f"--data_dir={tmp_path}"]
    status, out, err = command(prepare.main, *given, f"--annotations={file}")
    assert status == 0, err
    assert "1 of 10 images are drawn for val" in out.replace("\n", " ")
    train = source.open_instances("folder/own", "train", tmp_path)
    assert len(train) == 9
    assert train.labels.names == ("nut", "bolt")
    objects = train.objects(0)
    assert objects.classes.tolist() == [2]
    assert objects.areas.tolist() == [60.0]
    assert objects.boxes.tolist() == [[2.0, 3.0, 12.0, 9.0]]
    status, out, _ = command(prepare.main, *given, f"--annotations={file}")
    assert status == 0
    assert "Already prepared" in out
    both = f"--annotations=train={file},val={file}"
    status, _, err = command(prepare.main, *given, both, "--overwrite")
    assert status == 1
    assert "is both in train and in val" in err


def test_files_of_annotations_that_do_not_fit_together(command, tmp_path):
    one = own_annotations(tmp_path)
    other = own_annotations(tmp_path, "other.json", categories=((5, "bolt"),))
    given = ["--name=folder/own", f"--images={tmp_path / 'images'}", f"--data_dir={tmp_path}"]
    for annotations, words in (
        (f"train={one},val={other}", "list different categories"),
        (f"train={one},best={other}", "train=FILE,val=FILE with the splits train, val and test"),
        (tmp_path / "nowhere.json", "nowhere.json is not a file: --annotations names one"),
    ):
        status, _, err = command(prepare.main, *given, f"--annotations={annotations}")
        assert status == 1
        assert words in err
    status, _, err = command(prepare.main, *given, f"--annotations={one}", "--masks=m")
    assert status == 1
    assert "none of --masks" in err


@pytest.mark.parametrize(
    ("classes", "ids", "expected"),
    [
        ("cell\n", (1, 7, 255), [("cell", False)] * 3),
        ("cell\nvoid\n", (1, 7, 255), [("cell", False)] * 2),
        (
            "background\ncell\nnerve\n",
            (1, 1004, 2001),
            [("cell", True), ("cell", False), ("nerve", False)],
        ),
    ],
)
def test_own_masks_of_ids(command, tmp_path, classes, ids, expected):
    for i in range(4):
        save_pair(tmp_path / "images" / f"{i}.png", tmp_path / "unused.png", i, (20, 30))
        mask = np.zeros((20, 30), np.uint16 if max(ids) > 255 else np.uint8)
        for k, number in enumerate(ids):
            mask[5 * k : 5 * k + 4, 2:9] = number
        write_ids(tmp_path / "masks" / f"{i}.png", mask)
    (tmp_path / "classes.txt").write_text(classes)
    status, _, err = command(
        prepare.main,
        "--name=folder/own",
        f"--images={tmp_path / 'images'}",
        f"--masks={tmp_path / 'masks'}",
        f"--classes={tmp_path / 'classes.txt'}",
        f"--data_dir={tmp_path}",
        "--instances",
    )
    assert status == 0, err
    train = source.open_instances("folder/own", "train", tmp_path)
    objects = train.objects(0)
    names = [train.labels.names[k - 1] for k in objects.classes]
    assert list(zip(names, objects.crowd.tolist(), strict=True)) == expected
    np.testing.assert_array_equal(objects.areas, 28)
