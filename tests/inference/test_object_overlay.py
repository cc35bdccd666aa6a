"""Pictures of objects: masks, outlines, boxes and labels where they should be."""

import numpy as np
import pytest

from jaxseg.inference.object_overlay import COLOURS, drawn

NAMES = ("disc", "ring")


def masks_of(*spans, size=(60, 80)):
    masks = np.zeros((len(spans), *size), bool)
    for mask, (rows, columns) in zip(masks, spans, strict=True):
        mask[rows, columns] = True
    return masks


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def test_a_mask_is_blended_and_outlined_and_the_rest_is_unchanged(image):
    (mask,) = masks_of((slice(30, 40), slice(10, 30)))
    boxes = np.array([[10.0, 30.0, 30.0, 40.0]])
    picture = drawn(image, boxes, np.array([1]), None, iter([mask]), NAMES)
    colour = np.array(COLOURS[0])
    expected = np.rint(0.55 * image[35, 20] + 0.45 * colour)
    np.testing.assert_array_equal(picture[35, 20], expected)
    for row, column in ((30, 20), (39, 20), (35, 10), (35, 29)):
        np.testing.assert_array_equal(picture[row, column], colour)
    np.testing.assert_array_equal(picture[40:], image[40:])
    np.testing.assert_array_equal(picture[:, 60:], image[:, 60:])


def test_the_first_object_is_on_top_and_each_has_its_own_colour(image):
    masks = masks_of((slice(20, 50), slice(10, 40)), (slice(20, 50), slice(30, 60)))
    boxes = np.array([[10.0, 20.0, 40.0, 50.0], [30.0, 20.0, 60.0, 50.0]])
    picture = drawn(image, boxes, np.array([2, 2]), np.array([0.9, 0.8]), masks, NAMES)
    first, second = (np.array(colour) for colour in COLOURS[:2])
    np.testing.assert_array_equal(picture[40, 35], np.rint(0.55 * image[40, 35] + 0.45 * first))
    np.testing.assert_array_equal(picture[40, 45], np.rint(0.55 * image[40, 45] + 0.45 * second))
    np.testing.assert_array_equal(picture[40, 39], first)  # its outline, over the other mask
    np.testing.assert_array_equal(picture[40, 30], second)  # also where it is covered


def test_boxes_on_and_beyond_the_border_are_drawn_within_the_image(image):
    boxes = np.array([[-20.0, -5.0, 200.0, 300.0], [79.5, 59.5, 80.0, 60.0], [90.0, 70.0, 90, 70]])
    picture = drawn(image, boxes, np.array([1, 2, 2]), np.ones(3), None, NAMES)
    assert picture.shape == image.shape
    np.testing.assert_array_equal(picture[30, 0], COLOURS[0])
    np.testing.assert_array_equal(picture[30, 79], COLOURS[0])
    assert not np.array_equal(picture, drawn(image, boxes, np.array([1, 2, 2]), None, None, NAMES))


def test_an_image_without_objects_is_left_as_it_is(image):
    none = np.zeros((0, 4))
    picture = drawn(image, none, np.zeros(0, np.int64), np.zeros(0), iter(()), NAMES)
    np.testing.assert_array_equal(picture, image)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": np.array([1])}, "2 boxes, 1 classes"),
        ({"scores": np.ones(3)}, "2 boxes, 2 classes, 3 scores"),
        ({"masks": np.zeros((1, 60, 80), bool)}, "2 boxes, 1 masks"),
        ({"masks": np.zeros((2, 60, 70), bool)}, r"image \(60, 80\) and mask \(60, 70\) differ"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(image, change, message):
    arguments = {"boxes": np.zeros((2, 4)), "classes": np.array([1, 2]), "scores": None}
    arguments |= {"masks": None, "names": NAMES} | change
    with pytest.raises(ValueError, match=message):
        drawn(image, **arguments)
