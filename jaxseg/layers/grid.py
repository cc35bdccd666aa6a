"""Where the pixels of a map lie in the image, followed exactly from layer to layer.

Along one axis pixel i of a map has its centre at start + i stride, in pixels of the image. Caffe's
coord_map.py, from which FCN takes its crops, composes the same maps: a convolution or pooling of
kernel k, stride s and padding p has output o on input s o + (k - 1) / 2 - p, a transposed one has
input i on output s i + (k - 1) / 2 - p.
"""

import dataclasses
from fractions import Fraction
from typing import Self


@dataclasses.dataclass(frozen=True)
class Grid:
    """The pixels of a map along one axis; of both axes, where those are treated alike."""

    start: Fraction = Fraction(0)  # of the image's pixels, from the centre of its first one
    stride: Fraction = Fraction(1)

    def after(self, kernel: int, stride: int = 1, *, padding: int = 0, rate: int = 1) -> Self:
        """Of the output of a convolution or pooling."""
        shift = Fraction(rate * (kernel - 1), 2) - padding
        return type(self)(self.start + shift * self.stride, self.stride * stride)

    def upsampled(self, kernel: int, stride: int) -> Self:
        """Of the output of a transposed convolution without padding."""
        step = self.stride / stride
        return type(self)(self.start - Fraction(kernel - 1, 2) * step, step)

    def index_in(self, other: "Grid") -> Fraction:
        """The pixel of a map with the same stride that lies on this map's first one.

        A whole number where the two maps can be laid on each other; negative where this one begins
        before the other.

        Raises:
          ValueError: the strides differ.
        """
        if self.stride != other.stride:
            raise ValueError(f"maps of strides {self.stride} and {other.stride} are not aligned")
        return (self.start - other.start) / self.stride
