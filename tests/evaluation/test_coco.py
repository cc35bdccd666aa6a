"""What is told of a split does not depend on how its images were shared out."""

import numpy as np
import pytest

from jaxseg.data import instances
from jaxseg.evaluation import coco
from jaxseg.runtime import gather

SIZE = (40, 50)


def discs(rng, count):
    """Masks of discs that may overlap, uint8 [count, H, W]."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    centres = rng.uniform((4, 4), (36, 46), (count, 2))
    radii = rng.uniform(2, 9, count)
    return [
        ((y - b) ** 2 + (x - a) ** 2 < r**2).astype(np.uint8)
        for (b, a), r in zip(centres, radii, strict=True)
    ]


def split(images=6):
    """The truth of a split, and detections with tied scores of each of its images."""
    rng = np.random.default_rng(0)
    truth, found = [], {}
    for image in range(images):
        masks = discs(rng, image)  # none in the first
        of = instances.of_masks(masks, rng.integers(1, 3, image), SIZE)
        truth.append((image, of))
        kept = [np.roll(mask, int(rng.integers(0, 3)), axis=0) for mask in masks]
        kept += discs(rng, 2)
        boxes = np.array([instances.box_of(mask) for mask in kept], np.float32)
        scores = np.round(rng.random(len(kept)), 1).astype(np.float32)
        classes = np.concatenate([of.classes, rng.integers(1, 3, 2)])
        found[image] = (boxes, scores, classes, kept)
    return coco.truth_of(truth, ("disc", "ball")), found


def added(found, order):
    detections = coco.Detections()
    for image in order:
        detections.add(image, *found[image])
    return detections


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_numbers_do_not_depend_on_the_order_of_the_images(kind):
    truth, found = split()
    one, other = (added(found, order) for order in (range(6), (3, 1, 5, 0, 2, 4)))
    assert one.results() == other.results()
    summary = coco.judge(truth, one, kind).summary()
    assert 0 < summary["AP50"] < 1
    assert coco.judge(truth, other, kind).summary() == summary


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_numbers_do_not_depend_on_the_number_of_processes(count, monkeypatch):
    _, found = split()
    parts = [added(found, range(process, 6, count)) for process in range(count)]
    data = [part.to_bytes() for part in parts]
    monkeypatch.setattr(gather, "bytes_of_all", lambda own: data)
    whole = added(found, range(6))
    for part in parts:
        merged = part.of_all_processes()
        assert merged.results() == whole.results()
        assert merged.to_bytes() == whole.to_bytes()


def test_an_image_of_two_processes_is_refused(monkeypatch):
    part = added(split()[1], [2])
    monkeypatch.setattr(gather, "bytes_of_all", lambda own: [own, own])
    with pytest.raises(ValueError, match="image 2 is added by two processes"):
        part.of_all_processes()


def test_a_perfect_answer():
    rng = np.random.default_rng(1)
    masks = discs(rng, 5)
    of = instances.of_masks(masks, [1, 2, 1, 2, 1], SIZE)
    detections = coco.Detections()
    detections.add(7, of.boxes, np.linspace(0.9, 0.5, 5), of.classes, iter(masks))
    truth = coco.truth_of([(7, of)], ("disc", "ball"))
    for kind in ("bbox", "segm"):
        assert coco.judge(truth, detections, kind).ap() == pytest.approx(1)


def test_detections_without_masks_and_images_without_detections():
    detections = coco.Detections()
    detections.add(3, np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    detections.add(1, np.array([[1.0, 2.0, 5.0, 4.0]]), np.array([0.5]), np.array([2]))
    assert len(detections) == 2
    assert detections.results({2: 17}) == [
        {"image_id": 1, "category_id": 17, "bbox": [1.0, 2.0, 4.0, 2.0], "score": 0.5}
    ]
    stored = coco.Detections.from_bytes(detections.to_bytes())
    assert stored.results() == detections.results()
    assert len(stored) == 2


def test_what_does_not_fit_together_is_refused():
    detections = coco.Detections()
    box, mask = np.array([[0.0, 0.0, 2.0, 2.0]]), np.ones((4, 4), np.uint8)
    with pytest.raises(ValueError, match="image 4: 1 boxes, 1 scores, 1 classes, 2 masks"):
        detections.add(4, box, np.ones(1), np.ones(1, int), [mask, mask])
    with pytest.raises(ValueError, match="not finite"):
        detections.add(4, box, np.array([np.nan]), np.ones(1, int))
    detections.add(4, box, np.ones(1), np.ones(1, int), [mask])
    with pytest.raises(ValueError, match="image 4 is added for the second time"):
        detections.add(4, box, np.ones(1), np.ones(1, int), [mask])
