"""`--mode=evaluate` of a detector: what it writes and prints, and flags without effect."""

import dataclasses
import json
import types

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxseg import evaluate
from jaxseg.backbones.resnet import ResNet
from jaxseg.checks import effect
from jaxseg.config import Experiment
from jaxseg.data.source import InstanceSource
from jaxseg.evaluation import coco, instance_pictures, instance_split
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.metrics import summarize
from jaxseg.models.fpn import BoxProposals
from jaxseg.state import TrainState
from jaxseg.tasks import instance_validation
from jaxseg.workdir import match_file, per_image
from tests.evaluation.test_coco import added, split
from tests.helpers import detectors


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A run folder after an evaluation, and what was returned."""
    data_dir = detectors.prepared(tmp_path_factory.mktemp("prepared"))
    folder = detectors.run_folder(tmp_path_factory.mktemp("run"), data_dir)
    old = folder / "eval" / "val" / "best_9_old.png"
    old.parent.mkdir(parents=True)
    old.touch()
    experiment = detectors.experiment(data_dir)
    experiment.eval.semantic = True
    return folder, evaluate.run(experiment, folder, progress=False)


def test_it_leaves_numbers_detections_and_pictures(evaluated):
    folder, found = evaluated
    record = json.loads((folder / "eval" / "val.json").read_text())
    assert (record["task"], record["step"], record["weights"]) == ("instance", 7, None)
    assert (record["data"], record["split"], record["runs"]) == ("shapes/instances", "val", 1)
    assert record["data_digest"]
    for kind, judged in found.judged.items():
        summary = judged.summary()
        assert all(
            record["metrics"][kind][name] == (None if np.isnan(value) else value)
            for name, value in summary.items()
        )
    assert [image["name"] for image in record["images"]] == list(found.names)
    assert match_file.read(folder / "eval" / "val.npz").keys() == {"bbox", "segm"}
    names = sorted(path.name for path in (folder / "eval" / "val").iterdir())
    assert {"bbox.json", "segm.json", "truth.json"} <= set(names)
    pictures = [name for name in names if name.endswith(".png")]
    assert len(pictures) == 4  # each image once, and no old one
    results = json.loads((folder / "eval" / "val" / "segm.json").read_text())
    assert len(results) == record["counts"]["detections"] == len(found.detections.results()) > 0


def test_the_classes_of_pixels_are_evaluated_too(evaluated):
    folder, found = evaluated
    kept = json.loads((folder / "eval" / "val.json").read_text())["semantic"]
    assert kept["names"] == ["background", "disc", "square", "triangle", "ring", "bar"]
    confusion = np.array(kept["confusion"])
    assert 0 < confusion.sum() <= 4 * 64 * 64  # void pixels are not counted
    assert [image["name"] for image in kept["images"]] == list(found.names)
    summary = summarize(confusion)
    assert kept["metrics"]["miou"] == pytest.approx(summary.miou)
    low, high = kept["metrics"]["miou_interval"]
    assert low <= high
    counts = per_image.read(folder / "eval" / "val" / "classes.npz")
    np.testing.assert_array_equal(counts.confusion(), confusion)
    assert counts.names == found.names


def test_a_picture_shows_truth_and_detections_on_an_enlarged_image(evaluated):
    folder, _ = evaluated
    path = next((folder / "eval" / "val").glob("best_1_*.png"))
    with Image.open(path) as picture:
        assert picture.width == 2 * 320 + 6  # images of 64, five times as large
        assert picture.height > 320


def test_the_table_names_each_number_and_each_class(evaluated, capsys):
    from jaxseg.reporting import tables

    folder, found = evaluated
    text = tables.detections(json.loads((folder / "eval" / "val.json").read_text()))
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100"} <= lines.keys()
    assert {"disc", "square", "triangle", "ring", "bar"} <= lines.keys()
    shown = f"{100 * found.judged['bbox'].ap(0.5):.2f}"
    assert lines["AP50"].split()[1] == shown
    assert lines["AP50"].count("[") == 2  # the intervals of boxes and of masks
    things = found.panoptic.summary()
    pq, low, high, *factors = lines["things"].split()[1:]
    assert [pq, *factors] == [f"{100 * value:.2f}" for value in things.values()]
    (interval,) = found.panoptic.intervals(len(found.names)).values()
    assert (low, high) == (f"[{100 * interval.low:.1f},", f"{100 * interval.high:.1f}]")


def test_boxes_alone_are_drawn_too(evaluated):
    _, found = evaluated
    of = found.detections.of(0)._replace(masks=())
    image = np.zeros((64, 64, 3), np.uint8)
    truth = _objects(found)
    names = ("disc", "square", "triangle", "ring", "bar")
    picture = instance_pictures.compared(image, truth, of, 0.0, names)
    assert picture.any()


def _objects(found):
    from jaxseg.data import instances

    mask = np.zeros((64, 64), np.uint8)
    mask[5:20, 5:20] = 1
    return instances.of_masks([mask], [1], (64, 64), [True])


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("eval.flip", False),
        ("eval.scales", False),
        ("eval.output_stride", True),
        ("eval.crf", True),
    ],
)
def test_fields_of_pixel_protocols_are_refused(path, refused):
    experiment = detectors.experiment("")
    field = path.removeprefix("eval.")
    value = {"flip": True, "scales": (0.5, 1.0), "output_stride": 8, "crf": "deeplab_v2"}[field]
    setattr(experiment.eval, field, value)
    found = effect.without_effect(experiment, {path: value}, Experiment(experiment.model))
    assert [f"--config.{path} has no effect" in line for line in found] == [True] * refused


def test_proposals_are_judged_in_training_without_a_picture(monkeypatch):
    built = detectors.experiment("")
    proposals = dataclasses.replace(built, model=BoxProposals(ResNet(18)))
    truth, found = split()
    detections = added(found, range(6))
    judged = {"bbox": coco.judge_proposals(truth, detections, "bbox")}
    result = InstanceEvaluation(tuple("abcdef"), truth, detections, judged, 1.0)
    monkeypatch.setattr(instance_split, "evaluate", lambda *_, **__: result)
    source = InstanceSource.__new__(InstanceSource)
    written = []

    class Writer:
        def write(self, kind, step, values):
            written.append((kind, step, values["box AR@100"]))

    state = TrainState(jnp.int32(1), {}, {}, {}, None)
    progress = types.SimpleNamespace(say=lambda line: None)
    instance_validation.validate(proposals, state, 1, source, None, Writer(), progress)
    assert written == [("eval", 1, judged["bbox"].ar(100))]  # and no picture
