"""The one law of stride and rate, from which every backbone takes both.

**Law.** The rate of a convolution is the nominal stride of its input over the actual stride of its
input. Nominal is the stride of the network as it was designed; actual is what remains when strides
that would pass `output_stride` are left out.

**Theorem.** With the law, the features at a small output stride, sub-sampled, are exactly those of
the nominal network, for any image size and the same parameters (Chen et al., arXiv 1412.7062,
section 3.1, and 1706.05587, section 3.1).

Proof. Name a pixel of any map by its place p in the image; along one axis of n pixels, a map of
stride s holds the multiples of s below n. Let a map have nominal stride N and actual stride a, and
let the map that is computed agree with the nominal one wherever p is a multiple of N. (The image
itself: N = a = 1.) A convolution of kernel w and stride t, c taps to each side, gives in the
nominal network, at each multiple p of t N,

    sum over k = -c .. c of  w[k] f(p + k N),   f = 0 outside of the image.

The computed one has taps r = N / a apart on a grid of stride a, so it reads f at p + k r a
= p + k N: the same places, all multiples of N, where the maps agree, and the same zeros outside.
It is computed at each multiple of a when the stride is left out, of t a when it is not, and t N is
a multiple of both. So its output agrees with the nominal one wherever p is a multiple of the new
nominal stride t N. What works on one pixel (ReLU, addition, batch norm with running statistics, a
1x1 convolution) keeps that trivially. By induction it holds for the last map.

Three conditions are in the proof. Padding is symmetric, so that output 0 lies on p = 0 and zeros
lie outside of the image only ('SAME' moves the grid by a pixel on even sizes). The convolution that
loses its stride keeps the rate of its own input; the new rate begins at the next one. And a factor
that the paper puts on a rate (multi-grid, LargeFOV) is put on it at every output stride. In
training, batch norm sees other pixels at another output stride, so there the theorem does not hold.
"""

import dataclasses


@dataclasses.dataclass
class AtrousLaw:
    """Walks through a network, convolution by convolution, and says stride and rate of each.

    Fields:
      output_stride: the largest actual stride; strides that would pass it are left out.
      nominal: stride of the map reached so far in the network as it was designed.
      actual: stride of that map as it is computed.
    """

    output_stride: int
    nominal: int = 1
    actual: int = 1

    @property
    def rate(self) -> int:
        """The rate of a convolution on the map reached so far."""
        return self.nominal // self.actual

    def step(self, stride: int = 1) -> tuple[int, int]:
        """Goes past one convolution of nominal stride `stride`.

        Returns:
          (stride, rate) to compute it with.

        Raises:
          ValueError: `output_stride` lies between two strides of the network.
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
        """At the end of a network: refuses an output stride that is larger than the network's.

        Raises:
          ValueError: what follows would take the map to be coarser than it is.
        """
        if self.actual < self.output_stride:
            raise ValueError(
                f"output_stride is {self.output_stride}: the network ends at stride {self.actual}"
            )
