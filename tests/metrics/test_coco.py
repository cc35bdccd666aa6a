"""COCO's metric: the numbers that its authors published, and cases that are worked out by hand."""

import json
import math
import re

import numpy as np
import pytest
from pycocotools import mask as rle

from jaxseg.metrics import ap_intervals, coco, matching

SIZE = {"height": 40, "width": 40}
# Of COCO's fake results on 100 images of val2014: these the authors did not print.
PROPOSAL_AR = {
    "bbox": {"AR@100": 0.6781},
    "segm": {"AR@100": 0.4818, "ARs@100": 0.5049, "ARm@100": 0.4658, "ARl@100": 0.4514},
}


def published(text):
    """kind -> the printed numbers, in the order in which COCO prints them."""
    found = {}
    for kind, part in re.findall(r"type=(\w+)(.*?)(?=-{20}|$)", text, re.DOTALL):
        found[kind] = re.findall(r"= (-?\d\.\d{3})$", part, re.MULTILINE)
    return found


@pytest.fixture(scope="module")
def vectors(shared):
    folder = shared / "data" / "coco_eval_vectors"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = {
        kind: json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
        for kind in coco.KINDS
    }
    numbers = published((folder / "val2014_fake_eval_res.txt").read_text())
    return truth, results, numbers


@pytest.mark.parametrize("kind", coco.KINDS)
def test_the_published_numbers_come_out_to_the_printed_digit(vectors, kind):
    truth, results, numbers = vectors
    found = coco.judge(truth, results[kind], kind)
    assert [f"{value:.3f}" for value in found.summary().values()] == numbers[kind]
    assert len(numbers[kind]) == 12
    names = {each["name"] for each in truth["categories"]}
    assert set(found.per_category()) == names
    means = [each["AP"] for each in found.per_category().values()]
    assert np.nanmean(means) == pytest.approx(found.ap())


@pytest.mark.parametrize("kind", coco.KINDS)
def test_recall_of_proposals_in_the_same_files(vectors, kind):
    truth, results, _ = vectors
    found = coco.judge_proposals(truth, results[kind], kind).proposal_summary()
    for name, value in PROPOSAL_AR[kind].items():
        assert found[name] == pytest.approx(value, abs=5e-5), name
    assert found["AR@1"] < found["AR@100"] <= found["AR@1000"]


@pytest.mark.parametrize("kind", coco.KINDS)
def test_ap_from_matches_is_pycocotools_own(vectors, kind):
    truth, results, _ = vectors
    found = coco.judge(truth, results[kind], kind)
    once = np.ones((1, len(found.matches.images)), np.int64)
    assert matching.average_precision(found.matches, once)[0] == pytest.approx(found.ap())
    half = matching.average_precision(found.matches, once, ap_intervals.HALF)
    assert half[0] == pytest.approx(found.ap(0.5))


def test_images_without_detections_count(vectors):
    truth, results, _ = vectors
    seen = {each["image_id"] for each in results["bbox"]}
    fewer = truth | {"images": [each for each in truth["images"] if each["id"] in seen]}
    fewer["annotations"] = [each for each in truth["annotations"] if each["image_id"] in seen]
    assert len(fewer["images"]) == len(truth["images"]) - 1
    assert f"{coco.judge(fewer, results['bbox'], 'bbox').ap():.3f}" == "0.507"


def mask_of(box):
    x, y, width, height = map(int, box)
    mask = np.zeros((SIZE["height"], SIZE["width"]), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return rle.encode(np.asfortranarray(mask))


def case(objects, detections, categories=("disc", "square"), images=1):
    """Truth and results; objects are (image, category, box, crowd), detections with a score."""
    truth = {
        "images": [{"id": n, **SIZE} for n in range(images)],
        "annotations": [
            {
                "id": n,
                "image_id": image,
                "category_id": kind,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": crowd,
                "segmentation": mask_of(box),
            }
            for n, (image, kind, box, crowd) in enumerate(objects)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories, 1)],
    }
    results = [
        {
            "image_id": image,
            "category_id": kind,
            "bbox": box,
            "score": score,
            "segmentation": mask_of(box),
        }
        for image, kind, box, score in detections
    ]
    return truth, results


BOX, FAR = [2.0, 2.0, 10.0, 10.0], [25.0, 25.0, 10.0, 10.0]


@pytest.mark.parametrize("kind", coco.KINDS)
def test_a_false_alarm_above_a_hit_halves_ap(kind):
    truth, results = case([(0, 1, BOX, 0)], [(0, 1, FAR, 0.9), (0, 1, BOX, 0.8)])
    found = coco.judge(truth, results, kind)
    assert found.ap() == pytest.approx(0.5)
    assert found.ar(1) == 0.0
    assert found.ar(10) == 1.0
    assert math.isnan(found.ap(category=2))
    assert found.per_category()["disc"]["AP"] == pytest.approx(0.5)
    np.testing.assert_allclose(found.curve(0.5), 0.5)
    assert np.isnan(found.curve(0.5, category=2)).all()


@pytest.mark.parametrize("kind", coco.KINDS)
def test_the_first_object_is_found_whatever_its_number_was(kind):
    truth, results = case([(0, 1, BOX, 0)], [(0, 1, BOX, 0.8)])
    assert truth["annotations"][0]["id"] == 0
    assert coco.judge(truth, results, kind).ap() == pytest.approx(1)


@pytest.mark.parametrize("kind", coco.KINDS)
def test_detections_in_a_crowd_are_neither_right_nor_wrong(kind):
    crowd = [0.0, 0.0, 40.0, 20.0]
    truth, results = case(
        [(0, 1, crowd, 1), (0, 1, FAR, 0)],
        [(0, 1, BOX, 0.9), (0, 1, [15.0, 5.0, 8.0, 8.0], 0.8), (0, 1, FAR, 0.7)],
    )
    assert coco.judge(truth, results, kind).ap() == pytest.approx(1)


def test_the_area_of_a_mask_is_not_that_of_its_box():
    """A thin diagonal is small although its box is of medium size; unmatched, it counts there."""
    truth, results = case([(0, 1, BOX, 0)], [(0, 1, BOX, 0.5), (0, 1, [0.0, 0.0, 40.0, 40.0], 0.9)])
    diagonal = np.asfortranarray(np.eye(40, dtype=np.uint8))
    results[1]["segmentation"] = rle.encode(diagonal)
    assert coco.judge(truth, results, "segm").summary()["APs"] == pytest.approx(0.5)
    assert coco.judge(truth, results, "bbox").summary()["APs"] == pytest.approx(1)


def test_nothing_found_is_zero_and_nothing_to_find_is_not_a_number():
    truth, _ = case([(0, 1, BOX, 0)], [])
    assert coco.judge(truth, [], "segm").ap() == 0
    nothing, results = case([], [(0, 1, BOX, 0.5)])
    assert all(math.isnan(v) for v in coco.judge(nothing, results, "bbox").summary().values())


def test_proposals_may_have_any_class_and_a_thousand_places():
    places = [[float(i % 20), float(i // 20), 3.0, 3.0] for i in range(200)]
    truth, results = case(
        [(0, 2, BOX, 0)], [(0, 1, box, 1 - i / 500) for i, box in enumerate(places)]
    )
    results.append(results[0] | {"bbox": BOX, "score": 0.1})
    judged = coco.judge_proposals(truth, results, "bbox")
    assert judged.ar(100) == 0.0
    assert judged.ar(1000) == 1.0
    assert judged.proposal_summary()["ARs@1000"] == 1.0


@pytest.mark.parametrize("field", ["image_id", "category_id"])
def test_a_detection_of_what_the_truth_lacks_is_refused(field):
    truth, results = case([(0, 1, BOX, 0)], [(0, 1, BOX, 0.5)])
    with pytest.raises(ValueError, match="7, which the truth does not have"):
        coco.judge(truth, [results[0] | {field: 7}], "bbox")


def test_what_is_given_is_not_changed():
    truth, results = case([(0, 1, BOX, 0)], [(0, 1, BOX, 0.5)])
    before = repr((truth, results))
    coco.judge(truth, results, "segm")
    assert repr((truth, results)) == before


def test_a_mask_of_another_size_is_refused():
    """pycocotools would find that it overlaps nothing."""
    truth, results = case([(0, 1, BOX, 0)], [(0, 1, BOX, 0.5)])
    small = rle.encode(np.ones((20, 40), np.uint8, order="F"))
    with pytest.raises(ValueError, match="in image 0 is 20 x 40, the image 40 x 40"):
        coco.judge(truth, [results[0] | {"segmentation": small}], "segm")
