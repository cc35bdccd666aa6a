"""`jaxseg.load` of a detector: what it finds is what `jaxseg predict` writes."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

import jaxseg
from jaxseg import config, predict, tasks
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.instances import of_masks
from jaxseg.data.source import open_instances
from jaxseg.evaluation import instance_split
from jaxseg.tasks.instance_evaluation import transform_of
from tests.helpers import detectors
from tests.weights.tables import test_detectron2


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return detectors.prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def source(data_dir):
    return open_instances("shapes/instances", "val", data_dir)


@pytest.fixture(scope="module")
def network(data_dir, tmp_path_factory):
    return jaxseg.load(detectors.run_folder(tmp_path_factory.mktemp("run"), data_dir))


def test_it_finds_what_the_command_line_writes(network, source, tmp_path):
    images = [source[0]["image"], np.repeat(source[1]["image"], 2, axis=1)]
    files = [tmp_path / "in" / f"{i}.png" for i in range(2)]
    files[0].parent.mkdir()
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    predict.main(network.experiment, network.source[0], files, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert (network.step, network.classes[0]) == (7, "disc")
    for given in (files, images):
        for i, found in enumerate(network.predict(given)):
            own = [one for one in written if one["image_id"] == i]
            assert len(found) == len(own) > 0
            for k, one in enumerate(own):
                x1, y1, x2, y2 = found.boxes[k].tolist()
                assert one["bbox"] == [x1, y1, x2 - x1, y2 - y1]
                assert (one["score"], one["category_id"]) == (found.scores[k], found.classes[k])
                assert found.names[k] == network.classes[found.classes[k] - 1]
                np.testing.assert_array_equal(found.masks[k], rle.decode(one["segmentation"]) > 0)


def test_only_objects_of_a_score_are_returned(network, source):
    image = source[0]["image"]
    all_of_them = network.predict(image)
    score = float(np.sort(all_of_them.scores)[2])
    some = network.predict(image, score=score)
    assert len(some) == (all_of_them.scores >= score).sum() == len(all_of_them) - 2
    np.testing.assert_array_equal(some.masks, all_of_them.masks[: len(some)])
    none = network.predict(image, score=1.0)
    assert (len(none), none.boxes.shape, none.masks.shape) == (0, (0, 4), (0, 64, 64))
    assert len(network.predict(np.stack([image, image]))) == 2


def test_it_counts_what_an_evaluation_counts(network, source):
    experiment = network.experiment
    expected = instance_split.evaluate(
        experiment.model,
        network.variables,
        source,
        transform=transform_of(experiment.data),
        normalisation=experiment.data.normalisation,
        batch_size=1,
        threads=0,
        progress=False,
    )
    examples = [source[i] for i in range(len(source))]
    images, truth = ([one[name] for one in examples] for name in ("image", "objects"))
    found = network.evaluate(images, truth)
    assert found.detections.results() == expected.detections.results()
    assert found.summary() == pytest.approx(expected.summary(), nan_ok=True, abs=0)
    # What is found is right if it is the truth.
    best = network.predict(images[0])
    own = of_masks(best.masks, best.classes, (64, 64))
    with_truth = network.evaluate(images[:1], [own]).summary()
    assert with_truth["mask AP"] > expected.summary()["mask AP"]


def test_several_views_are_those_of_an_evaluation(network, source):
    protocol = config.Eval(flip=True)
    experiment = dataclasses.replace(network.experiment, eval=protocol)
    evaluation = tasks.instance.evaluate(
        dataclasses.replace(experiment, eval=dataclasses.replace(protocol, batch_size=1)),
        network.variables,
        source,
        None,
        progress=False,
    )
    results = evaluation.detections.results()
    found = network.predict(source[0]["image"], protocol)
    own = [one for one in results if one["image_id"] == 0]
    assert [one["score"] for one in own] == found.scores.tolist()
    assert found.scores.tolist() != network.predict(source[0]["image"]).scores.tolist()


def test_what_does_not_fit_is_refused(network, source):
    image, objects = source[0]["image"], source[0]["objects"]
    with pytest.raises(ValueError, match="1 image, but the objects of 2 are given"):
        network.evaluate([image], [objects, objects])
    other = dataclasses.replace(objects, size=(32, 64))
    with pytest.raises(ValueError, match=r"image 0 is \(64, 64\), its objects \(32, 64\)"):
        network.evaluate([image], [other])
    with pytest.raises(ValueError, match="images must be a list or a batch"):
        network.evaluate(image, [objects])
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        network.predict(image[..., 0])


@pytest.mark.slow
def test_the_summary_is_of_the_size_that_is_asked_for(network):
    assert network.summary((32, 48)).startswith("MaskRCNN, one image of 32 x 48")


@pytest.mark.slow
def test_a_file_of_detectron2_finds_things_with_the_experiment_that_names_its_network(tmp_path):
    shapes, make = test_detectron2.FILES["faster_rcnn_c4"]
    rng = np.random.default_rng(0)
    tensors = {
        name: np.ones(shape) if "running_var" in name else 0.01 * rng.normal(size=shape)
        for name, shape in shapes.items()
    }
    path = tmp_path / "model_final.pkl"
    path.write_bytes(
        pickle.dumps({"model": {name: x.astype(np.float32) for name, x in tensors.items()}})
    )
    model = make(80)
    small = dataclasses.replace(model.rpn, before_nms=(20, 20), after_nms=(10, 5))
    experiment = config.Experiment(
        model=model.clone(rpn=small, selection=dataclasses.replace(model.selection, score=0.0)),
        data=config.Data(
            name="coco",
            crop_size=(64, 64),
            instances=InstanceAugment(short_side=(64,), long_side=64),
            # The file expects this mean; another one is refused.
            normalisation=config.Normalisation((123.675, 116.28, 103.53)),
        ),
    )
    network = jaxseg.load(path, config=experiment)
    assert (network.step, network.classes[0], len(network.classes)) == (None, "person", 80)
    found = network.predict(rng.integers(0, 256, (40, 50, 3), np.uint8))
    assert found.masks is None
    assert found.names == tuple(network.classes[k - 1] for k in found.classes)
    assert len(found) > 0
