"""Panoptic quality of a split: the truth's segments, and sums that nothing else changes."""

import numpy as np
import pytest

from jaxseg.data import instances
from jaxseg.evaluation import coco
from jaxseg.evaluation.panoptic_split import PanopticCounts, PanopticQuality, true_segments
from jaxseg.ignore import IGNORE
from jaxseg.metrics.panoptic import Segment
from jaxseg.metrics.panoptic_intervals import bootstrap_pq

SIZE = (8, 10)
NAMES = ("disc", "ball")


def box(top, left, bottom, right):
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def objects_of(masks, classes, crowd=None):
    return instances.of_masks(masks, classes, SIZE, crowd)


def found_of(masks, classes, scores, image=0):
    detections = coco.Detections()
    boxes = [instances.box_of(mask) for mask in masks]
    boxes = np.array(boxes).reshape(-1, 4)
    detections.add(image, boxes, np.array(scores, float), np.array(classes, int), iter(masks))
    return detections.of(image)


def quality_of(objects, found, truth=None, semantic=None, stuff=(), area=0) -> PanopticQuality:
    counts = PanopticCounts(NAMES, stuff, area)
    counts.add(0, objects, found, truth, semantic)
    return counts.total()


def test_a_pixel_of_several_objects_belongs_to_the_smallest():
    ids, segments = true_segments(objects_of([box(2, 2, 4, 4), box(0, 0, 6, 6)], [2, 1]), None, 2)
    assert (ids[0, 0], ids[5, 5], ids[3, 3]) == (2, 2, 1)
    assert segments == {1: Segment(1), 2: Segment(0), 5: Segment(2)}  # and the rest
    masks = [box(0, 0, 4, 4), box(0, 0, 2, 4), box(2, 0, 4, 4)]
    hidden = true_segments(objects_of(masks, [1, 2, 2]), None, 2)[1]
    assert sorted(hidden) == [2, 3, 6]


def test_crowds_of_a_category_are_one_segment_beneath_the_objects():
    masks = [box(0, 0, 4, 4), box(0, 6, 4, 10), box(0, 0, 2, 2)]
    ids, segments = true_segments(objects_of(masks, [1, 1, 2], [True, True, False]), None, 2)
    assert ids[0, 0] == 3
    assert ids[3, 3] == ids[0, 9]
    assert segments[ids[3, 3]] == Segment(0, crowd=True)
    assert len(segments) == 3


def test_classes_of_stuff_lie_beneath_the_objects():
    semantic = np.full(SIZE, 2, np.uint8)
    semantic[0], semantic[7] = IGNORE, 0
    ids, segments = true_segments(objects_of([box(0, 0, 4, 4)], [1]), semantic, 2)
    assert ids[0, 0] == 1  # objects come first
    assert ids[0, 9] == ids[7, 0] == 0  # void, and a thing that is not annotated
    assert segments == {1: Segment(0), ids[6, 0]: Segment(3)}


def test_perfect_things_have_a_quality_of_one_and_stuff_is_not_judged():
    masks = [box(0, 0, 4, 4), box(4, 4, 8, 9)]
    found = quality_of(objects_of(masks, [1, 2]), found_of(masks, [1, 2], [0.9, 0.5]))
    assert found.summary() == {"PQ things": 1.0, "SQ things": 1.0, "RQ things": 1.0}
    assert found.per_category()["ball"] == {"PQ": 1.0, "SQ": 1.0, "RQ": 1.0}


def test_detections_below_a_half_are_no_segments_and_those_on_the_background_are_errors():
    truth = objects_of([box(0, 0, 4, 4)], [1])
    masks = [box(0, 0, 4, 4), box(4, 4, 8, 8), box(4, 0, 8, 4)]
    found = quality_of(truth, found_of(masks, [1, 1, 1], [0.9, 0.6, 0.49]))
    assert found.counts.hits.tolist() == [1, 0]
    assert found.counts.wrong.tolist() == [1, 0]
    assert found.summary()["PQ things"] == pytest.approx(1 / 1.5)


def test_stuff_is_judged_where_thing_and_stuff_are_given():
    semantic = np.ones(SIZE, np.uint8)
    semantic[:, 5:] = 2
    thing = box(0, 0, 4, 4)
    semantic[thing > 0] = 0
    given = objects_of([thing], [2]), found_of([thing], [2], [0.8])
    found = quality_of(*given, semantic, semantic, ("grass", "sky"))
    assert found.summary()["PQ"] == found.summary()["PQ stuff"] == 1
    assert np.isnan(found.per_category()["disc"]["PQ"])  # in neither
    # 24 pixels of grass and 40 of sky: the smaller segment is left out
    found = quality_of(*given, semantic, semantic, ("grass", "sky"), area=25)
    assert found.counts.missed.tolist() == [0, 0, 1, 0]
    assert found.summary()["PQ"] == pytest.approx(2 / 3)


def test_intervals_are_over_all_images_and_of_the_groups_that_are_judged():
    counts = PanopticCounts(NAMES)
    masks = [box(0, 0, 4, 4), box(4, 4, 8, 9)]
    truth = objects_of(masks, [1, 2])
    for image in range(3):
        counts.add(
            image,
            truth,
            found_of(masks[: 2 - image], [1, 2][: 2 - image], [0.9, 0.8][: 2 - image], image),
        )
    found = counts.total()
    (name,) = found.intervals(images=5)  # two without any segment
    assert name == "PQ things"
    interval = found.intervals(images=5)[name]
    assert interval.low < interval.estimate < interval.high
    assert interval.estimate == pytest.approx(found.summary()[name])
    each = np.zeros((5, 2, 4))
    each[found.rows[:, 0].astype(int), found.rows[:, 1].astype(int)] = found.rows[:, 2:]
    expected = bootstrap_pq(each, [0, 1])
    assert (interval.low, interval.high) == (expected.low, expected.high)
    assert found.intervals(images=1) == {}
    assert PanopticCounts(NAMES).total().intervals(images=5) == {}


def test_the_sum_depends_neither_on_the_order_nor_on_processes(monkeypatch):
    rng = np.random.default_rng(0)
    images = []
    for image in range(7):
        masks = [box(t, left, t + 3, left + 4) for t, left in rng.integers(0, 6, (3, 2)).tolist()]
        classes, scores = rng.integers(1, 3, 3).tolist(), [0.9, 0.8, 0.7]
        moved = [np.roll(mask, int(rng.integers(2)), 1) for mask in masks]
        images.append((objects_of(masks, classes), found_of(moved, classes, scores, image)))
    one, others = PanopticCounts(NAMES), [PanopticCounts(NAMES) for _ in range(2)]
    for image, (objects, found) in enumerate(images):
        one.add(image, objects, found)
    for image in reversed(range(7)):
        others[image % 2].add(image, *images[image])
    others.append(PanopticCounts(NAMES))  # a process that had only filler
    parts = []
    monkeypatch.setattr("jaxseg.runtime.gather.bytes_of_all", lambda data: parts.append(data) or ())
    for other in others:
        other.of_all_processes()
    assert all(parts)
    monkeypatch.setattr("jaxseg.runtime.gather.bytes_of_all", lambda data: parts)
    found, expected = others[0].of_all_processes().total(), one.total()
    assert 0 < expected.summary()["PQ things"] < 1
    for name in ("iou", "hits", "wrong", "missed"):
        np.testing.assert_array_equal(getattr(found.counts, name), getattr(expected.counts, name))
