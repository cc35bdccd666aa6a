"""The table of an ablation from finished runs: its numbers, formats, and what it must not show."""

import csv
import io
import json
import re
import runpy

import numpy as np
import pytest

from experiments.ablation import ablation, job_folder, measure, output
from experiments.readme_tables import ablations, page
from jaxseg import metrics
from jaxseg.metrics import image_intervals, seed_intervals
from jaxseg.workdir import log, per_image
from tests.conftest import ROOT

PROGRAM = ROOT / "tests" / "helpers" / "programs" / "tiny_ablation.py"
NAMES = tuple(f"image_{n}" for n in range(20))


@pytest.fixture
def tiny():
    return runpy.run_path(str(PROGRAM))["get_ablation"]()


def counts_of(share, seed):
    """Confusion matrices [20, 2, 2] of which about `share` is right, on the same true pixels."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(0).integers(50, 100, (20, 2))
    right = rng.binomial(truth, share)
    matrices = np.zeros((20, 2, 2), np.int64)
    for k in range(2):
        matrices[:, k, k], matrices[:, k, 1 - k] = right[:, k], truth[:, k] - right[:, k]
    return matrices


def finish(folder, one, matrices):
    """Creates the files of a finished job that the table reads."""
    job_folder.write_job(folder / one.name, one.experiment, one.protocols, one.start)
    (folder / one.name / "eval").mkdir()
    tags = job_folder.tags(one.experiment, one.protocols)
    for row, tag in tags.items():
        counts = matrices[row]
        kept = per_image.gather(NAMES, 2, [per_image.entries(matrix) for matrix in counts])
        per_image.write(folder / one.name / "eval" / f"{tag}.npz", kept)
        summary = metrics.summarize(counts.sum(axis=0))
        iou = dict(zip("ab", map(float, summary.iou), strict=True))
        record = {"metrics": {"miou_truth": float(summary.miou_truth), "iou": iou}, "step": 4}
        log.write_json(folder / one.name / "eval" / f"{tag}.json", record)
    line = {"kind": "train", "step": 4, "images_per_second": 10.0 + one.seed}
    (folder / one.name / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    costs = {"parameters": 2_000_000, "multiply_adds": dict.fromkeys(tags, 3e9), "memory": 4e6}
    log.write_json(folder / one.name / job_folder.OUTCOME, {"tags": tags, "steps": 4, **costs})


@pytest.fixture
def finished(tiny, tmp_path):
    """All jobs but the last one are finished: mIoU is about 0.5, 0.8 and 0.3."""
    jobs = ablation.plan(tiny, "shapes")
    shares = {"stride 8": 0.67, "stride 8, flip": 0.9, "stride 32": 0.45}
    kept = {}
    for one in jobs:
        kept[one.name] = {row: counts_of(shares[row], 1 + one.seed) for row in one.protocols}
    for one in jobs[:-1]:
        finish(tmp_path, one, kept[one.name])
    return jobs, kept


def measured(tiny, jobs, folder):
    return measure.measure(tiny, "tiny", "shapes", jobs, folder)


def test_numbers_are_those_of_the_runs(tiny, tmp_path, finished):
    jobs, kept = finished
    record = measured(tiny, jobs, tmp_path)
    base, flip, coarse = record["rows"]
    own = [metrics.summarize(kept[one.name]["stride 8"].sum(axis=0)).miou for one in jobs[:2]]
    assert base["miou"] == pytest.approx(own)
    assert base["mean"] == pytest.approx(np.mean(own))
    interval = seed_intervals.seed_interval(own)
    assert base["interval"] == pytest.approx([interval.low, interval.high])
    assert "gain" not in base
    two = [[kept[one.name][row] for one in jobs[:2]] for row in ("stride 8", "stride 8, flip")]
    gain = image_intervals.paired_mean_difference(*two, absent="truth")
    assert flip["gain"] == pytest.approx(flip["mean"] - base["mean"])
    assert flip["gain_over_images"] == pytest.approx([gain.low, gain.high])
    assert flip["gain_over_seeds"][0] < flip["gain"] < flip["gain_over_seeds"][1]
    assert (coarse["seeds"], coarse["interval"]) == ([0], None)
    assert "gain_over_seeds" not in coarse
    assert base["images_per_second"] == pytest.approx(10.5)
    assert record["unfinished"] == [jobs[-1].name]


def test_runs_of_other_code_or_settings_are_named_and_not_shown(tiny, tmp_path, finished):
    jobs, _ = finished
    others = ablation.plan(tiny, "shapes", shared={"train.steps": 5})
    record = measured(tiny, others, tmp_path)
    assert all(not row["seeds"] for row in record["rows"])
    assert record["stale"] == sorted(one.name for one in jobs[:-1])
    text = output.markdown(record)
    assert f"not shown: {', '.join(record['stale'])}" in text


def test_rows_evaluated_on_other_images_are_refused(tiny, tmp_path, finished):
    jobs, kept = finished
    path = tmp_path / jobs[0].name / "eval" / "val_flip.npz"
    names = tuple(reversed(NAMES))
    matrices = [per_image.entries(matrix) for matrix in kept[jobs[0].name]["stride 8, flip"]]
    per_image.write(path, per_image.gather(names, 2, matrices))
    with pytest.raises(ValueError, match="evaluated on different images"):
        measured(tiny, jobs, tmp_path)


@pytest.mark.parametrize(
    ("mious", "paper", "words"),
    [
        (
            [0.6, 0.61, 0.59],
            62.0,
            r"1 of 1 differences from base agree .* paper: x \(\+10\.0, .* \+2\.0",
        ),
        ([0.6, 0.61, 0.59], 58.0, r"0 of 1 .*The other way round: x \(\+10\.0, the paper -2\.0"),
        ([0.3, 0.6, 0.9], 62.0, r"0 of 1 .*Not distinguishable over seeds: x \(\+10\.0"),
        ([0.6, 0.61, 0.59], None, "No row can be compared with"),
        ([0.6, 0.61, 0.59], 60.0, "No row can be compared with"),
        ([0.6], 62.0, "No row can be compared with"),
    ],
)
def test_agreement(mious, paper, words):
    rows = [
        {"name": "ours", "paper": None, "miou": [0.1, 0.2, 0.3]},
        {"name": "base", "paper": 60.0, "miou": [0.5, 0.51, 0.49]},
        {"name": "x", "paper": paper, "miou": mious},
    ]
    assert re.search(words, measure.agreement(rows))


def test_every_format_has_every_row(tiny, tmp_path, finished):
    jobs, _ = finished
    record = measured(tiny, jobs, tmp_path)
    output.write(record, tmp_path / "out")
    for suffix in ("md", "tex", "csv", "html"):
        text = (tmp_path / "out" / f"table.{suffix}").read_text()
        assert all(row["name"] in text for row in record["rows"] if row["seeds"]), suffix
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "table.csv").read_text())))
    assert len(lines) == 5, "one of the six is not finished"
    assert float(lines[0]["miou"]) == pytest.approx(record["rows"][0]["miou"][0])
    assert (tmp_path / "out" / "table.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "out" / "table.json").read_text())["rows"][0]["seeds"] == [0, 1]


def test_markdown_cells(tiny, tmp_path, finished):
    jobs, _ = finished
    record = measured(tiny, jobs, tmp_path)
    base, flip, coarse = record["rows"]
    lines = [line.split("|") for line in output.markdown(record).splitlines() if "|" in line]
    cells = [[cell.strip() for cell in line[1:-1]] for line in lines]
    heads = cells[0]
    first, second, third = (dict(zip(heads, line, strict=True)) for line in cells[2:])
    assert first["mIoU"] == f"{100 * base['mean']:.2f}"
    assert first["gain"] == ""
    assert second["gain"] == f"{100 * flip['gain']:+.2f}"
    assert second["paper's gain"] == "+1.00"
    assert third["mIoU"] == f"{100 * coarse['mean']:.2f} (1 of 2 seeds)"
    assert (first["parameters, M"], first["multiply-adds, G"]) == ("2", "3")


def test_the_page_has_the_tables_of_the_kept_records():
    """If this fails: python -m experiments.readme_tables.ablations."""
    assert page.holds("docs/ablations.md", "ablations", ablations.block())


def test_kept_records_are_of_existing_tables():
    names = {ablation.slug(name): name for name in ablation.names()}
    for record in ablations.records():
        rows = ablation.rows_of(ablation.named(names[record["ablation"]]), record["size"])
        assert [row["name"] for row in record["rows"]] == [row.name for row in rows]
        assert [row["paper"] for row in record["rows"]] == [row.paper for row in rows]
        assert len(record["seeds"]) >= 3
        assert not record["unfinished"]


def test_only_finished_sweeps_are_kept(tiny, tmp_path, finished):
    jobs, kept = finished
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"out holds no table\.json"):
        ablations.keep(out, tmp_path)
    output.write(measured(tiny, jobs, tmp_path), out)
    with pytest.raises(ValueError, match=f"not finished: {jobs[-1].name}"):
        ablations.keep(out, tmp_path)
    finish(tmp_path, jobs[-1], kept[jobs[-1].name])
    output.write(measured(tiny, jobs, tmp_path), out)
    record = json.loads(ablations.keep(out, tmp_path).read_text())
    assert "host" not in record["environment"]
    assert [row["seeds"] for row in record["rows"]] == [[0, 1]] * 3
    assert "**Tiny**" in ablations.block(tmp_path)
