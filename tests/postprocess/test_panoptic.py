"""The merge of things and stuff, against a definition by sets of pixels, and its PQ."""

import numpy as np

from jaxseg.metrics.panoptic import Segment, count_segments, quality
from jaxseg.postprocess import panoptic
from tests.postprocess.test_class_map import rectangles

SIZE = (14, 17)
THINGS = 3


def by_sets(masks, classes, scores, semantic, score, overlap, stuff_area):
    """[(category, set of pixels)], in the order of the segments."""
    taken, segments = set(), []
    for mask, kind, value in zip(masks, classes, scores, strict=True):
        pixels = set(zip(*np.nonzero(mask), strict=True))
        if value < score or not pixels or len(pixels & taken) > overlap * len(pixels):
            continue
        segments.append((kind - 1, pixels - taken))
        taken |= pixels
    for kind in sorted(set(semantic.ravel().tolist()) - {panoptic.THINGS}):
        pixels = set(zip(*np.nonzero(semantic == kind), strict=True)) - taken
        if len(pixels) >= max(stuff_area, 1):
            segments.append((THINGS + kind - 1, pixels))
    return segments


def test_segments_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    lost = stuff = 0
    for _ in range(30):
        count = int(rng.integers(0, 9))
        masks = rectangles(rng, count, SIZE)
        classes = rng.integers(1, THINGS + 1, count).tolist()
        scores = np.sort(rng.random(count))[::-1].tolist()
        semantic = np.kron(rng.integers(0, 4, (7, 9)), np.ones((2, 2), int))[:, :17]
        options = {"score": 0.2, "overlap": 0.4, "stuff_area": 20}
        expected = by_sets(masks, classes, scores, semantic, **options)
        found = panoptic.merged(masks, classes, scores, semantic, THINGS, **options)
        assert list(found.categories) == list(range(1, len(expected) + 1))
        for number, (category, pixels) in enumerate(expected, 1):
            assert found.categories[number] == category
            assert set(zip(*np.nonzero(found.ids == number), strict=True)) == pixels
        assert found.ids.max(initial=0) == len(expected)
        things = sum(category < THINGS for category, _ in expected)
        lost += sum(value >= 0.2 for value in scores) - things
        stuff += len(expected) - things
    assert lost > 5
    assert stuff > 20


def test_the_defaults_are_detectron2s():
    semantic = np.ones((64, 65), int)  # one region of 4160 pixels
    mask = np.zeros((64, 65), np.uint8)
    mask[:8, :8] = 1  # leaves 4096
    found = panoptic.merged([mask, mask], [1, 1], [0.5, 0.49], semantic, THINGS)
    assert found.categories == {1: 0, 2: THINGS}
    mask[8, 0] = 1
    found = panoptic.merged([mask], [1], [0.5], semantic, THINGS)
    assert found.categories == {1: 0}
    assert (found.ids == 0).sum() == 4095


def test_a_prediction_equal_to_the_truth_has_a_quality_of_one():
    semantic = np.repeat([[1, 2]], 8, axis=0).repeat(8, axis=1)
    mask = np.zeros((8, 16), np.uint8)
    mask[2:6, 4:12] = 1
    found = panoptic.merged([mask], [2], [0.9], semantic, THINGS, stuff_area=1)
    truth = np.where(mask == 1, 7, np.where(semantic == 1, 8, 9))
    segments = {7: Segment(1), 8: Segment(THINGS), 9: Segment(THINGS + 1)}
    counts = count_segments(
        truth, segments, found.ids, {i: Segment(k) for i, k in found.categories.items()}, 5
    )
    assert quality(counts).mean() == {"PQ": 1, "SQ": 1, "RQ": 1}
    assert counts.hits.tolist() == [0, 1, 0, 1, 1]
