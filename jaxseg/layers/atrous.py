"""The law that gives the strides and atrous rates of every backbone.

**Law.** The rate of a convolution is the nominal stride of its input divided by the actual stride
of its input. The nominal stride is that of the network as it was designed; the actual stride is
what remains when strides that would exceed `output_stride` are omitted.

**Theorem.** With the law, the features at a small output stride, sub-sampled, are exactly those of
the nominal network, for any image size and the same parameters (Chen et al., arXiv 1412.7062,
section 3.1, and 1706.05587, section 3.1).

Proof. Identify a pixel of any map by its position p in the image; along one axis of n pixels, a map
of stride s holds the multiples of s below n. Let a map have nominal stride N and actual stride a,
and let the computed map agree with the nominal one wherever p is a multiple of N. (For the image
itself, N = a = 1.) In the nominal network, a convolution with kernel w and stride t, with c taps on
each side, gives at each multiple p of t N

    sum over k = -c .. c of  w[k] f(p + k N),   f = 0 outside the image.

The computed convolution has taps r = N / a apart on a grid of stride a, so it reads f at p + k r a
= p + k N: the same positions, all multiples of N, where the maps agree, and the same zeros outside.
It is computed at each multiple of a if the stride is omitted, of t a if it is not, and t N is a
multiple of both. So its output agrees with the nominal one wherever p is a multiple of the new
nominal stride t N. Operations on single pixels (ReLU, addition, batch norm with running statistics,
a 1x1 convolution) trivially preserve this. By induction it holds for the last map.

The proof rests on three conditions. Padding is symmetric, so that output 0 is at p = 0 and zeros
are only outside the image ('SAME' shifts the grid by a pixel on even sizes). The convolution that
loses its stride keeps the rate of its own input; the new rate begins at the next one. And a factor
by which the paper multiplies a rate (multi-grid, LargeFOV) is applied at every output stride. The
theorem does not hold in training, where batch norm sees different pixels at each output stride.
"""

import dataclasses


@dataclasses.dataclass
class AtrousLaw:
    """Walks through a network convolution by convolution and gives the stride and rate of each.

    Fields:
      output_stride: the largest actual stride; strides that would exceed it are omitted.
      nominal: stride of the current map in the network as it was designed.
      actual: stride of that map as it is computed.
    """

    output_stride: int
    nominal: int = 1
    actual: int = 1

    @property
    def rate(self) -> int:
        """The rate of a convolution on the current map."""
        return self.nominal // self.actual

    def step(self, stride: int = 1) -> tuple[int, int]:
        """Advances past one convolution of nominal stride `stride`.

        Returns:
          The stride and the rate with which to compute it.

        Raises:
          ValueError: `output_stride` falls between two strides of the network.
        """
        rate = self.rate
        used = stride if self.actual < self.output_stride else 1
        if self.actual * used > self.output_stride:
            raise ValueError(
                f"output_stride is {self.output_stride}: the network goes from stride "
                f"{self.actual} to {self.actual * stride}"
            )
        self.nominal *= stride
        self.actual *= used
        return used, rate

    def check_reached(self) -> None:
        """Checks, at the end of a network, that its stride has reached `output_stride`.

        Raises:
          ValueError: `output_stride` is larger than the stride of the network.
        """
        if self.actual < self.output_stride:
            raise ValueError(
                f"output_stride is {self.output_stride}: the network ends at stride {self.actual}"
            )
