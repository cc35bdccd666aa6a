import numpy as np
import pytest

from jaxseg.data.padding import pad_to


def test_pad_to():
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    label = rng.integers(0, 19, (5, 6), dtype=np.uint8)
    padded, ids = pad_to(image, label, (7, 6), (1.5, 2, 3))
    assert (padded[5:] == (2, 2, 3)).all()
    assert (ids[5:] == 255).all()
    np.testing.assert_array_equal(padded[:5], image)
    np.testing.assert_array_equal(ids[:5], label)
    with pytest.raises(ValueError, match="5 x 6 does not fit in 5 x 5"):
        pad_to(image, label, (5, 5), (0, 0, 0))
