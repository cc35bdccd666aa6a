"""Panoptic FPN from its training to its files: stuff in batches, loss, PQ, panoptic PNGs."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from jaxseg import config, evaluate, load, predict, train
from jaxseg.checks import effect
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.source import InstanceSource, open_instances
from jaxseg.evaluation import instance_split
from jaxseg.inference import detect, object_views
from jaxseg.inference.detect import Found
from jaxseg.tasks import instance, instance_evaluation, stuff
from jaxseg.workdir import data_identity
from tests.helpers import detectors
from tests.helpers.detectors import panoptic_experiment as experiment
from tests.helpers.tags import complaints_of
from tests.training.test_train import assert_equal_bits, lines_of

PQ = [f"{name}{group}" for group in ("", " things", " stuff") for name in ("PQ", "SQ", "RQ")]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return detectors.prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, train.fit(experiment(data_dir), folder)


def test_a_training_logs_the_loss_of_pixels_and_panoptic_quality(trained, tmp_path):
    folder, _ = trained
    for line in lines_of(folder, "train"):
        terms = [line[name] for name in ("objectness", "rpn_box", "class", "box", "mask")]
        assert line["semantic"] > 0
        assert line["loss"] == pytest.approx(sum(terms) + 0.5 * line["semantic"], rel=1e-5)
    (line,) = lines_of(folder, "eval")
    assert set(PQ) <= line.keys()
    assert line["classes"]["panoptic"].keys() >= {"disc", "background"}
    assert complaints_of(folder, tmp_path) == []


@pytest.mark.slow
def test_a_resumed_run_ends_like_one_that_was_not_stopped(trained, data_dir, tmp_path):
    once = experiment(data_dir)
    train.fit(dataclasses.replace(once, train=dataclasses.replace(once.train, steps=1)), tmp_path)
    assert_equal_bits(train.fit(once, tmp_path), trained[1])


def test_an_evaluation_leaves_panoptic_quality(trained, data_dir):
    folder, _ = trained
    found = evaluate.run(experiment(data_dir), folder, progress=False)
    record = json.loads((folder / "eval" / "val_stuff64.json").read_text())["panoptic"]
    assert list(record["metrics"]) == PQ
    assert record["intervals"]["PQ stuff"][0] <= record["metrics"]["PQ stuff"]
    assert list(record["categories"])[-1] == "background"
    for name, value in found.panoptic.summary().items():
        assert record["metrics"][name] == (None if np.isnan(value) else value)
    counts = found.panoptic.counts
    assert counts.hits[-1] + counts.missed[-1] == 4  # each image has a background


def test_predictions_have_the_format_of_cocos_panoptic_task(trained, data_dir, tmp_path):
    folder, _ = trained
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(image).save(tmp_path / "in" / "sub" / "a.png")
    built, output = experiment(data_dir), tmp_path / "out"
    built.eval.stuff_area = 0
    assert predict.main(built, folder, [tmp_path / "in"], output) == 0
    about = json.loads((output / "panoptic.json").read_text())
    images = json.loads((output / "images.json").read_text())["images"]
    assert about["images"] == images
    (one,) = about["annotations"]
    assert one["image_id"] == images[0]["id"]
    categories = {each["id"]: each for each in about["categories"]}
    assert [each["name"] for each in about["categories"]][-1] == "background"
    assert [each["isthing"] for each in about["categories"]] == [1, 1, 1, 1, 1, 0]
    with Image.open(output / "panoptic" / one["file_name"]) as picture:
        rgb = np.asarray(picture).astype(np.int64)
    ids = rgb @ [1, 256, 65536]
    assert ids.shape == (40, 60)
    segments = {each["id"]: each for each in one["segments_info"]}
    assert set(np.unique(ids).tolist()) - {0} == set(segments)
    for number, segment in segments.items():
        assert segment["category_id"] in categories
        assert segment["area"] == (ids == number).sum()
    found = load(folder).predict(image)
    assert found.semantic.shape == (40, 60)
    assert set(np.unique(found.semantic)) <= {0, 1}
    labels = data_identity.read(output).labels
    assert labels.stuff.names == ("things", "background")


def test_perfect_predictions_have_a_panoptic_quality_of_one(data_dir, monkeypatch):
    source = open_instances("shapes/instances", "val", data_dir)

    @dataclasses.dataclass(frozen=True)
    class Exact(Found):
        def masks(self, convention="torchvision"):
            objects = source.objects(self.index)
            return (objects.mask(i) for i in np.flatnonzero(~objects.crowd))

    def found(index):
        objects = source.objects(index)
        kept = objects.take(np.flatnonzero(~objects.crowd))
        scores, grids = np.linspace(0.9, 0.6, len(kept)), np.zeros((len(kept), 1, 1))
        semantic = source.semantic(index)
        return Exact(index, (64, 64), kept.boxes, scores, kept.classes, grids, semantic)

    def detected(variables, batch):
        return [found(int(index)) for index in batch["index"] if index >= 0]

    monkeypatch.setattr(instance_split, "make_detector", lambda *_, **__: detected)
    built = experiment(data_dir)
    summary = instance_evaluation.evaluate(built, {}, source, None, progress=False).summary()
    assert {name: summary[name] for name in PQ} == dict.fromkeys(PQ, 1.0)


def test_mask_rcnn_gets_no_classes_of_pixels(data_dir):
    assert "semantic" in instance.on_device(experiment(data_dir))
    plain = detectors.experiment(data_dir)
    assert "semantic" not in instance.on_device(plain)
    source = open_instances("shapes/instances", "train", data_dir)
    batch = next(instance.iterator(plain, source, instance.plan(plain, source), 0, 1))
    assert "semantic" not in batch


def test_data_without_stuff_is_refused_with_the_way_out(data_dir, monkeypatch):
    built, source = experiment(data_dir), open_instances("shapes/instances", "val", data_dir)
    assert stuff.faults(built, source) == []
    other = dataclasses.replace(built, model=built.model.clone(semantic_classes=3))
    (line,) = instance.data_faults(other, source, source)
    assert line.endswith("has 2, things counted as one: set --config.model.semantic_classes=2")
    monkeypatch.setattr(source, "labels", source.stored)
    built.data.name = "cityscapes/instances"
    (line,) = stuff.faults(built, source)
    assert "was prepared without: python -m jaxseg.data.prepare" in line
    assert line.endswith("--overwrite")
    built.data.name = "coco"
    with pytest.raises(ValueError, match="which coco does not have: choose cityscapes/instances"):
        instance_evaluation.evaluate(built, {}, source, None, progress=False)
    assert stuff.faults(detectors.experiment(data_dir), source) == []
    assert isinstance(source, InstanceSource)


@pytest.mark.parametrize("path", ["detection.semantic", "detection.instance", "eval.stuff_area"])
def test_fields_of_networks_with_stuff_are_refused_for_others(data_dir, path):
    part, field = path.split(".")
    for built, lines in ((experiment(data_dir), 0), (detectors.experiment(data_dir), 1)):
        setattr(getattr(built, part), field, 3)
        found = effect.without_effect(built, {path: 3}, config.Experiment(built.model))
        assert len(found) == lines
        assert all(line.startswith(f"--config.{path} has no effect: only") for line in found)


def test_views_are_refused(data_dir):
    with pytest.raises(ValueError, match="classifies pixels, whose views are not merged"):
        object_views.check(experiment(data_dir).model, (1.0,), flip=True)


@pytest.mark.parametrize(("size", "side"), [((48, 64), 96), ((50, 37), 74)])
def test_classes_of_the_canvas_come_back_to_the_pixels_of_the_image(size, side):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, size).astype(np.uint8)
    transform = InstanceTransform((128, 128), InstanceAugment(short_side=(side,), long_side=128))
    view = transform.still(*size)
    assert min(view.size) == side  # enlarged, so that no pixel is lost
    canvas = np.full((128, 128), 9, np.uint8)
    canvas[: view.size[0], : view.size[1]] = classes[np.ix_(view.rows(), view.columns())]
    np.testing.assert_array_equal(detect._in_image(canvas, view.size, size), classes)
