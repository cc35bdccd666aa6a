"""The table of runs is what its generator gives; protocols and starts in words."""

import json
import re

import pytest

from experiments.readme_tables import ablations, page, run_table


def squeezed(table):
    """A table without the blanks that align its columns."""
    return re.sub(" +", " ", table)


def test_the_committed_table_is_the_generators():
    """If this fails: python -m experiments.readme_tables.run_table, and commit what it writes."""
    block = run_table.table()
    assert page.holds("docs/results.md", "runs", block)
    assert "| quickstart | Shapes val, 200 images | random | 1, seed 0 | 650 x 16 |" in squeezed(
        block
    )


def test_the_quick_start_is_a_range_over_its_runs():
    text = run_table.quickstart()
    assert page.holds("README.md", "quickstart", text)
    assert "73 to 84 % in 7 runs" in text
    runs = json.loads((page.RESULTS / "quickstart_runs.json").read_text())["runs"]
    last = json.loads((page.RESULTS / "quickstart.json").read_text())["evaluations"]["val"]
    assert last["metrics"]["miou"] in [run["miou"] for run in runs]


def test_every_record_says_from_how_many_runs_its_number_comes():
    """Runs, protocols, and the rows of ablations; the seeds too."""
    for name, record in run_table.records():
        assert record["runs"] == 1, name
        assert (record["seed"] is None) == ("training" not in record), name
    for path in page.RESULTS.glob("protocols_*.json"):
        assert json.loads(path.read_text())["runs"] == 1
    for record in ablations.records():
        for row in record["rows"]:
            values = row["values" if "values" in row else "miou"]  # of detectors, or of maps
            assert len(row["seeds"]) == len(values) >= 3, record["ablation"]


def test_every_recorded_run_is_of_an_experiment():
    """A record keeps its command as it was typed then; experiments have had other paths."""
    for name, record in run_table.records():
        command = record["environment"]["command"]
        assert re.search(r"--config=(experiments/)?\w+(/\w+)?\.py", command), name


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("val", "whole image"),
        ("val_360x480", "360 x 480"),
        ("val_360x480_ms0.5", "360 x 480, scale 0.5"),
        ("val_slide713x713-0.667", "crops of 713 x 713, stride 0.667"),
        ("val_turn7_crf-v3_first9", "7 rotations, CRF v3, the first 9 images"),
        (
            "val_os8_513x513_ms0.5-1-1.75_flip",
            "output stride 8, 513 x 513, 3 scales of 0.5 to 1.75, flip",
        ),
    ],
)
def test_protocols_in_words(tag, words):
    assert run_table.protocol(tag) == words


def test_a_run_that_started_from_weights_says_so(tmp_path):
    evaluation = {"split": "val", "images": 3, "weights": "", "metrics": {"miou": 0.12345}}
    record = {
        "data": "camvid",
        "environment": {"command": "main --config=x.py --config.train.init_from=runs/start -x"},
        "runs": 1,
        "seed": 3,
        "training": {"steps": 1200, "batch_size": 8, "seconds": 90.0},
        "evaluations": {"val": evaluation},
    }
    (tmp_path / "a.json").write_text(json.dumps(record))
    (tmp_path / "speed.json").write_text(json.dumps({"cases": {}}))
    line = "a | CamVid val, 3 images | start | 1, seed 3 | 1,200 x 8 | 1.5 | whole image | 12.35 |"
    assert squeezed(run_table.table(tmp_path)).splitlines()[2:] == [f"| {line} |"]
