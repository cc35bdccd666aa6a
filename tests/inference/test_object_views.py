"""Test-time augmentation of detectors, against a direct definition in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data import instance_loader
from jaxseg.inference import detect, object_views
from jaxseg.inference.object_views import View
from jaxseg.layers.rois import Detections
from jaxseg.models.fpn import BoxProposals
from jaxseg.tasks.instance_evaluation import transform_of
from tests.helpers import detectors

EXPERIMENT = detectors.experiment("")
MODEL, PIXELS = EXPERIMENT.model, EXPERIMENT.data.normalisation
TRANSFORM = transform_of(EXPERIMENT.data)
SIZES = [(64, 64), (40, 90)]


@pytest.fixture(scope="module")
def images():
    """Two images with coarse shapes in noise; the second one is padded."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (-(-h // 10), -(-w // 10), 3), np.uint8) for h, w in SIZES]
    large = (np.kron(one, np.ones((10, 10, 1), np.uint8)) for one in coarse)
    return [one[:h, :w] for one, (h, w) in zip(large, SIZES, strict=True)]


def batch_of(images, scales=(1.0,)):
    transforms = [TRANSFORM.scaled(scale) for scale in scales]
    elements = [instance_loader.evaluated(one, i, transforms) for i, one in enumerate(images)]
    return {name: np.stack([one[name] for one in elements]) for name in elements[0]}


def found_in(images, scales=(1.0,), flip=False):
    find = detect.make_detector(MODEL, PIXELS, scales=scales, flip=flip)
    return find(detectors.variables(), batch_of(images, scales))


def viewed(images, scales, views):
    """As `make_detector` does it, with views of our own choice."""
    find = object_views.make_view_detector(MODEL, PIXELS, views, None, jax.device_put, np.asarray)
    return find(detectors.variables(), batch_of(images, scales))


def assert_equal(found, expected):
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.grids, expected.grids, atol=1e-4)


def test_a_single_view_gives_the_plain_form(images):
    own = viewed(images, (1.0,), [View(0, mirrored=False)])
    for i, expected in enumerate(found_in(images)):
        kept = own["valid"][i]
        assert kept.sum() == len(expected.scores) > 2
        np.testing.assert_allclose(own["scores"][i][kept], expected.scores, atol=1e-6)
        np.testing.assert_allclose(own["boxes"][i][kept], expected.boxes, atol=1e-4)
        np.testing.assert_allclose(own["masks"][i][kept], expected.grids, atol=1e-5)


def test_the_mirror_image_has_mirrored_detections(images):
    mirrored = [np.ascontiguousarray(one[:, ::-1]) for one in images]
    both, plain = {}, {}
    for name, given in (("own", images), ("mirrored", mirrored)):
        both[name], plain[name] = found_in(given, flip=True), found_in(given)
    changed = 0
    for i in range(len(images)):
        own, other = both["own"][i], both["mirrored"][i]
        assert_equal(turned(other), own)
        changed += not np.allclose(plain["own"][i].scores, plain["mirrored"][i].scores, atol=1e-4)
    assert changed  # a single view sees the difference


def numpy_nms(boxes, scores, classes, threshold):
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        for k in kept:
            if classes[i] != classes[k]:
                continue
            low, high = (
                np.maximum(boxes[i, :2], boxes[k, :2]),
                np.minimum(boxes[i, 2:], boxes[k, 2:]),
            )
            inside = np.prod(np.clip(high - low, 0, None))
            areas = [np.prod(boxes[j, 2:] - boxes[j, :2]) for j in (i, k)]
            if inside / (sum(areas) - inside) > threshold:
                break
        else:
            kept.append(i)
    return kept


def found_alone(images, scale, mirrored):
    """The detections of a single view; the image is mirrored by hand."""
    elements = [
        instance_loader.evaluated(one, i, [TRANSFORM.scaled(scale)]) for i, one in enumerate(images)
    ]
    for element in elements:
        width = element["size"][1]
        if mirrored:
            element["image"][:, :width] = element["image"][:, :width][:, ::-1].copy()
    batch = {name: np.stack([one[name] for one in elements]) for name in elements[0]}
    found = detect.make_detector(MODEL, PIXELS)(detectors.variables(), batch)
    return [turned(one) for one in found] if mirrored else found


def turned(found):
    """Detections of a mirror image in pixels of the image."""
    x1, y1, x2, y2 = found.boxes.T
    width = found.size[1]
    boxes = np.stack([width - x2, y1, width - x1, y2], axis=1)
    return dataclasses.replace(found, boxes=boxes, grids=found.grids[..., ::-1])


def test_views_are_merged_as_defined(images):
    scales = (1.0, 0.5)
    merged = found_in(images, scales, flip=True)
    assert TRANSFORM.scaled(0.5).canvas == (32, 32)
    each = [found_alone(images, scale, mirrored) for scale in scales for mirrored in (0, 1)]
    selection = MODEL.selection
    origins = set()
    for i in range(len(images)):
        boxes, scores, classes = (
            np.concatenate([getattr(view[i], name) for view in each])
            for name in ("boxes", "scores", "classes")
        )
        kept = numpy_nms(boxes, scores, classes, selection.nms_threshold)[: selection.count]
        np.testing.assert_allclose(merged[i].scores, scores[kept], atol=1e-5)
        np.testing.assert_array_equal(merged[i].classes, classes[kept])
        np.testing.assert_allclose(merged[i].boxes, boxes[kept], atol=1e-3)
        origins |= {k // selection.count for k in kept}
    assert len(origins) > 1  # no view has all of them


def test_masks_at_its_own_detections_are_those_of_the_network(images):
    x = jnp.asarray(batch_of(images)["image"] / 255 - 0.5, jnp.float32)
    sizes = jnp.asarray(batch_of(images)["size"])
    apply = jax.jit(
        lambda at: MODEL.apply(detectors.variables(), x, sizes=sizes, train=False, at=at)
    )
    outputs = apply(None)
    at = Detections(**{name: outputs[name] for name in Detections._fields})
    np.testing.assert_allclose(apply(at)["mask_logits"], outputs["mask_logits"], atol=1e-5)


def test_masks_are_the_mean_over_views(images):
    views = [View(0, mirrored=False), View(0, mirrored=True)]
    both = viewed(images, (1.0,), views)
    batch = batch_of(images)
    _, masks_in = object_views._programs(MODEL, PIXELS, None)
    grids = []
    for view in views:
        boxes = object_views.to_view(both["boxes"], view, batch["size"], batch["original"])
        at = Detections(boxes, both["scores"], both["classes"], both["valid"])
        mirrored = np.bool_(view.mirrored)
        grids.append(masks_in(detectors.variables(), batch["image"], batch["size"], mirrored, at))
    np.testing.assert_allclose(both["masks"], np.mean(grids, axis=0), atol=1e-6)
    assert np.abs(grids[0] - grids[1]).max() > 1e-3


def test_mirroring_leaves_the_padding_in_its_place():
    image = np.arange(2 * 3 * 5 * 3).reshape(2, 3, 5, 3)
    mirrored = np.asarray(object_views.flipped(jnp.asarray(image), jnp.array([[3, 5], [2, 3]])))
    np.testing.assert_array_equal(mirrored[0], image[0, :, ::-1])
    np.testing.assert_array_equal(mirrored[1, :, :3], image[1, :, 2::-1])
    np.testing.assert_array_equal(mirrored[1, :, 3:], image[1, :, 3:])


@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_return_to_the_image(mirrored):
    view, sizes = View(0, mirrored), np.array([[30, 60]])
    original = np.array([[20, 30]])
    boxes = np.array([[[6, 3, 12, 9]]], np.float32)
    expected = [24, 2, 27, 6] if mirrored else [3, 2, 6, 6]
    there = object_views.to_image(boxes, view, sizes, original)
    np.testing.assert_allclose(there[0, 0], expected)
    np.testing.assert_allclose(object_views.to_view(there, view, sizes, original), boxes)


def test_regions_without_classes_are_not_merged():
    model = BoxProposals(MODEL.backbone)
    with pytest.raises(ValueError, match=r"BoxProposals proposes regions.*eval\.scales=1"):
        detect.make_detector(model, PIXELS, flip=True)
    detect.make_detector(model, PIXELS)
