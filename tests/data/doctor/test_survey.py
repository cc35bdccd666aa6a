import numpy as np
import pytest

from jaxseg.data.doctor import survey
from jaxseg.data.labels import LabelSpec

SPEC = LabelSpec(("a", "b", "c"), ((0, 0, 0),) * 3, {10: 0, 20: 1, 30: 2, 0: 255})


def found(masks, images=None):
    rng = np.random.default_rng(0)
    findings = []
    for i, mask in enumerate(masks):
        mask = np.array(mask, np.uint8)
        image = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
        if images is not None:
            images.append(image)
        findings.append(survey.count(str(i), "train", "grey", image, mask))
    return survey.Survey(findings, SPEC)


def test_median_frequency_by_hand():
    """Class a: 4 of 6 and 1 of 4 valid pixels; b: 2 of 6; c: 3 of 4. Void counts nowhere."""
    each = found([[[10, 10, 10, 10], [20, 20, 0, 0]], [[10, 30, 30, 30]]])
    frequency = np.array([5 / 10, 2 / 6, 3 / 4])
    np.testing.assert_allclose(each.median_frequency_weights(), np.median(frequency) / frequency)
    np.testing.assert_array_equal(each.class_pixels(), [5, 2, 3])
    np.testing.assert_array_equal(each.class_images(), [2, 1, 1])
    assert each.void_share() == pytest.approx(2 / 12)


def test_absent_classes_weigh_one_and_do_not_move_the_median():
    weights = found([[[10, 10, 10, 20]]]).median_frequency_weights()
    np.testing.assert_allclose(weights, [0.5 / 0.75, 0.5 / 0.25, 1.0])


def test_mean_and_deviation_are_numpys():
    images = []
    each = found([[[10, 20], [30, 0]], [[10, 20, 30]]], images)
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
    mean, deviation = each.mean_and_deviation()
    np.testing.assert_allclose(mean, pixels.mean(0))
    np.testing.assert_allclose(deviation, pixels.std(0))


def test_unknown_ids_and_their_examples():
    each = found([[[10, 77]], [[77, 88]]])
    assert each.unknown() == {77: ["0", "1"], 88: ["1"]}
    assert each.raw_pixels() == {10: 1, 77: 2, 88: 1}


def test_duplicates_are_found_by_pixels_and_shape():
    image = np.zeros((2, 3, 3), np.uint8)
    mask = np.full((2, 3), 10, np.uint8)
    one = survey.count("a", "train", "", image, mask)
    two = survey.count("b", "val", "", image.copy(), mask)
    turned = survey.count("c", "val", "", image.reshape(3, 2, 3), mask.reshape(3, 2))
    other = survey.count("d", "val", "", image + np.uint8(1), mask)
    groups = survey.duplicates(
        {"train": survey.Survey([one], SPEC), "val": survey.Survey([two, turned, other], SPEC)}
    )
    assert [[finding.name for finding in group] for group in groups] == [["a", "b"]]


def test_suggested_sizes_are_the_papers():
    voc, cityscapes = [(500, 375), (375, 500)], [(1024, 2048)]
    assert survey.evaluation_size(voc) == (513, 513)
    assert survey.training_crop(voc) == (513, 513)
    assert survey.evaluation_size(cityscapes) == (1025, 2049)
    assert survey.training_crop(cityscapes) == (769, 769)
