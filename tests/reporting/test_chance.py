"""Intervals in a report: over images, over seeds, of differences; notes where there are none."""

import json

import numpy as np
import pytest

from jaxseg import report
from jaxseg.metrics import image_intervals, seed_intervals
from jaxseg.reporting import chance, run_folder
from jaxseg.reporting.run import with_names
from tests.reporting.test_report import page, tables
from tests.reporting.test_run_folder import CONFUSION, write_evaluation, write_run

EYE = np.eye(3, dtype=int)
TRUTH = CONFUSION.sum(axis=1)
RIGHT = np.diag(TRUTH)  # the same truth without an error
COUNTS = np.stack([CONFUSION, CONFUSION + 50 * EYE, 0 * CONFUSION])
BETTER = np.stack([RIGHT, RIGHT + 50 * EYE, 0 * CONFUSION])


def scored(folder, counts=None, *, miou=None, tag="val", **options):
    """A run with one evaluation; `miou` instead of its own."""
    seed = options.pop("seed", 0)
    changes = {key: options.pop(key) for key in ("output_stride",) if key in options}
    write_run(folder, evaluated=False, seed=seed, **changes)
    path = write_evaluation(folder, tag, counts=counts, **options)
    if miou is not None:
        record = json.loads(path.read_text())
        record["metrics"]["miou"] = miou
        path.write_text(json.dumps(record))
    return folder


def loaded(*folders):
    return with_names([run_folder.load(folder) for folder in folders])


def test_seeds_go_together_where_nothing_else_differs(tmp_path):
    same = [scored(tmp_path / f"s{i}", miou=0.5 + i / 100, seed=i) for i in (1, 2, 4)]
    other = [
        scored(tmp_path / "stride", miou=0.9, seed=5, output_stride=8),
        scored(tmp_path / "tag", miou=0.9, seed=6, tag="val_flip"),
        scored(tmp_path / "data", miou=0.9, seed=7, data="roads"),
        scored(tmp_path / "step", miou=0.9, seed=8, step=50),
        scored(tmp_path / "weights", miou=0.9, seed=9, weights="net.pth"),
    ]
    again = scored(tmp_path / "again", miou=0.1, seed=4)  # of a seed that is there
    found = chance.over_seeds(loaded(*same, *other, again))
    interval = seed_intervals.seed_interval([0.51, 0.52, 0.54])
    text = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    assert found == [(("s1", "s2", "s4"), "streets val", "52.33", text, 3)]
    assert chance.over_seeds(loaded(same[2], again)) == []


def test_each_is_compared_with_the_first_of_its_protocol(tmp_path):
    first = scored(tmp_path / "a", COUNTS)
    better, equal = scored(tmp_path / "b", BETTER), scored(tmp_path / "c", COUNTS)
    write_evaluation(better, "val_flip", counts=BETTER)
    write_evaluation(equal, "val_flip", counts=COUNTS)
    found, without = chance.differences(loaded(first, better, equal))
    assert without == []
    assert [(d.measured_on, d.first, d.second, d.verdict) for d in found] == [
        ("streets val", "a", "b", "b is better"),
        ("streets val", "a", "c", "not distinguishable"),
        ("streets val_flip", "b", "c", "b is better"),
    ]
    assert found[0].interval == image_intervals.paired_difference(COUNTS, BETTER)
    assert found[1].text == "+0.00 [+0.00, +0.00]"


def test_protocols_of_a_run_are_compared_with_its_main_one(tmp_path):
    folder = scored(tmp_path / "a", COUNTS)
    write_evaluation(folder, "val_crf", counts=BETTER)
    write_evaluation(folder, "val_os8", counts=COUNTS)
    write_evaluation(folder, "val_old", counts=BETTER, step=50)
    write_evaluation(folder, "val_without")
    write_evaluation(folder, "val_first3", counts=COUNTS, names=("c", "d", "e"))
    found = chance.between_protocols(loaded(folder)[0])
    assert [(d.measured_on, d.first, d.second, d.verdict) for d in found] == [
        ("a, streets", "val", "val_crf", "val_crf is better"),
        ("a, streets", "val", "val_os8", "not distinguishable"),
    ]
    parsed = page(folder, output=tmp_path)
    rows = {row[0]: row[3:] for row in parsed.table("against the first")}
    assert rows["val_crf"][2] == found[0].text + found[0].verdict
    assert rows["val_os8"][0] == "the same counts asval"  # with a space between
    assert rows["val_old"][0] == "the same counts asval_crf"
    assert {rows[tag][2] for tag in ("val", "val_without", "val_first3")} == {""}
    compared = tables((tmp_path / "report.md").read_text())[1]
    assert [row[1:4] for row in compared[1:]] == [[d.second, d.first, d.verdict] for d in found]


@pytest.mark.parametrize(
    ("counts", "options", "note"),
    [
        (COUNTS[[1, 0, 2]], {}, "the labels of the images differ"),
        (COUNTS, {"names": ("a/1", "b 2", "new")}, "the images differ"),
        (COUNTS, {"data": "roads"}, None),
    ],
)
def test_other_images_or_truths_have_a_note(tmp_path, counts, options, note):
    folders = scored(tmp_path / "a", COUNTS), scored(tmp_path / "b", counts, **options)
    found, _ = chance.differences(loaded(*folders))
    if note is None:
        assert found == []
    else:
        assert found[0].verdict == f"{note}, so no difference is computed"
        assert (found[0].interval, found[0].text) == (None, "")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ([{"names": ["a", "b", "c"]}, {"names": ["b", "a", "c"]}], "other classes"),
        ([{"data_digest": "1"}, {"data_digest": "2"}], "other images of the same names"),
        ([{"data_digest": "1"}, {"data_digest": "1"}], None),
        ([{"data_digest": "1"}, {}], None),  # of an earlier version: not known
    ],
)
def test_other_classes_or_data_of_one_name_have_a_note(tmp_path, changes, note):
    """Though counts and names of the images are the same."""
    folders = []
    for i, change in enumerate(changes):
        folders.append(scored(tmp_path / str(i), COUNTS))
        path = folders[-1] / "eval" / "val.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found, _ = chance.differences(loaded(*folders))
    assert found[0].note == (f"{note}, so no difference is computed" if note else "")
    assert (found[0].interval is None) == bool(note)


def test_the_report_shows_both_and_merges_neither(tmp_path):
    names = ("one", "two", "old")
    counts = (COUNTS, BETTER, None)
    folders = [
        scored(tmp_path / name, part, seed=i)
        for i, (name, part) in enumerate(zip(names, counts, strict=True))
    ]
    parsed = page(*folders, output=tmp_path)
    text = (tmp_path / "report.md").read_text()
    numbers, seeds, differences, *_ = tables(text)
    heads, *rows = numbers
    images = heads.index("95 % over images")
    interval = image_intervals.bootstrap_miou(COUNTS)
    shown = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    assert [row[images] for row in rows] == [shown, "[100.0, 100.0]", "–"]
    assert seeds[0][-1] == "95 % over seeds"
    assert [row[:3] for row in seeds[1:]] == [["one, two, old", "streets val", "3"]]
    assert differences[1][:4] == ["streets val", "two", "one", "two is better"]
    assert "difference: old. Evaluating again writes them." in text
    html = parsed.table("fw IoU")
    assert [row[2] for row in html] == [shown, "[100.0, 100.0]", "–"]
    assert parsed.table("seeds") == seeds[1:]
    assert parsed.table("verdict")[0] == [
        "streets val",
        "two",
        "one",
        differences[1][4],
        "two is better",
    ]
    assert "difference: old. Evaluating again writes them." in parsed.text
    alone = page(folders[0], output=tmp_path)
    assert f"mIoU, 95 % over images{shown}" in alone.text
    assert "seeds" not in alone.text


def test_a_report_says_from_how_many_trainings_its_numbers_are(tmp_path):
    write_run(tmp_path / "one", seed=4)
    assert "trainings1, seed 4" in page(tmp_path / "one", output=tmp_path).text
    text = (tmp_path / "report.md").read_text()
    assert "Number of trainings per line: one (1, seed 4)." in text


def test_runs_that_cannot_be_told_apart_are_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(report.page, "html", lambda loaded: "")
    text = report.write([scored(tmp_path / "a", COUNTS), scored(tmp_path / "b", COUNTS)], tmp_path)
    assert "| not distinguishable |" in text
