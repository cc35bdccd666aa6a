"""Tables of detectors: their records from finished runs, and what the bases of all sizes hold."""

import json

import pytest

from experiments.ablation import ablation, job_folder, measure, output
from experiments.bases import small_instances
from experiments.readme_tables import ablations
from jaxseg import tasks
from jaxseg.metrics import seed_intervals
from jaxseg.workdir import log
from tests.conftest import ROOT

DETECTORS = [name for name in ablation.names() if ablation.named(name).metric != "mIoU"]
SCORES = {"pool": (0.20, 0.21, 0.22), "align": (0.30, 0.29, 0.31)}


def two_rows(metric):
    size = ablation.Size(lambda: small_instances.single_map(steps=4))
    return ablation.Ablation(
        title="Two",
        source="made up",
        rows=tuple(
            ablation.Row(name, {"model.pooling.kind": name}, paper)
            for name, paper in (("pool", 20.0), ("align", 30.0))
        ),
        paper=size,
        camvid=size,
        shapes=size,
        cause="none",
        metric=metric,
    )


def finish(folder, table):
    """Creates what a finished job of a detector leaves."""
    jobs = ablation.plan(table, "shapes")
    for one in jobs:
        job_folder.write_job(folder / one.name, one.experiment, one.protocols, one.start)
        (row,) = one.protocols
        found = {"mask AP": SCORES[row][one.seed], "box AP": 2 * SCORES[row][one.seed]}
        line = {"kind": "train", "step": 4, "images_per_second": 10.0}
        (folder / one.name / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        costs = {"parameters": 7, "multiply_adds": {row: 9}, "steps": 4}
        tags = job_folder.tags(one.experiment, one.protocols)
        outcome = {"tags": tags, **costs, "scores": found}
        log.write_json(folder / one.name / job_folder.OUTCOME, outcome)
    return jobs


@pytest.mark.parametrize(("metric", "factor"), [("mask AP", 1), ("box AP", 2)])
def test_rows_are_compared_by_the_metric_of_the_table(tmp_path, metric, factor):
    table = two_rows(metric)
    record = measure.measure(table, "two", "shapes", finish(tmp_path, table), tmp_path)
    assert record["metric"] == metric
    assert record["unfinished"] == []
    pool, align = record["rows"]
    assert align["values"] == pytest.approx([factor * x for x in SCORES["align"]])
    assert align["gain"] == pytest.approx(0.09 * factor)
    over_seeds = seed_intervals.seed_difference(pool["values"], align["values"])
    assert align["gain_over_seeds"] == pytest.approx([over_seeds.low, over_seeds.high])
    assert align["scores"]["mask AP"] == pytest.approx(0.3)
    assert not {"miou", "gain_over_images", "memory", "classes"} & align.keys()
    assert "1 of 1 differences from pool agree" in record["agreement"]
    text = output.markdown(record)
    assert f"| {metric} |" in text.replace("  ", " ").replace("  ", " ").replace("  ", " ")
    assert "mIoU" not in text
    assert "bootstrap" not in text
    output.write(record, tmp_path / "out")
    assert metric in (tmp_path / "out" / "table.csv").read_text().splitlines()[0].split(",")


def test_a_metric_that_the_evaluation_lacks_is_refused(tmp_path):
    table = two_rows("box AR@1000")
    jobs = finish(tmp_path, table)
    with pytest.raises(ValueError, match="compares 'box AR@1000', the evaluation has: mask AP"):
        measure.measure(table, "two", "shapes", jobs, tmp_path)


def test_an_outcome_without_scores_and_without_memory_is_not_finished(tmp_path):
    table = two_rows("mask AP")
    one = finish(tmp_path, table)[0]
    path = tmp_path / one.name / job_folder.OUTCOME
    values = json.loads(path.read_text())
    assert measure.finished(one, tmp_path) is not None
    for broken in ({"scores": {"mask AP": "high"}}, {"scores": None}):
        log.write_json(path, {**values, **broken})
        assert measure.finished(one, tmp_path) is None
    del values["scores"]
    log.write_json(path, values)
    assert measure.finished(one, tmp_path) is None


@pytest.mark.parametrize("size", ablation.SIZES)
@pytest.mark.parametrize("name", DETECTORS)
def test_rows_are_detectors_whose_evaluation_has_the_metric(name, size):
    table = ablation.named(name)
    kind, number = table.metric.split()
    for job in ablation.plan(table, size, seeds=(0,)):
        model = job.experiment.model
        assert tasks.of(job.experiment) is tasks.instance
        assert getattr(model, "proposals", False) == number.startswith("AR@")
        assert kind == "box" or hasattr(model, "mask_head") or hasattr(model, "mask_size")
        assert len(job.protocols) == 1, "rows of a detector differ in training"


RECORDED = [record for record in ablations.records() if "metric" in record]


@pytest.mark.parametrize("record", RECORDED, ids=lambda record: record["ablation"])
def test_a_result_that_was_not_expected_is_stated(record):
    (name,) = (name for name in DETECTORS if ablation.slug(name) == record["ablation"])
    stated, agreement = ablation.named(name).measured, record["agreement"]
    if "Not distinguishable" in agreement or "The other way round" in agreement:
        assert stated
    if "The other way round" in agreement:
        assert "the reverse of the paper" in stated
    assert stated in (ROOT / "docs" / "ablations.md").read_text()
