"""Pictures of labels: pixels are coloured where they should be, and unchanged elsewhere."""

import numpy as np
import pytest

from jaxseg.data.labels import LabelSpec
from jaxseg.inference import overlay

SPEC = LabelSpec(
    names=("background", "cat", "dog"),
    palette=((0, 0, 0), (200, 0, 0), (0, 0, 220)),
    raw_to_train={0: 0, 1: 1, 2: 2, 255: 255},
)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_overlay_blends_inside_draws_borders_and_keeps_black_and_void(image):
    label = np.zeros((40, 60), np.uint8)
    label[10:30, 10:30] = 1
    label[:, 50:] = 255
    drawn = overlay.overlay(image, label, SPEC, alpha=0.25)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[:9], image[:9])
    np.testing.assert_array_equal(drawn[:, 50:], image[:, 50:])
    expected = np.rint(0.75 * image[15, 15] + 0.25 * np.array([200, 0, 0]))
    np.testing.assert_array_equal(drawn[15, 15], expected)
    np.testing.assert_array_equal(drawn[15, 29], [200, 0, 0])  # the border of the region


@pytest.mark.usefixtures("unchecked")
def test_a_label_of_another_size_is_refused(image):
    label = np.zeros((40, 60), np.uint8)
    with pytest.raises(ValueError, match=r"image \(40, 60\) and label \(40, 50\) differ"):
        overlay.overlay(image, label[:, :50], SPEC)


def test_the_legend_shows_only_the_colours_of_classes_present():
    label = np.zeros((10, 10), np.uint8)
    label[:3] = 2
    legend = overlay.legend(label, SPEC, width=400)
    colours = {tuple(colour) for colour in legend.reshape(-1, 3)}
    assert (0, 0, 220) in colours
    assert (200, 0, 0) not in colours
    assert legend.shape[1] == 400
    narrow = overlay.legend(label, SPEC, width=120, text_height=14)
    assert narrow.shape[1] == 120
    assert narrow.shape[0] > overlay.legend(label, SPEC, width=400, text_height=14).shape[0]


def test_the_legend_is_below_the_overlay_even_for_a_narrow_image(image):
    label = np.full((40, 60), 1, np.uint8)
    sheet = overlay.overlay_with_legend(image, label, SPEC)
    assert sheet.shape[0] > 40
    np.testing.assert_array_equal(sheet[:40, :60], overlay.overlay(image, label, SPEC))


def test_a_strip_contains_every_image_unchanged(image):
    strip = overlay.strip([image, image[:20, :30]], ["image", "a title too long for its image"])
    top = strip.shape[0] - 40
    np.testing.assert_array_equal(strip[top:, :60], image)
    np.testing.assert_array_equal(strip[top + 10 : top + 30, -30:], image[:20, :30])
    with pytest.raises(ValueError, match="2 images and 1 titles"):
        overlay.strip([image, image], ["one"])


def test_the_error_map_distinguishes_right_wrong_and_void():
    truth = np.array([[0, 1, 255, 2]], np.uint8)
    prediction = np.array([[0, 2, 1, 2]], np.uint8)
    np.testing.assert_array_equal(overlay.errors(truth, prediction), [[0, 1, 255, 0]])


# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision
# deficiency" (2009), severity 1.0: linear RGB as seen without one kind of cone.
BLIND = {
    "none": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    "monochromacy": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}


@pytest.mark.parametrize("kind", BLIND)
def test_the_colours_of_errors_differ_in_brightness_for_everyone(kind):
    colours = overlay.ERRORS.colour(np.array([0, 1, 255])) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(BLIND[kind]), 0, 1)
    right, wrong, void = seen @ [0.2126, 0.7152, 0.0722]
    contrast = [(wrong + 0.05) / (right + 0.05), (void + 0.05) / (wrong + 0.05)]  # WCAG 2
    assert contrast[0] >= 3
    assert contrast[1] >= 1.5


def test_a_comparison_has_four_pictures_and_two_legends(image):
    truth, prediction = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    truth[:10], prediction[30:] = 255, 1
    sheet = overlay.compared(image, truth, prediction, SPEC)
    assert sheet.shape[1] == overlay.strip([image, image], ["", ""]).shape[1]
    found = {tuple(colour) for colour in sheet.reshape(-1, 3)}
    assert {*SPEC.palette[:2], *overlay.ERRORS.palette, (224, 224, 192)} <= found
