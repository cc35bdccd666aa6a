"""The report of detectors: COCO's numbers, intervals, curves, and runs of both tasks together."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxseg import config
from jaxseg.evaluation import coco, instance_record
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.evaluation.panoptic_split import PanopticQuality
from jaxseg.metrics import ap_intervals
from jaxseg.metrics.definitions import DETECTION
from jaxseg.metrics.panoptic import Counts
from jaxseg.reporting import chance, plots, run_folder
from jaxseg.workdir import eval_folder, log, per_image
from tests.evaluation.test_coco import added, split
from tests.evaluation.test_instance_record import LABELS
from tests.helpers import detectors
from tests.reporting.test_report import one, page, tables, two
from tests.reporting.test_run_folder import CONFUSION, write_evaluation
from tests.reporting.test_run_folder import write_run as write_semantic

NAMES = tuple(f"{number:04d}/a" for number in range(6))
TERMS = {"objectness": 0.5, "rpn_box": 0.25, "class": 1.0, "box": 0.5, "mask": 0.75}


def evaluation(worse=0, kinds=("bbox", "segm"), names=NAMES):
    """Of drawn discs; the detections of the last `worse` images are of the wrong class."""
    truth, found = split()
    for image in range(6 - worse, 6):
        boxes, scores, classes, masks = found[image]
        found[image] = (boxes, scores, 3 - classes, masks)
    detections = added(found, range(6))
    judged = {kind: coco.judge(truth, detections, kind) for kind in kinds}
    counts = Counts(*(np.array([value, 0]) for value in (2.4, 3, 1, worse)))
    panoptic = PanopticQuality(counts, LABELS.names) if "segm" in kinds else None
    return InstanceEvaluation(names, truth, detections, judged, 2.0, panoptic)


def lines(steps):
    for step in range(10, steps + 1, 10):
        yield {"kind": "train", "step": step, "loss": 3.0, "learning_rate": 0.1, "time": step}
        yield {"kind": "eval", "step": step, "box AP": step / 200, "mask AP": step / 400} | {
            "classes": {
                kind: {"disc": {"AP": 0.5}, "ball": {"AP": None}} for kind in ("bbox", "segm")
            }
        }


def write_run(folder, *, evaluated=True, seed=0, tag="val", **changes):
    """A run folder of a detector without the run."""
    folder.mkdir(parents=True, exist_ok=True)
    built = detectors.experiment("", steps=40, seed=seed)
    log.write_json(folder / "config.json", config.to_dict(built))
    text = "".join(
        json.dumps(line | (TERMS if line["kind"] == "train" else {})) + "\n" for line in lines(40)
    )
    (folder / "metrics.jsonl").write_text(text)
    if evaluated:
        (folder / "eval").mkdir(exist_ok=True)
        about = {"step": 40, "weights": None, "data": "discs", "split": "val"}
        instance_record.write(folder / "eval", tag, evaluation(**changes), LABELS, about)
        for kind, name in (("best", NAMES[5]), ("worst", NAMES[1])):
            path = folder / "eval" / tag / eval_folder.picture_name(kind, 1, name)
            Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Plots are not drawn, which takes most of the time of a page."""
    nothing = "data:image/svg+xml;base64,"
    monkeypatch.setattr(plots, "image", lambda draw: (nothing, nothing))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "second", worse=2, seed=1)


def record_of(folder, tag="val"):
    return json.loads((folder / "eval" / f"{tag}.json").read_text())


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_one_detector(first, tmp_path):
    record, parsed = record_of(first), page(first, output=tmp_path)
    metrics, text = record["metrics"], parsed.text
    for kind, word in (("bbox", "box"), ("segm", "mask")):
        for name in ("AP", "AP50"):
            assert f"{two(metrics[kind][name])} % {word} {name}" in text
    assert f"{one(record['score'])}" in text
    rows = {row[0]: row[1:] for row in parsed.table("what it is")}
    assert rows.keys() == DETECTION.keys()
    for name, definition in DETECTION.items():
        assert rows[name][2] == definition
        for cell, kind in zip(rows[name], ("bbox", "segm"), strict=False):
            assert cell.split("[")[0] == two(metrics[kind][name])
            assert ("[" in cell) == (name in ("AP", "AP50"))
    low, high = metrics["segm"]["AP_interval"]
    assert f"[{one(low)}, {one(high)}]" in text
    classes = parsed.table("class")
    ap = record["categories"]["segm"]
    assert [row[0] for row in classes] == sorted(ap, key=lambda name: -ap[name]["AP"])
    assert all(row[2] == str(record["objects"][row[0]]["all"]) for row in classes)
    assert [row[5] for row in classes] == [one(ap[row[0]]["AP"]) for row in classes]
    assert [row[0] for row in parsed.table("size")] == ["small", "medium", "large"]
    assert len(parsed.images) == 2
    f1 = {image["name"]: image["f1"] for image in record["images"]}
    assert f"F1 {one(f1[NAMES[5]])} %" in text


def test_the_curves_of_one_detector(first, tmp_path):
    parsed = page(first, output=tmp_path)
    titles = [words.partition(":")[0] for words, *_ in parsed.plots]
    assert titles == [
        "Training loss",
        "Terms of the training loss",
        "Mask AP while training, %",
        "Box AP while training, %",
        "Precision over recall, masks, %",
        "Precision over recall, boxes, %",
        "Precision over recall of classes, mask AP50, %",
        "Learning rate",
    ]
    record = record_of(first)
    words = next(w for w, *_ in parsed.plots if w.startswith("Precision over recall, masks"))
    ap, half = (record["metrics"]["segm"][name] for name in ("AP", "AP50"))
    for name, value in (("AP50", half), ("AP", ap)):
        shown = float(words.split(f"{name}: mean precision ")[1].split(" %")[0])
        assert shown == pytest.approx(100 * value, abs=0.02)


@pytest.mark.usefixtures("undrawn")
def test_two_detectors_are_compared_on_the_same_images(first, second, tmp_path):
    parsed = page(first, second, output=tmp_path)
    metrics = [record_of(folder)["metrics"] for folder in (first, second)]
    rows = parsed.table("box AP50")
    assert [row[0] for row in rows] == ["first", "second"]
    assert [row[1] for row in rows] == [two(of["bbox"]["AP"]) for of in metrics]
    text = (tmp_path / "report.html").read_text()
    assert ' best">' + two(metrics[0]["segm"]["AP"]) in text
    assert ' best">' + two(metrics[1]["segm"]["AP"]) not in text
    matches = [run_folder.load(folder).detections[0].matches for folder in (first, second)]
    found = ap_intervals.ap_difference([matches[0]["segm"]], [matches[1]["segm"]])
    compared = {row[0]: row for row in parsed.table("verdict")}
    shown = compared["discs val, mask AP"][3]
    numbers = (f"{100 * v:+.2f}" for v in (found.estimate, found.low, found.high))
    assert shown == "{} [{}, {}]".format(*numbers)
    assert [row[2] for row in parsed.table("mean AP")] == ["2"]  # seeds
    (quality,) = (t for t in parsed.tables if t[1][0] == "PQ things")
    assert quality[0][1:3] == ["first", "second"]
    assert quality[1][1:3] == [two(2.4 / 3.5), two(2.4 / 4.5)]
    side = next(t for t in parsed.tables if t[0][:3] == ["class", "first", "second"])[1:]
    assert [row[0] for row in side] == list(LABELS.names)


@pytest.mark.usefixtures("undrawn")
def test_each_class_of_things_and_stuff_has_its_panoptic_quality(tmp_path):
    folder = write_run(tmp_path / "run")
    path = folder / "eval" / "val.json"
    assert all("PQ" not in table[0] for table in page(folder, output=tmp_path).tables)
    counts = Counts(*(np.array(each) for each in ([0.8, 0, 1.8], [1, 0, 2], [0] * 3, [0, 0, 2])))
    found = PanopticQuality(counts, LABELS.names, ("grass",))
    kept = {"metrics": found.summary(), "categories": found.per_category()}
    log.write_json(path, record_of(folder) | {"panoptic": kept})
    parsed = page(folder, output=tmp_path)  # of an earlier version, without intervals
    assert "70.00 [" not in parsed.text
    log.write_json(path, record_of(folder) | {"panoptic": kept | {"intervals": {"PQ": [0.5, 0.8]}}})
    parsed = page(folder, output=tmp_path)
    assert "[50.0, 80.0]" in parsed.text
    (table,) = (t for t in parsed.tables if t[0][-3:] == ["PQ", "SQ", "RQ"])
    assert [row[0] for row in table[1:]] == ["disc", "grass", "ball"]
    assert table[1][-3:] == ["80.0", "80.0", "100.0"]
    assert table[2][-3:] == ["60.0", "90.0", "66.7"]
    assert table[3][-3:] == ["–"] * 3  # in neither truth nor prediction
    path.write_text(json.dumps(record_of(folder) | {"panoptic": {"metrics": 3}}))
    assert "left out of it: panoptic" in page(folder, output=tmp_path).text


@pytest.mark.usefixtures("undrawn")
def test_detectors_on_other_images_are_not_ranked(first, tmp_path):
    other = write_run(tmp_path / "other", worse=2, names=tuple(name + "b" for name in NAMES))
    parsed = page(first, other, output=tmp_path)
    assert (
        "No number is marked as the best, since the detectors were measured on other" in parsed.text
    )
    assert ' best">' not in (tmp_path / "report.html").read_text()
    assert "the images differ, so no difference is computed" in parsed.text


@pytest.mark.usefixtures("undrawn")
def test_runs_of_both_tasks_have_a_table_each(first, tmp_path):
    semantic = write_semantic(tmp_path / "semantic")
    parsed = page(semantic, first, output=tmp_path)
    assert [row[0] for row in parsed.table("fw IoU")] == ["semantic"]
    assert [row[0] for row in parsed.table("mask AP50")] == ["first"]
    assert "No number is marked" not in parsed.text
    text = (tmp_path / "report.md").read_text()
    pixels, objects, *_ = tables(text)
    assert [row[0] for row in pixels[1:]] == ["semantic"]
    assert [row[0] for row in objects[1:]] == ["first", "first"]


@pytest.mark.usefixtures("undrawn")
def test_a_training_without_an_evaluation_shows_what_it_logged(tmp_path):
    folder = write_run(tmp_path / "going", evaluated=False)
    parsed = page(folder, output=folder)
    assert "10.00 % mask AP" in parsed.text
    assert "no evaluation with intervals and pictures yet" in parsed.text
    assert [row[0] for row in parsed.table("class")] == ["disc", "ball"]
    begun = write_run(tmp_path / "begun", evaluated=False)
    (begun / "metrics.jsonl").unlink()
    assert "– mask AP" not in page(begun, output=begun).text  # masks are not known yet
    assert "box AP50" in page(begun, output=begun).text


@pytest.mark.usefixtures("undrawn")
def test_a_detector_of_boxes_has_no_masks(tmp_path):
    parsed = page(write_run(tmp_path / "boxes", kinds=("bbox",)), output=tmp_path)
    assert "box AR100" in parsed.text
    assert [row[0] for row in parsed.table("boxes")] == list(DETECTION)
    assert not any("masks" in row for table in parsed.tables for row in table)


@pytest.mark.usefixtures("undrawn")
def test_the_markdown_has_a_line_for_boxes_and_one_for_masks(first, second, tmp_path):
    page(first, second, output=tmp_path)
    text = (tmp_path / "report.md").read_text()
    numbers, panoptic, seeds, differences, classes, _ = tables(text)
    shared = [f"{100 * 2.4 / size:.2f}" for size in (3.5, 4.5)]  # hits, half of the errors
    assert [row[:2] for row in panoptic[1:]] == [["first", shared[0]], ["second", shared[1]]]
    assert "- PQ things: panoptic quality" in text
    assert "- PQ stuff" not in text
    metrics = [record_of(folder)["metrics"] for folder in (first, second)]
    assert [row[3:5] for row in numbers[1:]] == [
        [word, two(of[kind]["AP"])]
        for of in metrics
        for kind, word in (("bbox", "boxes"), ("segm", "masks"))
    ]
    assert [row[0] for row in differences[1:]] == ["discs val, box AP", "discs val, mask AP"]
    assert (seeds[1][2], [row[0] for row in classes[1:]]) == ("2", list(LABELS.names))
    assert "- AP50: AP at an IoU threshold of .50 alone." in text


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"curves": {"segm": 3}}, "left out of it: curves"),
        ({"objects": {"disc": 1}}, "left out of it: objects"),
        ({"categories": []}, "left out of it: categories"),
        ({"metrics": {"bbox": {"AP": "much"}, "segm": {}}}, "left out of it: metrics.bbox.AP"),
        ({"metrics": {"volume": {}}}, "not an evaluation of this version"),
        ({"metrics": {}}, "not an evaluation of this version"),
        ({"images": [{"f1": 1}]}, "not an evaluation of this version"),
        ({"names": ["disc", "disc"]}, "not an evaluation of this version"),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_damaged_parts_are_left_out_and_named(first, tmp_path, change, note):
    folder = tmp_path / "run"
    (folder / "eval").mkdir(parents=True)
    (folder / "config.json").write_bytes((first / "config.json").read_bytes())
    (folder / "eval" / "val.json").write_text(json.dumps(record_of(first) | change))
    (folder / "eval" / "val.npz").write_bytes((first / "eval" / "val.npz").read_bytes())
    assert note in page(folder, output=folder).text


@pytest.mark.usefixtures("undrawn")
def test_matches_of_another_evaluation_are_left_out(first, tmp_path):
    folder = write_run(tmp_path / "run")
    write_run(tmp_path / "boxes", kinds=("bbox",))
    npz = (tmp_path / "boxes" / "eval" / "val.npz").read_bytes()
    (folder / "eval" / "val.npz").write_bytes(npz)
    parsed = page(first, folder, output=tmp_path)
    assert "eval/val.npz is of another evaluation" in parsed.text
    assert "Without the matches of detections" in parsed.text
    (folder / "eval" / "val.npz").write_bytes(npz[:200])
    assert "val.npz cannot be read" in page(folder, output=tmp_path).text


@pytest.mark.usefixtures("undrawn")
def test_proposals_are_shown_by_their_recall_in_training(tmp_path):
    folder = write_run(tmp_path / "run", evaluated=False)
    line = {"kind": "eval", "step": 40, "box AR@1": 0.1, "box AR@100": 0.25, "box AR@1000": 0.5}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    parsed = page(folder, output=folder)
    assert "50.00 % box AR@1000" in parsed.text
    assert "25.00 % box AR@100" in parsed.text


@pytest.mark.usefixtures("undrawn")
def test_a_detector_with_classes_of_pixels_stands_in_the_table_of_miou(first, tmp_path):
    semantic = write_semantic(tmp_path / "semantic")
    both = write_run(tmp_path / "both")
    path = both / "eval" / "val.json"
    pixels = json.loads((semantic / "eval" / "val.json").read_text())
    kept = {name: pixels[name] for name in ("names", "palette", "confusion", "metrics", "images")}
    path.write_text(json.dumps(record_of(both) | {"semantic": kept | {"seconds": 1.0}}))
    parsed = page(semantic, first, both, output=tmp_path)
    rows = parsed.table("fw IoU")
    assert [row[0] for row in rows] == ["semantic", "both"]
    assert two(pixels["metrics"]["miou"]) in rows[1]
    assert [row[0] for row in parsed.table("mask AP50")] == ["first", "both"]
    assert "measured on other data sets" in parsed.text  # discs are not streets
    assert "Evaluating again writes them" not in parsed.text
    path.write_text(json.dumps(record_of(both) | {"semantic": {"names": []}}))
    assert "left out of it: semantic." in page(both, output=both).text


def test_classes_of_pixels_of_two_detectors_are_compared_image_by_image(tmp_path):
    semantic = write_semantic(tmp_path / "semantic", evaluated=False)
    write_evaluation(semantic, counts=np.stack([CONFUSION, 2 * CONFUSION, CONFUSION.T]))
    pixels = json.loads((semantic / "eval" / "val.json").read_text())
    for name in ("one", "two"):
        folder = write_run(tmp_path / name)
        path = folder / "eval" / "val.json"
        path.write_text(json.dumps(record_of(folder) | {"semantic": pixels}))
        shutil.copy(semantic / "eval" / "val.npz", folder / "eval" / "val" / "classes.npz")
    loaded = [run_folder.load(tmp_path / name) for name in ("one", "two")]
    (difference,), without = chance.differences(loaded)
    assert (difference.first, difference.second, without) == ("one", "two", [])
    assert (difference.interval.low, difference.interval.high) == (0, 0)
    counts = per_image.read(tmp_path / "two" / "eval" / "val" / "classes.npz")
    other = dataclasses.replace(counts, count=counts.count + 1)
    per_image.write(tmp_path / "two" / "eval" / "val" / "classes.npz", other)
    run = run_folder.load(tmp_path / "two")
    assert run.evaluations[0].per_image is None
    said = "eval/val/classes.npz is of another evaluation than eval/val.json"
    assert any(note.startswith(said) for note in run.notes)
