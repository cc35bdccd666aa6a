"""Pictures of labels: colours where they belong, nothing changed where they do not."""

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


def test_overlay_mixes_inside_draws_borders_and_leaves_black_and_void(image):
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
    with pytest.raises(ValueError, match=r"\(40, 60\) cannot carry a label of \(40, 50\)"):
        overlay.overlay(image, label[:, :50], SPEC)


def test_the_legend_shows_the_colours_of_present_classes_only():
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


def test_a_legend_lies_under_the_overlay_also_of_a_narrow_image(image):
    label = np.full((40, 60), 1, np.uint8)
    sheet = overlay.overlay_with_legend(image, label, SPEC)
    assert sheet.shape[0] > 40
    np.testing.assert_array_equal(sheet[:40, :60], overlay.overlay(image, label, SPEC))


def test_a_strip_holds_every_image_unchanged(image):
    strip = overlay.strip([image, image[:20, :30]], ["image", "a title too long for its image"])
    top = strip.shape[0] - 40
    np.testing.assert_array_equal(strip[top:, :60], image)
    np.testing.assert_array_equal(strip[top + 10 : top + 30, -30:], image[:20, :30])
    with pytest.raises(ValueError, match="2 images cannot stand under 1 titles"):
        overlay.strip([image, image], ["one"])
