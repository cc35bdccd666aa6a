import numpy as np
import pytest

from jaxseg.data.builders import shapes

SAMPLE = 150


@pytest.fixture(scope="module")
def sample():
    return [shapes.draw_example(0, "train", i, 128) for i in range(SAMPLE)]


def test_an_example_is_a_function_of_seed_split_and_index(sample):
    image, label = shapes.draw_example(0, "train", 3, 128)
    np.testing.assert_array_equal(image, sample[3][0])
    np.testing.assert_array_equal(label, sample[3][1])
    for other in ((1, "train", 3), (0, "val", 3), (0, "train", 4)):
        assert (shapes.draw_example(*other, 128)[0] != image).any()


def test_every_class_and_void_occur_and_balance_is_poor(sample):
    counts = np.sum([np.bincount(label.ravel(), minlength=256) for _, label in sample], axis=0)
    assert (counts[:7] > 0).all()
    assert counts[7:255].sum() == 0
    share = counts[:7] / counts[:7].sum()
    assert share[0] > 0.7
    assert share[shapes.CROSS] < 0.004
    assert share[1:].min() == share[shapes.CROSS]


def test_a_void_border_of_one_pixel_parts_every_object_from_the_rest(sample):
    for _, label in sample:
        for a, b in ((label[:, 1:], label[:, :-1]), (label[1:], label[:-1])):
            change = a != b
            assert ((a == 255) | (b == 255))[change].all()


def regions(label, train_id):
    import cv2

    _, _, stats, centres = cv2.connectedComponentsWithStats((label == train_id).astype(np.uint8))
    return list(zip(stats[1:], centres[1:], strict=True))


def test_sizes_span_more_than_a_factor_of_ten(sample):
    sides = [
        max(stats[2], stats[3])
        for _, label in sample
        for kind in (shapes.DISC, shapes.SQUARE, shapes.TRIANGLE)
        for stats, _ in regions(label, kind)
        if min(stats[0], stats[1]) > 0 and max(stats[0] + stats[2], stats[1] + stats[3]) < 128
    ]  # of the objects that the border does not cut
    assert max(sides) > 10 * min(sides)


def test_only_the_frame_tells_captive_from_disc(sample):
    """Discs inside a frame are captives, and outside none is; colours and sizes do not tell."""
    colours, radii = {1: [], 5: []}, {1: [], 5: []}
    for image, label in sample:
        frame = np.argwhere(label == shapes.FRAME)
        for kind in (shapes.DISC, shapes.CAPTIVE):
            for stats, (x, y) in regions(label, kind):
                colours[kind].append(image[int(y), int(x)])
                radii[kind].append(max(stats[2], stats[3]) / 2)
                if kind == shapes.CAPTIVE:
                    top, left = frame.min(0)
                    bottom, right = frame.max(0)
                    assert top < y < bottom or top == 0 or bottom == 127
                    assert left < x < right or left == 0 or right == 127
    assert min(len(values) for values in radii.values()) > SAMPLE / 2
    means = [np.mean(values, axis=0) for values in colours.values()]
    assert np.abs(means[0] - means[1]).max() < 40
    assert np.median(radii[1]) == pytest.approx(np.median(radii[5]), rel=0.4)


def test_frames_are_thin(sample):
    import cv2

    for _, label in sample:
        frame = np.pad((label == shapes.FRAME).astype(np.uint8), 1)  # it may lie along an edge
        distance = cv2.distanceTransform(frame, cv2.DIST_C, 3)
        assert distance.max() <= 3


def test_any_size():
    image, label = shapes.draw_example(0, "val", 0, 96)
    assert (image.shape, label.shape) == ((96, 96, 3), (96, 96))
