"""Intervals of AP: a resample is what pycocotools makes of a set that holds images twice."""

import numpy as np
import pytest

from jaxseg.metrics import ap_intervals, coco, matching
from jaxseg.metrics.intervals import distinguishable


def random_set(seed, images=8, skill=0.7):
    """Objects of three classes, some missed, some found in the wrong place, with false alarms."""
    rng = np.random.default_rng(7)  # the truth is the same for every seed
    truth = {
        "images": [{"id": n, "height": 100, "width": 100} for n in range(images)],
        "annotations": [],
        "categories": [{"id": k, "name": str(k)} for k in (1, 2, 3)],
    }
    noise = np.random.default_rng(seed)
    results = []
    for image in range(images):
        for _ in range(rng.integers(1, 6)):
            box = np.concatenate([rng.uniform(0, 60, 2), rng.uniform(15, 40, 2)])
            kind = int(rng.integers(1, 3 if image else 4))
            one = {"image_id": image, "category_id": kind, "bbox": box.tolist()}
            crowd = int(rng.random() < 0.1)
            truth["annotations"].append(
                one | {"id": len(truth["annotations"]), "area": box[2] * box[3], "iscrowd": crowd}
            )
            if noise.random() < skill:
                moved = (box + noise.normal(0, 2, 4)).tolist()
                results.append(one | {"bbox": moved, "score": float(noise.uniform(0.3, 1))})
            if noise.random() < 0.4:
                apart = [*noise.uniform(0, 60, 2).tolist(), 30.0, 30.0]
                results.append(one | {"bbox": apart, "score": float(noise.uniform(0, 0.8))})
    return truth, results


def repeated(truth, results, times):
    """The set in which image n stands `times[n]` times, under other numbers."""
    images, annotations, found = [], [], []
    for image, count in enumerate(times):
        for copy in range(count):
            number = 100 * image + copy
            images.append(truth["images"][image] | {"id": number})
            for source, target in ((truth["annotations"], annotations), (results, found)):
                target += [
                    one | {"image_id": number, "id": 0}
                    for one in source
                    if one["image_id"] == image
                ]
    return truth | {"images": images, "annotations": annotations}, found


def test_a_weighted_ap_is_that_of_the_repeated_images():
    truth, results = random_set(0)
    matches = coco.judge(truth, results, "bbox").matches
    rng = np.random.default_rng(1)
    times = rng.multinomial(8, np.full(8, 1 / 8), size=12)
    times[0] = [0, 2, 0, 0, 1, 3, 1, 1]  # without the only image of class 3
    found = matching.average_precision(matches, times)
    for row, value in zip(times, found, strict=True):
        assert value == pytest.approx(coco.judge(*repeated(truth, results, row), "bbox").ap())


@pytest.mark.parametrize("held", [1, 100, 10**6])
def test_the_number_of_rows_at_a_time_changes_nothing(held, monkeypatch):
    matches = coco.judge(*random_set(0), "bbox").matches
    whole = ap_intervals.bootstrap_ap(matches, resamples=40)
    monkeypatch.setattr(matching, "_HELD", held)
    monkeypatch.setattr(ap_intervals, "_DRAWS", held)
    assert ap_intervals.bootstrap_ap(matches, resamples=40) == whole
    assert whole.low < whole.estimate < whole.high


def test_the_estimate_is_the_ap_of_the_set():
    judged = coco.judge(*random_set(0), "bbox")
    found = ap_intervals.bootstrap_ap(judged.matches, resamples=10)
    assert found.estimate == pytest.approx(judged.ap())
    half = ap_intervals.bootstrap_ap(judged.matches, resamples=10, thresholds=ap_intervals.HALF)
    assert half.estimate == pytest.approx(judged.ap(0.5))


def test_what_is_hard_about_an_image_cancels_out():
    """The better run is told from the worse one although their own intervals overlap."""
    truth, results = random_set(0, images=30)
    lost = [one for i, one in enumerate(results) if i % 4]
    better, worse = (coco.judge(truth, found, "bbox").matches for found in (results, lost))
    own = [ap_intervals.bootstrap_ap(run, resamples=200) for run in (worse, better)]
    assert own[0].high > own[1].low
    difference = ap_intervals.ap_difference([worse], [better], resamples=200)
    assert distinguishable(difference)
    assert difference.estimate == pytest.approx(own[1].estimate - own[0].estimate)
    assert ap_intervals.ap_difference([worse, better], [better, worse]).high == 0


def test_runs_on_other_images_are_refused():
    first = coco.judge(*random_set(0), "bbox").matches
    second = coco.judge(*random_set(0, images=9), "bbox").matches
    with pytest.raises(ValueError, match="8 images against 9"):
        ap_intervals.ap_difference([first], [second])
    truth, results = random_set(0)
    fewer = truth | {"annotations": truth["annotations"][1:]}
    with pytest.raises(ValueError, match="image 0 has other objects"):
        ap_intervals.ap_difference([first], [coco.judge(fewer, results, "bbox").matches])
    with pytest.raises(ValueError, match="a run on both sides"):
        ap_intervals.ap_difference([], [first])
    with pytest.raises(ValueError, match="two of them or more, not 1"):
        ap_intervals.bootstrap_ap(coco.judge(*random_set(0, images=1), "bbox").matches)
