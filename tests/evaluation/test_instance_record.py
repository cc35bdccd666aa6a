"""The record of a detector's evaluation: numbers, files that pycocotools reads, matches."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxseg.data import instances
from jaxseg.data.labels import LabelSpec
from jaxseg.evaluation import coco, instance_record
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.metrics import ap_intervals
from jaxseg.metrics.matching import Matches
from jaxseg.workdir import match_file
from tests.evaluation.test_coco import added, split

# Published categories that are neither in order nor without gaps.
LABELS = LabelSpec(("disc", "ball"), ((1, 2, 3), (4, 5, 6)), {44: 0, 7: 1})
NAMES = tuple(f"COCO_val2014_{500 + 3 * number:012d}" for number in range(6))


@pytest.fixture(scope="module")
def evaluation():
    truth, found = split()
    truth["annotations"][3]["iscrowd"] = 1
    detections = added(found, range(6))
    judged = {kind: coco.judge(truth, detections, kind) for kind in ("bbox", "segm")}
    return InstanceEvaluation(NAMES, truth, detections, judged, 1.5)


@pytest.fixture(scope="module")
def written(evaluation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("eval")
    instance_record.write(folder, "val", evaluation, LABELS, {"step": 3})
    return folder


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_pycocotools_finds_the_same_numbers_in_the_files(written, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(written / "val" / "truth.json")
        found = truth.loadRes(str(written / "val" / f"{kind}.json"))
        judge = COCOeval(truth, found, kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    metrics = json.loads((written / "val.json").read_text())["metrics"][kind]
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    recorded = [-1 if metrics[name] is None else metrics[name] for name in names]
    assert 0 < metrics["AP50"] < 1
    np.testing.assert_allclose(recorded, judge.stats, rtol=1e-12)
    assert set(truth.imgs) == {500, 503, 506, 509, 512, 515}
    assert {category: each["name"] for category, each in truth.cats.items()} == {
        44: "disc",
        7: "ball",
    }


def test_the_record_has_curves_counts_and_intervals(written, evaluation):
    record = json.loads((written / "val.json").read_text())
    assert (record["task"], record["step"]) == ("instance", 3)
    assert record["counts"] == {"images": 6, "objects": 14, "crowds": 1, "detections": 27}
    objects = record["objects"]
    assert sum(of["all"] for of in objects.values()) == 14
    assert sum(of["crowds"] for of in objects.values()) == 1
    assert all(of["all"] == of["small"] + of["medium"] + of["large"] for of in objects.values())
    for kind, judged in evaluation.judged.items():
        curves = record["curves"][kind]
        assert len(curves["all"]["AP"]) == 101
        assert np.mean(curves["all"]["AP"]) == pytest.approx(judged.ap(), abs=1e-4)
        for name, of in record["categories"][kind].items():
            assert np.mean(curves["categories"][name]["AP50"]) == pytest.approx(
                of["AP50"], abs=1e-4
            )
        low, high = record["metrics"][kind]["AP_interval"]
        assert low < record["metrics"][kind]["AP"] < high


def test_the_matches_are_read_back_and_give_the_recorded_interval(written, evaluation):
    record = json.loads((written / "val.json").read_text())
    arrays = match_file.read(written / "val.npz")
    for kind, judged in evaluation.judged.items():
        matches = Matches(**arrays[kind])
        for field in dataclasses.fields(Matches):
            np.testing.assert_array_equal(
                getattr(matches, field.name), getattr(judged.matches, field.name)
            )
        found = ap_intervals.bootstrap_ap(matches)
        assert record["metrics"][kind]["AP_interval"] == [found.low, found.high]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox.score": None}, "bbox.score is missing"),
        ({"bbox.images": None}, "bbox.images is missing"),
        ({"bbox.score": np.zeros(27, int)}, "bbox.score has another type or shape"),
        ({"bbox.score": np.full(27, np.nan)}, "its numbers are not those"),
        ({"bbox.score": np.zeros(26)}, "its arrays do not fit together"),
        ({"bbox.image": np.full(27, 6)}, "bbox.image is not below 6"),
    ],
)
def test_a_damaged_file_of_matches_is_refused(written, tmp_path, change, message):
    with np.load(written / "val.npz") as file:
        arrays = {name: file[name] for name in file.files if name.startswith("bbox")} | change
    kept = {name: array for name, array in arrays.items() if array is not None}
    np.savez(tmp_path / "val.npz", **kept)
    with pytest.raises(ValueError, match=message):
        match_file.read(tmp_path / "val.npz")


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("000000000139", "000000000285"), [139, 285]),
        (("COCO_val2014_000000000042", "COCO_val2014_000000000073"), [42, 73]),
        (("0001", "1"), [0, 1]),  # not ids: they are the same number
        (("000000000139", "holiday"), [0, 1]),
    ],
)
def test_images_have_cocos_ids_where_all_names_hold_them(names, ids):
    assert instances.image_ids(names) == ids


def test_the_images_are_ranked_by_f1_above_the_best_score(evaluation):
    matches = evaluation.judged["segm"].matches
    scores = np.unique(matches.score)

    def f1(score):  # of the whole set, written out
        kept = (matches.score >= score) & ~matches.ignored[:, 0]
        hits = (matches.matched[:, 0] & kept).sum()
        return 2 * hits / (matches.truth.sum() + kept.sum())

    assert evaluation.score == max(scores, key=lambda score: (f1(score), score))
    for image in evaluation.images:
        own = (matches.image == image["index"]) & (matches.score >= evaluation.score)
        values = []
        for t in range(10):
            kept = own & ~matches.ignored[:, t]
            total = image["objects"] + kept.sum()
            hits = (matches.matched[:, t] & kept).sum()
            values.append(2 * hits / total if total else np.nan)
        np.testing.assert_allclose(image["f1"], np.mean(values))
