"""`jaxseg predict` of a detector: what it finds is what an evaluation judges."""

import contextlib
import dataclasses
import gc
import io
import json
import weakref

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from jaxseg import predict
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.source import InstanceSource, open_instances
from jaxseg.evaluation import instance_split
from jaxseg.inference import object_files
from jaxseg.inference.detect import Found
from jaxseg.tasks.instance_evaluation import transform_of
from tests.helpers import detectors

SCORE = 0.22  # above it lies a part of the detections of each image
# Landscapes and portraits, some larger and some smaller than the canvas.
SIZES = [(64, 64), (40, 90), (100, 50), (30, 31)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return detectors.prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
    return detectors.run_folder(tmp_path_factory.mktemp("run"), data_dir)


def experiment(data_dir):
    """On a canvas of 48 x 80, which portraits turn."""
    built = detectors.experiment(data_dir)
    sizes = InstanceAugment(objects=6, short_side=(48,), long_side=80)
    return dataclasses.replace(
        built, data=dataclasses.replace(built.data, crop_size=(48, 80), instances=sizes)
    )


class Resized(InstanceSource):
    """The split with its images, but not its objects, at other sizes."""

    def __init__(self, data_dir):
        opened = open_instances("shapes/instances", "val", data_dir)
        super().__init__("shapes/instances", "val", opened.folder)
        self.sizes = SIZES

    def __getitem__(self, index):
        example = super().__getitem__(index)
        size = self.sizes[index][::-1]
        return example | {"image": np.asarray(Image.fromarray(example["image"]).resize(size))}

    def size(self, index):
        return self.sizes[index]

    def objects(self, index):
        return dataclasses.replace(super().objects(index).take([]), size=self.sizes[index])


@pytest.fixture(scope="module")
def source(data_dir, tmp_path_factory):
    made = Resized(data_dir)
    made.folder = tmp_path_factory.mktemp("facts")  # of the sizes, which are kept there
    return made


@pytest.fixture(scope="module")
def predicted(run, data_dir, source, tmp_path_factory):
    """The output folder of a prediction of the images, and a file that is broken."""
    photos, output = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("out")
    for i in range(len(source)):
        Image.fromarray(source[i]["image"]).save(photos / f"{i:012}.png")
    (photos / "broken.jpg").write_bytes(b"no image")
    status = predict.main(experiment(data_dir), run, [photos], output, score=SCORE)
    assert status == 1  # because of the broken file
    return output


def test_it_finds_exactly_what_an_evaluation_judges(predicted, source, data_dir):
    built = experiment(data_dir)
    judged = instance_split.evaluate(
        built.model,
        detectors.variables(),
        source,
        transform=transform_of(built.data),
        normalisation=built.data.normalisation,
        batch_size=1,
        threads=0,
        progress=False,
    )
    expected = judged.detections.results()
    written = json.loads((predicted / "detections.json").read_text())
    assert len(expected) > 8
    for one in expected:
        one["segmentation"]["counts"] = one["segmentation"]["counts"].decode()
    assert written == expected  # image ids are the numbers that the files have for names
    assert len({one["image_id"] for one in written}) == len(SIZES)


def test_pycocotools_reads_the_results(predicted):
    with contextlib.redirect_stdout(io.StringIO()):
        about = COCO(str(predicted / "images.json"))
        results = about.loadRes(str(predicted / "detections.json"))
    images = about.loadImgs(about.getImgIds())
    assert [(image["height"], image["width"]) for image in images] == SIZES
    assert [image["file_name"] for image in images] == [f"{i:012}.png" for i in range(4)]
    names = [category["name"] for category in about.loadCats(about.getCatIds())]
    assert names == ["disc", "square", "triangle", "ring", "bar"]
    for one in results.loadAnns(results.getAnnIds()):
        assert results.annToMask(one).shape == SIZES[one["image_id"]]


def test_a_map_of_instances_names_the_best_detection_of_each_pixel(predicted):
    results = json.loads((predicted / "detections.json").read_text())
    assert {one["score"] >= SCORE for one in results} == {False, True}
    for index, size in enumerate(SIZES):
        png = Image.open(predicted / "instances" / f"{index:012}.png")
        ids = np.asarray(png)
        assert png.mode == "I;16"
        expected = np.zeros(size, int)
        own = [one for one in results if one["image_id"] == index]
        shown = [one for one in own if one["score"] >= SCORE]
        for k in reversed(range(len(shown))):
            expected[rle.decode(shown[k]["segmentation"]) > 0] = k + 1
        assert expected.any()
        np.testing.assert_array_equal(ids, expected)
        overlay = Image.open(predicted / "overlays" / f"{index:012}.jpg")
        assert overlay.size == size[::-1]


def nothing(image):
    """What a detector of boxes says of an image in which it finds nothing."""
    empty = np.zeros(0)
    return Found(0, image.shape[:2], np.zeros((0, 4)), empty, empty.astype(int), None)


def write_with(find, inputs, output, data_dir):
    labels = open_instances("shapes/instances", "val", data_dir).labels
    transform = transform_of(experiment(data_dir).data)
    return object_files.predict_files(find, labels, inputs, output, transform, progress=False)


def test_a_broken_file_is_named_and_the_results_are_told(data_dir, tmp_path, capsys):
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    output = tmp_path / "out"
    for _ in range(2):  # the second time its own output is no input
        done = write_with(nothing, [tmp_path], output, data_dir)
        assert predict.report(done, output) == 1
        said, errors = capsys.readouterr()
        where = f"see {output}/detections.json, {output}/overlays"
        assert f"1 of 2 files predicted; {where}" in said
        assert "1 frame was compiled: 48 x 80 (1 image)" in said
        assert f"{tmp_path / 'b.jpg'}: not an image in a supported format" in errors
    assert json.loads((output / "images.json").read_text())["images"] == [
        {"id": 0, "file_name": "a.png", "height": 30, "width": 40}
    ]
    assert json.loads((output / "detections.json").read_text()) == []
    assert not (output / "instances").exists()


def test_where_masks_overlap_the_first_one_is_on_top():
    masks = np.zeros((3, 2, 3), bool)
    masks[0, 0], masks[1, :, 1], masks[2] = True, True, True
    ids = object_files.instance_ids(list(masks), (2, 3))
    assert ids.dtype == np.uint16
    np.testing.assert_array_equal(ids, [[1, 1, 1], [3, 2, 3]])


def test_each_image_is_read_when_its_turn_comes_and_written_before_the_next(data_dir, tmp_path):
    """The results in COCO's format, of all images, appear at the end and replace older ones."""
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    output.mkdir()
    (output / "detections.json").write_text("older")
    for name in "abc":
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photos / f"{name}.png")
    seen = []

    def find(image):
        gc.collect()
        assert [each() for each in seen] == [None] * len(seen)  # no earlier image is in memory
        assert sorted(path.stem for path in output.glob("overlays/*")) == list("abc"[: len(seen)])
        assert (output / "detections.json").read_text() == "older"
        assert not (output / "images.json").exists()
        seen.append(weakref.ref(image))
        return nothing(image)

    done = write_with(find, [photos], output, data_dir)
    assert (done.written, done.refused, len(seen)) == (("a", "b", "c"), (), 3)
    assert json.loads((output / "detections.json").read_text()) == []
    assert {path.name for path in output.iterdir()} == {
        "detections.json",
        "images.json",
        "overlays",
    }


@pytest.mark.parametrize("part", ["_write_pictures", "_merged", "panoptic_files.write_map"])
def test_an_image_that_does_not_fit_into_memory_leaves_the_others_complete(
    part, data_dir, tmp_path, monkeypatch
):
    """Whatever has been done for it, it is in none of the files of all images."""
    for name in "ab":
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{name}.png")
    *owner, name = part.split(".")
    module = getattr(object_files, owner[0]) if owner else object_files
    called, calls = getattr(module, name), []

    def lacks_memory(*arguments):
        calls.append(part)
        if len(calls) == 1:
            raise MemoryError("no memory")
        return called(*arguments)

    def find(image):
        return dataclasses.replace(nothing(image), semantic=np.zeros(image.shape[:2], np.uint8))

    monkeypatch.setattr(module, name, lacks_memory)
    output = tmp_path / "out"
    done = write_with(find, [tmp_path], output, data_dir)
    assert (done.written, [path.name for path, _ in done.refused]) == (("b",), ["a.png"])
    for file in ("images.json", "panoptic.json"):
        images = json.loads((output / file).read_text())["images"]
        assert [image["file_name"] for image in images] == ["b.png"]
    (segments,) = json.loads((output / "panoptic.json").read_text())["annotations"]
    assert segments["file_name"] == "b.png"


def test_scores_that_are_not_finite_stop_with_the_name_of_the_file(data_dir, tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")

    def find(image):
        raise ValueError("the model's scores are not finite (NaN or infinite)")

    with pytest.raises(ValueError, match=r"a\.png: the model's scores are not finite"):
        write_with(find, [tmp_path], tmp_path / "out", data_dir)
