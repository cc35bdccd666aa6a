"""Hue of SSD's distortion as torchvision turns it."""

import numpy as np
import pytest

from jaxseg.data.augment import colour

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("degrees", [-36.0, 11.0, 36.0])
@pytest.mark.usefixtures("torchvision")
def test_hue(degrees):
    from torchvision.transforms.v2 import functional

    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    planes = torch.from_numpy(image).permute(2, 0, 1) / 255
    turned = functional.adjust_hue(planes, degrees / 360).permute(1, 2, 0).numpy() * 255
    found = colour.distort(image, colour.Distortion(hue=degrees))
    assert np.abs(found - turned).max() <= 0.51
