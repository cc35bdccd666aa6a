"""A detector's evaluation as a semantic segmentation."""

import numpy as np
import pytest

from jaxseg.data import instances
from jaxseg.data.labels import LabelSpec
from jaxseg.evaluation import coco, instances_as_classes
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.metrics import summarize
from jaxseg.models.faster_rcnn import FasterRCNN
from jaxseg.workdir import per_image
from tests.helpers import detectors

LABELS = LabelSpec(("disc", "bar"), ((9, 9, 9), (80, 80, 80)), {3: 0, 7: 1})
SIZE = (6, 8)


def box(y1, y2, x1, x2):
    mask = np.zeros(SIZE, np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def evaluation(truth, found):
    """Of images with objects (mask, class) and detections (mask, class, score)."""
    objects = [
        instances.of_masks([mask for mask, _ in of], [kind for _, kind in of], SIZE) for of in truth
    ]
    detections = coco.Detections()
    for index, of in enumerate(found):
        masks, classes, scores = zip(*of, strict=True) if of else ((), (), ())
        boxes = np.zeros((len(of), 4))
        detections.add(index, boxes, np.array(scores), np.array(classes), masks)
    annotations = coco.truth_of(enumerate(objects), LABELS.names)
    names = tuple(f"image {i}" for i in range(len(truth)))
    return InstanceEvaluation(names, annotations, detections, {}, 0.0)


def test_pixels_are_counted_by_class():
    disc, bar = box(0, 3, 0, 4), box(3, 6, 4, 8)
    found = instances_as_classes.evaluate(
        evaluation(
            [[(disc, 1), (bar, 2)], []],
            [
                # The disc is found a column too far right; what covers the bar is not sure enough.
                [(box(0, 3, 1, 5), 1, 0.9), (bar, 2, 0.49)],
                [(box(0, 1, 0, 8), 2, 0.5)],
            ],
        ),
        LABELS,
    )
    background = 2 * 48 - 12 - 12
    expected = [[background - 3 - 8, 3, 8], [3, 9, 0], [12, 0, 0]]
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.confusion.dtype == np.int64
    np.testing.assert_array_equal(found.per_image.confusion(), found.confusion)
    assert isinstance(found.per_image, per_image.PerImage)
    assert [image["name"] for image in found.images] == ["image 0", "image 1"]
    assert found.images[1]["miou"] == summarize(found.per_image.matrices()[1]).miou


def test_the_better_detection_is_on_top_and_ambiguous_truth_is_void():
    whole, half = box(0, 6, 0, 8), box(0, 6, 0, 4)
    found = instances_as_classes.evaluate(
        evaluation([[(whole, 1), (half, 2)]], [[(half, 2, 0.9), (whole, 1, 0.8)]]), LABELS
    )
    np.testing.assert_array_equal(found.confusion, [[0, 0, 0], [0, 24, 0], [0, 0, 0]])


def test_detections_equal_to_the_truth_have_an_iou_of_one():
    of = [(box(0, 2, 0, 8), 1), (box(3, 6, 0, 3), 2), (box(2, 5, 4, 8), 1)]
    found = instances_as_classes.evaluate(
        evaluation([of], [[(mask, kind, 1.0) for mask, kind in of]]), LABELS
    )
    assert summarize(found.confusion).miou == 1
    assert found.confusion.sum() == 48


def test_the_background_is_a_class_of_its_own():
    spec = instances_as_classes.with_background(LABELS)
    assert spec.names == ("background", "disc", "bar")
    assert spec.palette[0] == (0, 0, 0)
    odd = LabelSpec(("background",), ((1, 1, 1),), {1: 0})
    assert instances_as_classes.with_background(odd).names == ("no object", "background")


def test_a_detector_of_boxes_is_refused():
    model = FasterRCNN(2, detectors.experiment("").model.backbone)
    with pytest.raises(ValueError, match="needs masks of classes, which FasterRCNN"):
        instances_as_classes.check(model, True)
    instances_as_classes.check(model, False)
