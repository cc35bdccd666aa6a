"""What is committed of a run: its numbers, without paths of the machine it ran on."""

import json

import numpy as np
import pytest

from experiments.readme_tables import collect, run_table
from jaxseg import metrics
from jaxseg.metrics import image_intervals
from tests.reporting.test_boundary import suite as report_suite
from tests.reporting.test_run_folder import CONFUSION, write_evaluation


def test_numbers_are_kept_and_paths_are_not(tmp_path):
    command = "python -m jaxseg.main --weights=/home/me/nets/a.tflite --workdir=../../x/runs/a"
    record = {
        "split": "val",
        "weights": "/home/me/nets/a.tflite",
        "step": None,
        "names": ["road", "sky"],
        "metrics": {"miou": 0.25, "iou": [0.5, None], "absent": ["sky"]},
        "confusion": [[1, 1], [0, 0]],
        "images": [{"name": "a", "miou": 0.5, "pixel_accuracy": 0.5}],
        "seconds": 2.0,
        "environment": {"command": command, "git": "abc", "host": "mine"},
    }
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "val_os16.json").write_text(json.dumps(record))
    found = collect.collect(tmp_path)
    assert found["environment"] == {
        "command": "python -m jaxseg.main --weights=a.tflite --workdir=a",
        "git": "abc",
    }
    assert (found["runs"], found["seed"]) == (1, None)  # of a weight file
    kept = found["evaluations"]["val_os16"]
    assert kept["metrics"] == {"miou": 0.25}
    assert kept["iou"] == {"road": 0.5, "sky": None}
    assert (kept["weights"], kept["images"]) == ("a.tflite", 1)
    assert not {"confusion", "boundary"} & kept.keys()


def test_intervals_new_means_and_boundaries_are_kept(tmp_path):
    suite = report_suite()
    counts = np.stack([CONFUSION, CONFUSION.T, 0 * CONFUSION])
    write_evaluation(tmp_path, counts=counts, boundary=suite)
    kept = collect.collect(tmp_path)["evaluations"]["val"]
    interval = image_intervals.bootstrap_miou(counts)
    assert kept["metrics"]["miou_interval"] == [interval.low, interval.high]
    summary = metrics.summarize(counts.sum(axis=0))
    for name in ("mean_dice", "kappa", "miou_truth", "miou_zero", "miou_one"):
        assert kept["metrics"][name] == pytest.approx(getattr(summary, name))
    assert kept["boundary"] == suite
    shown = f"{100 * summary.miou:.2f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    assert run_table._miou(kept["metrics"]) == shown


def test_a_folder_that_is_not_a_run_is_refused_by_name(tmp_path, capsys):
    assert collect.main(["name", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        collect.collect(tmp_path)
