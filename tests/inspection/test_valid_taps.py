"""Atrous rates against the maps of training crops: shares of Figure 4's kind, and the warning."""

import numpy as np
import pytest

from jaxseg.backbones.resnet import ResNet
from jaxseg.inspection import valid_taps
from jaxseg.models.deeplab_v3 import DeepLabV3


def counted(size, kernel_size, rate):
    """The share of outer taps on the map, tap by tap."""
    (height, width), half = size, kernel_size // 2
    on, off = 0, 0
    for y in range(height):
        for x in range(width):
            for i in range(-half, half + 1):
                for j in range(-half, half + 1):
                    if i or j:
                        inside = 0 <= y + i * rate < height and 0 <= x + j * rate < width
                        on, off = on + inside, off + (not inside)
    return on / (on + off)


@pytest.mark.parametrize(
    ("size", "kernel_size", "rate"),
    [((33, 33), 3, 18), ((12, 16), 3, 12), ((12, 16), 3, 18), ((7, 5), 5, 2), ((9, 9), 3, 1)],
)
def test_share_of_outer_taps(size, kernel_size, rate):
    np.testing.assert_allclose(
        valid_taps.outer_taps(size, kernel_size, rate), counted(size, kernel_size, rate), atol=1e-12
    )


def model(rates, separable=False):
    backbone = ResNet(depth=18, width=4, output_stride=16)
    return DeepLabV3(3, backbone, atrous_rates=rates, aspp_features=4, aspp_separable=separable)


def test_finds_every_atrous_convolution_with_the_size_of_its_map():
    found = valid_taps.reaches(model((6, 12, 18)), (192, 256))
    aspp = {path: r for path, r in found.items() if path.startswith("aspp")}
    assert sorted((r.rate, r.size) for r in aspp.values()) == [
        (6, (12, 16)),
        (12, (12, 16)),
        (18, (12, 16)),
    ]
    assert {r.rate for path, r in found.items() if path.startswith("backbone")} == {2}


@pytest.mark.parametrize("separable", [False, True])
def test_warns_of_taps_that_only_evaluation_sees(separable):
    lines = valid_taps.unreached(model((6, 12, 18), separable), (192, 256), (360, 480))
    assert len(lines) == 2
    assert "at rate 12, 6% of its outer taps see the 12 x 16 map" in lines[0]
    assert "at rate 18, 0% of its outer taps see the 12 x 16 map" in lines[1]


@pytest.mark.parametrize(
    ("rates", "crop", "frame"),
    [
        ((6, 12, 18), (513, 513), (513, 513)),  # the paper's
        ((2, 4, 6), (192, 256), (360, 480)),
        ((6, 12, 18), (192, 256), (192, 256)),  # as wasteful, but the same at evaluation
    ],
)
def test_is_silent_otherwise(rates, crop, frame):
    assert valid_taps.unreached(model(rates), crop, frame) == []


def test_no_atrous_convolution_at_all():
    backbone = ResNet(depth=18, width=4, output_stride=32)
    small = DeepLabV3(3, backbone, atrous_rates=(), aspp_features=4)
    assert valid_taps.unreached(small, (64, 64), (128, 128)) == []
