"""The law of stride and rate: published rates, and the theorem on random convolution chains."""

import itertools

import numpy as np
import pytest
from jax import lax

from jaxseg.layers.atrous import AtrousLaw
from jaxseg.layers.conv import conv

HALVINGS = (2, 2, 1, 2, 1, 2, 1, 2, 1)


@pytest.mark.parametrize(
    ("output_stride", "strides", "rates"),
    [
        (32, [2, 2, 1, 2, 1, 2, 1, 2, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (16, [2, 2, 1, 2, 1, 2, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1, 2]),
        (8, [2, 2, 1, 2, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 2, 2, 4]),
        (4, [2, 2, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 2, 2, 4, 4, 8]),
        (1, [1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 2, 4, 4, 8, 8, 16, 16, 32]),
    ],
)
def test_rate_is_nominal_over_actual_stride_of_the_input(output_stride, strides, rates):
    law = AtrousLaw(output_stride)
    assert [law.step(stride) for stride in HALVINGS] == list(zip(strides, rates, strict=True))
    assert (law.nominal, law.actual, law.rate) == (32, output_stride, 32 // output_stride)


def test_an_output_stride_between_two_strides_is_refused():
    law = AtrousLaw(6)
    law.step(4)
    with pytest.raises(ValueError, match="output_stride is 6: the network goes from stride 4 to 8"):
        law.step(2)


# (kernel size, stride, factor by which the paper multiplies the rate)
CHAINS = [
    ((3, 2, 1), (3, 2, 1), (3, 1, 1)),
    ((7, 2, 1), (1, 2, 1), (3, 2, 1), (3, 1, 2), (3, 1, 4)),
    ((3, 3, 1), (5, 1, 1), (3, 2, 2), (3, 1, 3)),
]


def _run(chain, kernels, x, output_stride, *, convolve=conv):
    law = AtrousLaw(output_stride)
    for (_, nominal, factor), kernel in zip(chain, kernels, strict=True):
        stride, rate = law.step(nominal)
        x = np.maximum(convolve(x, kernel, stride=stride, rate=rate * factor) + 0.1, 0)
    return np.asarray(x), law


def _random(chain, size):
    rng = np.random.default_rng(0)
    kernels = [
        (rng.normal(size=(k, k, 2, 2)) / k).astype(np.float32)  # keeps the scale of features
        for k, _, _ in chain
    ]
    return kernels, rng.normal(size=(1, *size, 2)).astype(np.float32)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("size", [(41, 36), (40, 37)])
def test_dense_features_subsampled_are_the_strided_features(chain, size):
    kernels, x = _random(chain, size)
    total = int(np.prod([stride for _, stride, _ in chain]))
    nominal, _ = _run(chain, kernels, x, total)
    partial = itertools.accumulate((stride for _, stride, _ in chain), np.multiply)
    for output_stride in {1, *partial}:
        dense, law = _run(chain, kernels, x, int(output_stride))
        assert law.actual == output_stride
        step = total // output_stride
        np.testing.assert_allclose(dense[:, ::step, ::step], nominal, rtol=1e-5, atol=1e-5)


def _same(x, kernel, *, stride, rate):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        rhs_dilation=(rate, rate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _is_identical(size, convolve):
    kernels, x = _random(CHAINS[0], size)
    nominal, _ = _run(CHAINS[0], kernels, x, 4, convolve=convolve)
    dense, _ = _run(CHAINS[0], kernels, x, 2, convolve=convolve)
    return np.allclose(dense[:, ::2, ::2], nominal, rtol=1e-5, atol=1e-5)


def test_the_theorem_needs_symmetric_padding():
    assert _is_identical((40, 40), conv)
    assert _is_identical((41, 41), _same)
    assert not _is_identical((40, 40), _same)


def test_the_theorem_needs_the_old_rate_where_a_stride_is_omitted():
    def eager(x, kernel, *, stride, rate):
        """The second convolution of the chain uses the new rate when its stride is omitted."""
        left_out = x.shape[1] == 20 and stride == 1 and kernel is kernels[1]
        return conv(x, kernel, stride=stride, rate=2 if left_out else rate)

    kernels, x = _random(CHAINS[0], (40, 40))
    nominal, _ = _run(CHAINS[0], kernels, x, 4, convolve=eager)
    dense, _ = _run(CHAINS[0], kernels, x, 2, convolve=eager)
    assert not np.allclose(dense[:, ::2, ::2], nominal, rtol=1e-2, atol=1e-2)
