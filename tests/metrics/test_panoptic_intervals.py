"""Intervals of panoptic quality over images, against a plain loop."""

import numpy as np
import pytest

from jaxseg.metrics.image_intervals import times_drawn
from jaxseg.metrics.panoptic import Counts, quality
from jaxseg.metrics.panoptic_intervals import bootstrap_pq


def drawn(images=9, categories=4):
    """Counts of images, most of which lack a category; the last category is in none."""
    rng = np.random.default_rng(3)
    hits, wrong, missed = rng.integers(0, 4, (3, images, categories))
    hits[rng.random(hits.shape) < 0.5] = 0
    counts = np.stack([hits * rng.uniform(0.5, 1, hits.shape), hits, wrong, missed], axis=-1)
    counts[rng.random(hits.shape) < 0.6] = 0
    counts[:, -1] = 0
    return counts


def test_it_is_the_plain_loop():
    counts, which = drawn(), [0, 2, 3]
    draws = times_drawn(np.random.default_rng(7), 300, len(counts))
    values = []
    for times in draws:
        total = Counts(*np.zeros((4, counts.shape[1])))
        for image, repeats in enumerate(times):
            for _ in range(repeats):
                total += Counts(*counts[image].T)
        values.append(quality(total).mean(which)["PQ"])
    expected = quality(Counts(*counts.sum(axis=0).T)).mean(which)["PQ"]
    found = bootstrap_pq(counts, which, level=0.9, resamples=300, seed=7)
    assert found.estimate == pytest.approx(expected)
    assert found.low == pytest.approx(np.nanquantile(values, 0.05))
    assert found.high == pytest.approx(np.nanquantile(values, 0.95))
    assert found.low < found.estimate < found.high


def test_equal_images_leave_no_doubt():
    counts = np.repeat(drawn()[:1] + 1.0, 5, axis=0)
    found = bootstrap_pq(counts, [0, 1])
    assert found.low == pytest.approx(found.estimate) == pytest.approx(found.high)


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="two of them or more, not 1"):
        bootstrap_pq(drawn(images=1), [0])
    with pytest.raises(ValueError, match="resamples 0: one or more"):
        bootstrap_pq(drawn(), [0], resamples=0)
