"""Pixel positions against Caffe's composition of coordinate maps, and by probing convolutions."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.conv import conv
from jaxseg.layers.conv_transpose import bilinear_init, conv_transpose
from jaxseg.layers.grid import Grid


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "rate"),
    [(3, 1, 1, 1), (11, 4, 2, 1), (2, 2, 0, 1), (3, 2, 1, 2), (7, 3, 0, 4), (1, 2, 3, 1)],
)
def test_a_convolution_of_positions_gives_positions(kernel, stride, padding, rate):
    """The mean of a window over a ramp is the value of the ramp at the window's centre."""
    grid = Grid(Fraction(5, 2), Fraction(3))
    ramp = np.array([float(grid.start + i * grid.stride) for i in range(-padding, 40 + padding)])
    x = jnp.asarray(np.tile(ramp, (40 + 2 * padding, 1))[None, :, :, None])
    mean = jnp.full((kernel, kernel, 1, 1), 1 / kernel**2)
    y = conv(x, mean, stride=stride, rate=rate, padding=0, form="plain")[0, 0, :, 0]
    after = grid.after(kernel, stride, padding=padding, rate=rate)
    expected = [float(after.start + i * after.stride) for i in range(len(y))]
    np.testing.assert_allclose(y, expected, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 2), (64, 32), (63, 32)])
def test_a_bilinear_deconvolution_of_positions_gives_positions(kernel, stride):
    """Between the first and the last pixel, a ramp is preserved."""
    grid = Grid(Fraction(-3), Fraction(stride))
    ramp = np.array([float(grid.start + i * grid.stride) for i in range(4)])
    x = jnp.asarray(np.tile(ramp, (4, 1))[None, :, :, None], jnp.float32)
    y = conv_transpose(x, bilinear_init(None, (kernel, kernel, 1, 1)), stride=stride)
    upsampled = grid.upsampled(kernel, stride)
    inside = slice(stride, y.shape[2] - stride)
    expected = [float(upsampled.start + i * upsampled.stride) for i in range(y.shape[2])]
    np.testing.assert_allclose(y[0, y.shape[1] // 2, inside, 0], expected[inside], rtol=1e-5)


def test_coordinate_maps_of_caffe():
    """In coord_map.py, scale 1 / s and shift (p - (k - 1) / 2) / s map a pixel to an output."""
    grid = Grid()
    scale, shift = Fraction(1), Fraction(0)
    for kernel, stride, padding in [(3, 1, 100), (2, 2, 0), (3, 1, 1), (3, 2, 1), (7, 1, 0)]:
        grid = grid.after(kernel, stride, padding=padding)
        scale = scale / stride
        shift = (shift + padding - Fraction(kernel - 1, 2)) / stride
    assert (scale * grid.start + shift, scale) == (0, 1 / grid.stride)


def test_maps_of_different_strides_have_no_offset():
    with pytest.raises(ValueError, match="strides 1 and 2"):
        Grid().index_in(Grid(stride=Fraction(2)))
