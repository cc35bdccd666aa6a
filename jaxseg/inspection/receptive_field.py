"""The exact receptive field of the positions of a feature map, along one axis.

Position i of a map sees the pixels first[i] .. last[i], without the holes of atrous kernels. A
window of k taps at rate r, stride s and padding p maps this to

    first'[i] = first[s i - p]      last'[i] = last[s i - p + r (k - 1)]

where the map is continued outside as it is inside, so that the field near a border is that of an
unbounded image, clipped at the border. For convolutions and pools this is the recurrence of Araujo
et al. ("Computing receptive fields of convolutional neural networks", Distill, 2019): size' = size
+ (k - 1) r step, step' = s step. For a resize it follows the interpolation, so it stays exact in
decoders.
"""

import dataclasses
import math
from fractions import Fraction

import numpy as np


@dataclasses.dataclass(frozen=True)
class Span:
    """The receptive fields of the positions along one axis of a map.

    Attributes:
      first: float64 [n]: first pixel that position i sees; infinity if it sees none by itself.
      last: float64 [n]: last pixel that position i sees; minus infinity if none.
      step: pixels of the image between two neighbouring positions: the stride of the map.
      whole: every position also sees the whole image, through a mean over the map.
      period: number of positions after which the pattern of `first` and `last` repeats; 1 for maps
        that were never upsampled.
    """

    first: np.ndarray
    last: np.ndarray
    step: float
    whole: bool = False
    period: int = 1

    @property
    def size(self) -> int | None:
        """The largest number of pixels that a position sees; None if it sees none by itself."""
        if not np.isfinite(self.first).all():
            return None
        return int((self.last - self.first).max()) + 1

    def __len__(self) -> int:
        return len(self.first)


def image_span(length: int) -> Span:
    """The span of the image, in which each pixel sees itself."""
    return Span(np.arange(length, dtype=float), np.arange(length, dtype=float), 1.0)


def _at(edge: np.ndarray, index: np.ndarray, span: Span) -> np.ndarray:
    """edge[index], extended beyond both ends in whole periods."""
    period = min(span.period, len(edge))
    before = -(np.minimum(index, 0) // period)
    after = -(np.minimum(len(edge) - 1 - index, 0) // period)
    periods = after - before
    return edge[index - periods * period] + periods * period * span.step


def window(
    span: Span,
    outputs: int,
    *,
    taps: int,
    stride: int = 1,
    rate: int = 1,
    padding: int = 0,
    upsampling: int = 1,
) -> Span:
    """The span after a convolution or pool along the axis.

    Args:
      span: of the input.
      outputs: length of the output.
      taps: length of the kernel.
      stride: of the output grid, in positions of the input.
      rate: distance between taps.
      padding: before the first position.
      upsampling: distance between inputs after zeros are inserted (a transposed convolution); 1:
        none are inserted.
    """
    start = np.arange(outputs) * stride - padding
    end = start + rate * (taps - 1)
    begin, stop = -(-start // upsampling), end // upsampling
    period = span.period * upsampling
    return Span(
        np.floor(_at(span.first, begin, span)),
        np.ceil(_at(span.last, stop, span)),
        span.step * stride / upsampling,
        span.whole,
        period // math.gcd(period, stride),
    )


def resampled(span: Span, lower: np.ndarray, upper: np.ndarray) -> Span:
    """The span after an interpolation or gather: output i reads inputs lower[i] .. upper[i]."""
    inputs, outputs = len(span), len(lower)
    whole_factor = inputs % outputs == 0 or outputs % inputs == 0 or outputs == 1
    ratio = Fraction(inputs, outputs) if whole_factor else Fraction(inputs - 1, outputs - 1)
    period = span.period * ratio.denominator
    return Span(
        span.first[lower],
        span.last[upper],
        span.step * float(ratio),
        span.whole,
        period // math.gcd(period, ratio.numerator),
    )


def sliced(span: Span, start: int, limit: int, stride: int = 1) -> Span:
    """Positions start, start + stride, ... below limit, continued outside the map."""
    index = np.arange(start, limit, stride)
    return Span(
        np.floor(_at(span.first, index, span)),
        np.ceil(_at(span.last, index, span)),
        span.step * stride,
        span.whole,
        span.period // math.gcd(span.period, stride),
    )


def pooled(span: Span) -> Span:
    """The span after a mean over the whole axis: one position that sees everything."""
    nothing = np.array([np.inf])
    return Span(nothing, -nothing, span.step * len(span), True)


def unknown(length: int) -> Span:
    """The span after an unknown operation: each position may see the whole image."""
    return Span(np.full(length, np.inf), np.full(length, -np.inf), np.nan, True)


def repeated(span: Span, outputs: int) -> Span:
    """One position copied to `outputs` positions."""
    return Span(
        np.repeat(span.first, outputs), np.repeat(span.last, outputs), span.step, span.whole
    )


def union(a: Span, b: Span) -> Span:
    """The span of the sum, product or concatenation of two maps on one grid.

    On two grids, such as the levels of a pyramid from which RoIs are pooled, it is unknown.
    """
    if len(a) != len(b):
        a, b = (repeated(s, max(len(a), len(b))) if len(s) == 1 else s for s in (a, b))
    if len(a) != len(b):
        return unknown(max(len(a), len(b)))
    # A pooled map that is repeated over the grid has a larger step; fmin ignores unknown steps.
    step = float(np.fmin(a.step, b.step))
    return Span(np.minimum(a.first, b.first), np.maximum(a.last, b.last), step, a.whole or b.whole)
