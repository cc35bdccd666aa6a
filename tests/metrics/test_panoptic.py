"""Panoptic quality on maps that are worked out by hand."""

import math

import numpy as np
import pytest

from jaxseg.metrics.panoptic import Segment, count_segments, quality

THING, STUFF = 0, 1


def row(*runs):
    """A map of one row from (id, pixels)."""
    return np.concatenate([np.full(count, number) for number, count in runs])[None]


def counted(truth, segments, predicted, found):
    counts = count_segments(truth, segments, predicted, found, 2)
    return [
        counts.iou.tolist(),
        counts.hits.tolist(),
        counts.wrong.tolist(),
        counts.missed.tolist(),
    ]


def test_a_perfect_map():
    ids, segments = row((1, 4), (2, 3), (3, 3)), {k: Segment(THING) for k in (1, 2)}
    segments[3] = Segment(STUFF)
    found = quality(count_segments(ids, segments, ids, segments, 2))
    assert found.mean() == {"PQ": 1.0, "SQ": 1.0, "RQ": 1.0}


def test_an_iou_of_a_half_does_not_match():
    truth, segments = row((1, 4), (2, 6)), {1: Segment(THING), 2: Segment(STUFF)}
    predicted = row((1, 2), (2, 8))
    # thing: 2 of 4, IoU 0.5; stuff: 6 of 8
    assert counted(truth, segments, predicted, segments) == [[0, 0.75], [0, 1], [1, 0], [1, 0]]
    more = row((1, 3), (2, 7))
    assert counted(truth, segments, more, segments)[0] == [0.75, pytest.approx(6 / 7)]


def test_a_segment_of_another_category_does_not_match():
    truth, segments = row((1, 6)), {1: Segment(THING)}
    found = {1: Segment(STUFF)}
    assert counted(truth, segments, row((1, 6)), found) == [[0, 0], [0, 0], [0, 1], [1, 0]]


def test_void_is_no_part_of_the_union():
    truth, segments = row((1, 4), (0, 6)), {1: Segment(THING)}
    predicted = row((9, 10))
    assert counted(truth, segments, predicted, {9: Segment(THING)})[0] == [1, 0]


@pytest.mark.parametrize(("void", "wrong"), [(6, 0), (5, 1), (4, 1)])
def test_a_segment_that_is_mostly_void_is_no_error(void, wrong):
    truth, segments = row((0, void), (2, 10 - void), (2, 40)), {2: Segment(STUFF)}
    predicted = row((9, 10), (2, 40))
    found = {9: Segment(THING), 2: Segment(STUFF)}
    assert counted(truth, segments, predicted, found)[2] == [wrong, 0]


def test_a_crowd_excuses_its_own_category_alone_and_is_never_missed():
    truth = row((5, 10), (2, 10))
    segments = {5: Segment(THING, crowd=True), 2: Segment(STUFF)}
    predicted = row((7, 5), (8, 5), (2, 10))
    things = {7: Segment(THING), 8: Segment(THING), 2: Segment(STUFF)}
    assert counted(truth, segments, predicted, things) == [[0, 1], [0, 1], [0, 0], [0, 0]]
    stuff = things | {8: Segment(STUFF)}
    assert counted(truth, segments, predicted, stuff)[2] == [0, 1]


def test_counts_add_up_over_images_before_they_are_divided():
    truth, segments = row((1, 10)), {1: Segment(THING)}
    good = count_segments(truth, segments, row((1, 8), (2, 2)), {1: Segment(0), 2: Segment(1)}, 2)
    bad = count_segments(truth, segments, row((2, 10)), {2: Segment(1)}, 2)
    found = quality(good + bad)
    # one hit with IoU 0.8, one miss: PQ 0.8 / 1.5
    assert found.pq[0] == pytest.approx(0.8 / 1.5)
    assert found.sq[0] == pytest.approx(0.8)
    assert found.rq[0] == pytest.approx(1 / 1.5)
    assert found.pq[1] == 0  # two false alarms
    assert found.mean([0])["PQ"] == pytest.approx(0.8 / 1.5)


def test_an_absent_category_is_left_out_of_the_mean():
    ids, segments = row((1, 10)), {1: Segment(THING)}
    found = quality(count_segments(ids, segments, ids, segments, 2))
    assert math.isnan(found.pq[1])
    assert found.mean()["PQ"] == 1
    assert math.isnan(found.mean([1])["PQ"])


def test_large_ids_are_counted_like_small_ones():
    """Ids of COCO's files reach 2^24: a table of all pairs would not fit."""
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 20, 30))
    segments = {k: Segment(k % 2) for k in (1, 2, 3)}
    large = {k << 22: segment for k, segment in segments.items()}
    small = count_segments(truth, segments, predicted, segments, 2)
    found = count_segments(truth << 22, large, predicted << 22, large, 2)
    assert found.wrong.tolist() == small.wrong.tolist()
    assert found.iou.tolist() == small.iou.tolist()
    assert found.missed.tolist() == small.missed.tolist()


def test_an_id_without_its_segment_is_refused():
    ids, segments = row((1, 10)), {1: Segment(THING)}
    with pytest.raises(ValueError, match="segment 2 of the found segments is in the map"):
        count_segments(ids, segments, row((2, 10)), {}, 2)
    with pytest.raises(ValueError, match="segment 3 of the truth segments is in the table"):
        count_segments(ids, segments | {3: Segment(0)}, ids, segments, 2)
