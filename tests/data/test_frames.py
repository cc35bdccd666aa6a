"""The frame of an image, and how images are grouped by it."""

import pytest

from jaxseg.data import frames


@pytest.mark.parametrize(
    ("image", "size", "crop", "expected"),
    [
        ((375, 500), (513, 513), (257, 257), (513, 513)),
        ((513, 513), (513, 513), (257, 257), (513, 513)),
        ((514, 100), (513, 513), (257, 257), (641, 257)),
        ((375, 500), (0, 0), (129, 129), (385, 513)),
        ((128, 128), (0, 0), (128, 128), (128, 128)),
        ((360, 480), (0, 0), (192, 256), (448, 512)),
        ((1, 1), (0, 0), (65, 65), (65, 65)),
    ],
)
def test_images_are_padded_to_few_sizes_like_those_of_the_training(image, size, crop, expected):
    assert frames.Framing(size, crop).of(image) == expected
