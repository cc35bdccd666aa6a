"""A network of proposals from evaluation to report, prediction and `jaxseg.load`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import jaxseg
from jaxseg import config, evaluate, predict
from jaxseg.data.source import open_instances
from jaxseg.metrics.definitions import PROPOSALS
from jaxseg.models.fpn import SegmentProposals
from jaxseg.reporting import plots
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint
from tests.helpers import detectors
from tests.reporting.test_report import one, page, tables, two


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An evaluated run folder of segment proposals, and the evaluation."""
    data_dir = detectors.prepared(tmp_path_factory.mktemp("prepared"))
    experiment = detectors.experiment(data_dir)
    whole = experiment.model
    experiment.model = SegmentProposals(
        whole.backbone,
        whole.levels,
        whole.neck,
        half_octaves=False,
        finest_scale=8.0,
        features=8,
        count=20,
    )
    made = jax.jit(
        lambda: experiment.model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
    )()
    folder = tmp_path_factory.mktemp("run")
    state = TrainState(jnp.int32(7), made["params"], made.get("batch_stats", {}), {}, None)
    with checkpoint.Checkpoints(folder / "checkpoints", 1) as checkpoints:
        checkpoints.save(7, state, {}, wait=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict(experiment)))
    labels = open_instances("shapes/instances", "val", data_dir).labels
    (folder / "labels.json").write_text(labels.to_json())
    return experiment, folder, evaluate.run(experiment, folder, progress=False)


def test_the_record_has_recalls_that_pycocotools_finds_in_the_files(run):
    _, folder, found = run
    record = json.loads((folder / "eval" / "val.json").read_text())
    assert record["proposals"] is True
    assert not {"categories", "curves", "score", "panoptic"} & record.keys()
    assert not (folder / "eval" / "val.npz").exists()
    own = folder / "eval" / "val"
    for kind in ("bbox", "segm"):
        truth = COCO(str(own / "truth.json"))
        judge = COCOeval(truth, truth.loadRes(str(own / f"{kind}.json")), kind)
        judge.params.useCats, judge.params.maxDets = 0, [1, 100, 1000]
        judge.evaluate()
        judge.accumulate()
        recall = judge.eval["recall"][:, 0, 0]  # [T, M] of all sizes
        for limit, value in zip((1, 100, 1000), recall.mean(axis=0), strict=True):
            assert record["metrics"][kind][f"AR@{limit}"] == pytest.approx(value)
        assert record["metrics"][kind].keys() == PROPOSALS.keys()
    assert record["metrics"]["bbox"]["AR@1000"] > 0
    assert found.summary()["mask AR@1000"] == record["metrics"]["segm"]["AR@1000"]


def test_the_log_shows_a_line_for_each_recall(run):
    from jaxseg.reporting import tables as text

    record = json.loads((run[1] / "eval" / "val.json").read_text())
    lines = {
        line.split()[0]: line.split()[1:] for line in text.proposals(record).splitlines() if line
    }
    for name in PROPOSALS:
        values = [record["metrics"][kind][name] for kind in ("bbox", "segm")]
        assert lines[name] == [two(value) for value in values]
    counts = record["counts"]
    assert f"{counts['detections']} proposals for {counts['objects']} objects" in text.proposals(
        record
    )


def test_the_report_shows_recall_and_no_precision(run, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "image", lambda draw: ("data:image/svg+xml;base64,",) * 2)
    _, folder, _ = run
    (folder / "metrics.jsonl").write_text(
        json.dumps({"kind": "train", "step": 7, "loss": 1.0, "learning_rate": 0.1, "time": 1})
        + "\n"
    )
    parsed = page(folder, output=tmp_path)
    metrics = json.loads((folder / "eval" / "val.json").read_text())["metrics"]
    assert f"{two(metrics['segm']['AR@1000'])} % mask AR@1000" in parsed.text
    rows = {row[0]: row[1:] for row in parsed.table("what it is")}
    assert rows.keys() == PROPOSALS.keys()
    assert rows["AR@100"][1] == two(metrics["segm"]["AR@100"])
    sizes = {row[0]: row for row in parsed.table("size")}
    assert sizes["small"][3] == one(metrics["bbox"]["ARs@100"])
    assert "AP50" not in parsed.text
    assert "matches of detections" not in parsed.text
    heads = [table[0] for table in tables((tmp_path / "report.md").read_text())]
    assert any("AR@1000" in head for head in heads)
    assert not any("AP" in head for head in heads)


def test_predictions_are_of_objects_without_a_class(run, tmp_path):
    experiment, folder, _ = run
    images = tmp_path / "images"
    images.mkdir()
    source = open_instances("shapes/instances", "val", experiment.data.data_dir)
    from PIL import Image

    Image.fromarray(source[0]["image"]).save(images / "a.png")
    predict.main(experiment, folder, [images], tmp_path / "out", score=0.0)
    described = json.loads((tmp_path / "out" / "images.json").read_text())
    assert described["categories"] == [{"id": 1, "name": "object"}]
    assert json.loads((tmp_path / "out" / "labels.json").read_text())["names"] == ["object"]
    results = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {each["category_id"] for each in results} == {1}
    network = jaxseg.load(folder)
    assert network.classes == ("object",)
    found = network.predict(images / "a.png")
    assert set(found.names) == {"object"}
    np.testing.assert_allclose([each["score"] for each in results], found.scores, atol=1e-6)
    judged = network.evaluate([source[0]["image"]], [source[0]["objects"]])
    assert "mask AR@1000" in judged.summary()
    assert judged.panoptic is None
