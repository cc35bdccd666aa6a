"""Headers of images that end anywhere: read or passed on, never an error of their own."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.readers import image_headers


def encoded(kind, **options):
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.mark.parametrize(
    "data",
    [encoded("JPEG"), encoded("JPEG", progressive=True, exif=TURNED), encoded("PNG")],
    ids=["jpeg", "progressive", "png"],
)
def test_a_file_that_ends_anywhere_has_the_size_of_the_whole_or_none(data):
    assert image_headers.plain(data)[:2] == (8, 9)
    for length in range(len(data)):
        found = image_headers.plain(data[:length])
        assert found is None or found[:2] == (8, 9)
