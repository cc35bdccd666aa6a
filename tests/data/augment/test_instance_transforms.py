"""Image, boxes and masks of objects stay together to the pixel, whatever is done to them."""

import dataclasses

import numpy as np
import pytest

from jaxseg.data import instances
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.augment.instance_transforms import InstanceTransform, View
from jaxseg.types import IGNORE
from tests.data.augment.test_alignment import SIZE, board, disagreement

STILL = {"flip": False, "canvas": (160, 200), "short_side": (120,), "long_side": 200, "objects": 4}
ALONE = {
    "nothing": {},
    "resize": {"short_side": (150,)},
    "resize to the long side": {"long_side": 115},
    "multi-scale": {"short_side": (90, 111, 137, 160)},
    "flip": {"flip": True},
    "crop": {"crop": 0.5},
    "large-scale jitter": {"jitter_range": (0.5, 2.0), "canvas": (150, 150)},
    "colour": {"jitter": 0.2},
}
EVERY = {
    "all": {"flip": True, "crop": 0.7, "short_side": (90, 150), "jitter": 0.2},
    "all, jittered": {"flip": True, "crop": 0.7, "jitter_range": (0.6, 1.8), "jitter": 0.2},
}


def transform_of(fields):
    given = STILL | fields
    canvas = given.pop("canvas")
    return InstanceTransform(canvas, InstanceAugment(**given))


def ids_of(example):
    """Of two objects, the dark and the bright fields: 0 and 1; void beyond the view."""
    height, width = example["size"]
    masks = instances.unpacked(example["masks"], example["image"].shape[1])
    assert not masks[:, height:].any()
    assert not masks[:, :, width:].any()
    ids = np.full(masks.shape[1:], IGNORE, np.uint8)
    for number, mask in zip(example["classes"], masks, strict=True):
        if number:
            assert (ids[mask] == IGNORE).all()
            ids[mask] = number - 1
    assert (ids[:height, :width] != IGNORE).all()
    return ids


@pytest.mark.parametrize("name", ALONE | EVERY)
def test_the_masks_say_what_the_image_shows_to_the_pixel(name):
    transform = transform_of((ALONE | EVERY)[name])
    image, mask = board()
    objects = instances.of_masks([mask == 0, mask == 1], [1, 2], SIZE)
    for seed in range(6):
        example = transform.apply(np.random.default_rng(seed), image, objects, mask)
        view, ids = example["image"], ids_of(example)
        np.testing.assert_array_equal(example["semantic"], ids)  # void beyond the view, too
        wrong, far = disagreement(view, ids)
        assert not far
        assert wrong < 0.01
        for axis in (0, 1):
            for step in (-1, 1):
                shifted, _ = disagreement(view, np.roll(ids, step, axis))
                assert shifted > 0.02  # one pixel is enough to be seen


def scattered(seed, count=7, size=(61, 83)):
    """Discs, some of which reach beyond the image, and an image of noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    masks = [
        (y - b) ** 2 + (x - a) ** 2 < r**2
        for a, b, r in rng.uniform((0, 0, 3), (size[1], size[0], 15), (count, 3))
    ]
    objects = instances.of_masks(masks, rng.integers(1, 4, count), size)
    return rng.integers(0, 256, (*size, 3), np.uint8), masks, objects


@pytest.mark.parametrize("fields", [{}, *ALONE.values(), *EVERY.values()])
def test_the_view_is_that_of_the_whole_masks(fields):
    """The definition: each mask is looked up at every pixel; boxes are those of the masks."""
    transform = transform_of(fields | {"objects": 9})
    for seed in range(8):
        _, masks, objects = scattered(seed)
        view = transform.draw(np.random.default_rng(seed), *objects.size)
        canvas = transform.canvas_of(*objects.size)
        found = transform.annotated(view, objects, canvas)
        expected = [mask[np.ix_(view.rows(), view.columns())] for mask in masks]
        kept = [k for k, mask in enumerate(expected) if mask.any()]
        assert found["valid"].tolist() == [True] * len(kept) + [False] * (9 - len(kept))
        assert found["classes"].tolist() == [*objects.classes[kept], *[0] * (9 - len(kept))]
        unpacked = instances.unpacked(found["masks"], canvas[1])
        height, width = view.window[2:]
        for place, k in enumerate(kept):
            np.testing.assert_array_equal(unpacked[place, :height, :width], expected[k])
            box = instances.box_of(expected[k])
            scale = max(view.size[axis] / view.crop[2 + axis] for axis in (0, 1))
            np.testing.assert_allclose(found["boxes"][place], box, atol=max(1.0, scale))
        assert not unpacked[len(kept) :].any()
        assert not found["boxes"][len(kept) :].any()
        assert (found["boxes"][: len(kept), 2:] <= [width, height]).all()


def test_a_box_is_multiplied_by_the_ratio_of_the_sizes():
    image, _, objects = scattered(0)
    fractional = dataclasses.replace(objects, boxes=objects.boxes * 0.9 + 0.37)
    transform = transform_of({"short_side": (100,), "long_side": 150})
    found = transform.apply(np.random.default_rng(0), image, fractional)
    height, width = found["size"]
    assert (height, width) == (100, int(83 * 100 / 61))
    scale = np.array([width / 83, height / 61] * 2)
    count = int(found["valid"].sum())
    assert count == 4  # of seven the four that there is room for, in their order
    masks = instances.unpacked(found["masks"], found["image"].shape[1])
    areas = masks[:4].sum((1, 2))
    assert (np.sort(objects.areas * scale[0] * scale[1])[-4:] > 0.8 * areas.min()).all()
    rows = [
        int(np.abs(fractional.boxes * scale - box).sum(axis=1).argmin())
        for box in found["boxes"][:4]
    ]
    assert rows == sorted(rows)
    np.testing.assert_allclose(found["boxes"][:4], fractional.boxes[rows] * scale, rtol=1e-6)
    assert set(rows) == set(np.argsort(-objects.areas)[:4])


def test_a_flip_of_a_flip():
    image, _, objects = scattered(1)
    transform = transform_of({"objects": 9})
    whole = View((0, 0, 61, 83), (61, 83), (0, 0, 61, 83))
    one = transform.annotated(whole, objects, (64, 96))
    other = transform.annotated(dataclasses.replace(whole, mirror=True), objects, (64, 96))
    masks = [instances.unpacked(each["masks"], 96)[..., :83] for each in (one, other)]
    np.testing.assert_array_equal(masks[0], masks[1][..., ::-1])
    np.testing.assert_array_equal(one["boxes"][:7, 0], 83 - other["boxes"][:7, 2])
    np.testing.assert_array_equal(one["boxes"][:, [1, 3]], other["boxes"][:, [1, 3]])
    seen = transform.shown(dataclasses.replace(whole, mirror=True), image, (64, 96))
    np.testing.assert_array_equal(seen["image"][:61, :83], image[:, ::-1])


def test_what_a_window_cuts_has_the_box_of_what_is_left():
    masks = [np.zeros((60, 80), bool) for _ in range(3)]
    masks[0][10:20, 10:40] = masks[1][30:50, 60:70] = masks[2][12:15, 22:25] = True
    objects = instances.of_masks(masks, [1, 2, 3], (60, 80))
    loose = dataclasses.replace(objects, boxes=objects.boxes + np.array([-0.5, -0.5, 0.5, 0.5]))
    view = View((0, 0, 60, 80), (60, 80), (0, 20, 40, 30))
    found = transform_of({}).annotated(view, loose, (40, 32))
    assert found["classes"].tolist() == [1, 3, 0, 0]  # of the second no pixel is left
    assert found["boxes"][0].tolist() == [0, 10, 20, 20]
    assert found["boxes"][1].tolist() == [1.5, 11.5, 5.5, 15.5]  # whole: the annotation's


def test_crowds_and_what_has_no_extent_are_left_out():
    masks = [np.zeros((60, 80), bool) for _ in range(4)]
    for mask in masks[:3]:
        mask[10:20, 10:40] = True
    objects = instances.of_masks(masks, [1, 2, 3, 1], (60, 80), crowd=[True, False, False, False])
    boxes = objects.boxes.copy()
    boxes[1, 2] = boxes[1, 0]  # without a width
    boxes[3] = (1, 1, 5, 5)  # a box without a mask
    found = transform_of({}).apply(
        np.random.default_rng(0),
        np.zeros((60, 80, 3), np.uint8),
        dataclasses.replace(objects, boxes=boxes),
    )
    assert found["classes"].tolist() == [3, 0, 0, 0]
    none = objects.take([])
    found = transform_of({}).apply(np.random.default_rng(0), np.zeros((60, 80, 3), np.uint8), none)
    assert not found["valid"].any()
    assert found["masks"].shape == (4, 160, 25)


def test_a_view_is_a_function_of_its_random_numbers():
    transform = transform_of(EVERY["all, jittered"])
    image, _, objects = scattered(2)
    views = [transform.apply(np.random.default_rng(seed), image, objects) for seed in (3, 3, 4)]
    for name, value in views[0].items():
        np.testing.assert_array_equal(value, views[1][name])
    assert (views[0]["image"] != views[2]["image"]).any()


def test_the_canvas_is_turned_for_images_that_stand():
    augment = InstanceAugment()
    transform = InstanceTransform((800, 1344), augment, mean=(1.2, 2.6, 3.0))
    for height, width, canvas, size in (
        (480, 640, (800, 1344), (800, 1066)),
        (640, 480, (1344, 800), (1066, 800)),
        (500, 500, (800, 1344), (800, 800)),
        (300, 900, (800, 1344), (444, 1333)),
    ):
        assert transform.canvas_of(height, width) == canvas
        assert transform.fitted(height, width, 800) == size
    example = transform.evaluated(np.full((30, 40, 3), 200, np.uint8))
    assert example["size"].tolist() == [800, 1066]
    assert (example["image"][:800, :1066] == 200).all()
    assert (example["image"][:, 1066:] == (1, 3, 3)).all()


def test_settings_that_do_not_fit_together_are_refused():
    for fields, words in (
        ({"short_side": (180,)}, r"=\(160, 200\) must hold images of the shorter side 180"),
        ({"long_side": 300}, "--config.data.crop_size=120,320"),
        ({"crop": 0.0}, "a share above 0"),
        ({"jitter_range": (2.0, 1.0)}, "jitter_range"),
        ({"jitter": 1.0}, "0 or more and below 1"),
        ({"objects": 0}, "must be at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            transform_of(fields)
