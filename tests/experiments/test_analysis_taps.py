"""Valid weights (DeepLab v3, Figure 4) and gridding of the analysis, against counting."""

import functools
import itertools

import numpy as np
import pytest

from experiments import quickstart
from experiments.analysis import chains, pictures, taps
from experiments.deeplab_v1 import voc
from jaxseg.backbones.resnet import ResNet
from jaxseg.inspection import summary, valid_taps
from jaxseg.models.deeplab_v3 import DeepLabV3

# Block 4 at rate 2 times the multi-grid (1, 2, 4); facts, DeepLab v3.
V3 = DeepLabV3(
    3, ResNet(depth=50, width=4, output_stride=16, multi_grid=(1, 2, 4), stride_at="last_3x3")
)


@functools.cache
def layers(model, size):
    return summary.summarize(model, size).layers


@pytest.mark.parametrize(
    ("size", "rate", "kernel_size"),
    [((9, 9), 1, 3), ((9, 7), 4, 3), ((6, 8), 7, 3), ((9, 9), 2, 5)],
)
def test_valid_weights_are_those_that_are_counted(size, rate, kernel_size):
    offsets = [rate * (tap - kernel_size // 2) for tap in range(kernel_size)]
    counted = {}
    for y, x in itertools.product(*map(range, size)):
        number = sum(
            0 <= y + i < size[0] and 0 <= x + j < size[1]
            for i, j in itertools.product(offsets, offsets)
        )
        counted[number] = counted.get(number, 0) + 1
    assert taps.valid_weights(size, rate, kernel_size) == dict(sorted(counted.items()))


def test_figure_4_of_deeplab_v3():
    """A 3x3 filter on a 65 x 65 map degenerates to 1x1 as its rate comes near the map's size.

    The paper prints curves of 1, 4 and 9 valid weights, no numbers: these are exact ones.
    """
    curve = {found.rate: found for found in taps.curves(65, range(1, 101))}
    total = 65**2
    assert curve[1].positions[9] == 63**2 / total
    assert curve[32].positions == {4: 64**2 / total, 6: 2 * 64 / total, 9: 1 / total}
    assert curve[33].positions == {1: 1 / total, 2: 2 * 64 / total, 4: 64**2 / total}
    assert curve[64].positions == {1: 63**2 / total, 2: 4 * 63 / total, 4: 4 / total}
    assert curve[65].positions == curve[100].positions == {1: 1.0}
    shares = np.array([[found.positions.get(n, 0) for n in (9, 1)] for found in curve.values()])
    assert (np.diff(shares[:, 0]) <= 0).all()
    assert (np.diff(shares[:, 1]) >= 0).all()


@pytest.mark.parametrize(("length", "rate"), [(33, 6), (33, 18), (65, 36), (65, 70)])
def test_positions_and_outer_taps_agree(length, rate):
    found = taps.validity("", (length, length), rate)
    mean = sum(number * share for number, share in found.positions.items())
    assert mean == pytest.approx(1 + 8 * valid_taps.outer_taps((length, length), 3, rate))
    assert sum(found.positions.values()) == pytest.approx(1)


def test_the_atrous_layers_of_deeplab_v3():
    """Facts, DeepLab v3: multi-grid (1, 2, 4) at rate 2, and ASPP 6, 12, 18 on 33 x 33 maps."""
    found = taps.of_layers(layers(V3, (513, 513)))
    assert [(v.rate, v.size) for v in found] == [(r, (33, 33)) for r in (2, 4, 8, 6, 12, 18)]
    assert {v.name.removesuffix("/conv"): v.outer for v in found} == {
        path.removesuffix("/conv"): pytest.approx(seen.share)
        for path, seen in valid_taps.reaches(V3, (513, 513)).items()
    }
    assert found[-1].degenerate == pytest.approx((2 * 18 - 33) ** 2 / 33**2)


@pytest.mark.parametrize("rates", [(2, 2, 2), (1, 2, 3), (1, 2, 4), (2, 4, 8), (4,), (1, 1)])
def test_ways_are_those_that_are_counted(rates):
    sums = [sum(offsets) for offsets in itertools.product(*((-r, 0, r) for r in rates))]
    found = chains.chain("", rates)
    half = sum(rates)
    assert found.size == 2 * half + 1
    assert found.ways().tolist() == [sums.count(offset) for offset in range(-half, half + 1)]


def test_gridding_and_its_cure():
    """Rates 2, 2, 2 see every second position of every second row, 7 x 7 of 13 x 13."""
    equal, hybrid = chains.chain("", (2, 2, 2)), chains.chain("", (1, 2, 3))
    assert equal.size == hybrid.size == 13
    assert equal.untouched == pytest.approx(1 - 49 / 169)
    assert hybrid.untouched == 0
    # Multi-grid (1, 2, 4) on a map without rate leaves no hole; at rate 2 only those of rate 2.
    assert chains.chain("", (1, 2, 4)).untouched == 0
    grid, plain = chains.chain("", (4, 8, 16)), chains.chain("", (4, 4, 4))
    assert grid.untouched == pytest.approx(1 - (15 / 57) ** 2)
    assert plain.untouched == pytest.approx(1 - (7 / 25) ** 2)
    assert equal.roughness > 1.8
    assert hybrid.roughness < 0.25
    with pytest.raises(ValueError, match="rates 2,0 must be at least 1"):
        chains.chain("", (2, 0))


@pytest.mark.parametrize(
    ("model", "stride", "rates"),
    [
        (V3, 16, (2, 4, 8)),
        # Facts, section 0: at output stride 8 all units of block 3 have rate 2, of block 4 rate 4.
        (ResNet(depth=50, width=4, output_stride=8, stride_at="last_3x3"), 8, (2,) * 6 + (4,) * 3),
        (voc.get_config().model, 8, (2, 2, 2)),
        (quickstart.get_config().model, 16, (2, 2, 2)),
    ],
    ids=("v3", "resnet", "v1", "quickstart"),
)
def test_chains_of_models(model, stride, rates):
    whole, *atrous = chains.of_layers(layers(model, (513, 513) if model is V3 else (97, 97)))
    assert whole.stride == stride
    ones = len(whole.rates) - len(rates)
    assert whole.rates == (1,) * ones + rates
    if ones:
        assert whole.untouched == 0  # what stands before fills every hole
        assert [chain.rates for chain in atrous] == [rates]
        assert atrous[0].untouched > 0.7


def test_pictures_are_drawn():
    own = taps.of_layers(layers(V3, (513, 513)))
    curve = taps.curves(9, range(1, 12))
    for figure in (
        pictures.valid_taps(curve, {9: curve}, own),
        pictures.valid_taps(curve, {9: curve}, []),
        pictures.gridding([chains.chain(str(n), (n, n)) for n in range(1, 6)]),
    ):
        figure.canvas.draw()
        assert figure.axes
