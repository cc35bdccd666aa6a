"""The exact positions of a feature map's pixels in the image, traced from layer to layer.

Along one axis the centre of pixel i of a map is at start + i stride, in pixels of the image.
Caffe's coord_map.py, which computes FCN's crops, composes the same maps: in a convolution or
pooling with kernel k, stride s and padding p, output o is centred on input s o + (k - 1) / 2 - p;
in a transposed convolution, input i is centred on output s i + (k - 1) / 2 - p.
"""

import dataclasses
from fractions import Fraction
from typing import Self


@dataclasses.dataclass(frozen=True)
class Grid:
    """The positions of a map's pixels along one axis, or along both if they are treated alike."""

    start: Fraction = Fraction(0)  # in image pixels, from the centre of the first one
    stride: Fraction = Fraction(1)  # in image pixels

    def after(self, kernel: int, stride: int = 1, *, padding: int = 0, rate: int = 1) -> Self:
        """Returns the grid of the output of a convolution or pooling."""
        shift = Fraction(rate * (kernel - 1), 2) - padding
        return type(self)(self.start + shift * self.stride, self.stride * stride)

    def upsampled(self, kernel: int, stride: int) -> Self:
        """Returns the grid of the output of a transposed convolution without padding."""
        step = self.stride / stride
        return type(self)(self.start - Fraction(kernel - 1, 2) * step, step)

    def index_in(self, other: "Grid") -> Fraction:
        """Returns the index of this map's first pixel on the grid of another map of this stride.

        It is an integer if the two grids are aligned, and negative if this map starts before the
        other.

        Raises:
          ValueError: the strides differ.
        """
        if self.stride != other.stride:
            raise ValueError(f"maps of strides {self.stride} and {other.stride} are not aligned")
        return (self.start - other.start) / self.stride
