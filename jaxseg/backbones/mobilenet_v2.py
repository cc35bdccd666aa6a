"""MobileNetV2 (Sandler et al., arXiv 1801.04381, Table 2) as DeepLab uses it: up to 320 channels.

The names are those of the released code: layer_1 is the first convolution, layer_2 .. layer_18 are
the inverted residuals. Strides beyond the output stride become rates, layer by layer: the layer
that loses its stride keeps the current rate, and the layers after it use the new one.

Departure: padding is symmetric, where TensorFlow uses 'SAME'; this makes the output stride a field.
Both pad r zeros on each side of a 3x3 kernel of rate r at stride 1. At stride 2 on n pixels, 'SAME'
pads 2 (ceil(n / 2) - 1) + 3 - n in total: for odd n that is 2, one on each side, the symmetric
padding; for even n it is 1, after the last pixel, which shifts the grid by a pixel. An input of
k s + 1 pixels (257, 513) is odd for even s, and stride 2 turns it into k s / 2 + 1, which has the
same form: at such sizes every layer down to output stride s equals TensorFlow's.
"""

import functools

import flax.linen as nn

from jaxseg.layers.atrous import AtrousLaw
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import DepthwiseConv
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.types import Array

# Table 2: (expansion t, channels c, repetitions n, stride s of the first repetition).
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
EXPANDED_DIVISIBLE_BY = 8  # divisor of the expanded channels at any width, as in the released code
NORM = Norm(epsilon=1e-3, decay=0.997, groups=8)
INIT = nn.initializers.truncated_normal(0.09)  # as released; not stated in the paper


def scaled_channels(channels: float, divisible_by: int) -> int:
    """Rounds to a multiple of `divisible_by`, at least one and not below 0.9 * `channels`."""
    nearest = int(channels + divisible_by / 2) // divisible_by * divisible_by
    rounded = max(nearest, divisible_by)
    return rounded if rounded >= 0.9 * channels else rounded + divisible_by


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise and linear 1x1 projection (Figure 3b and section 3.3)."""

    features: int  # output channels
    expanded: int  # channels; no expansion if equal to the input's
    stride: int = 1  # of the depthwise convolution
    rate: int = 1  # of the depthwise convolution
    residual: bool = False  # add the input to the output
    norm: Norm = NORM
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """Returns the output [B, H/s, W/s, features] and the depthwise output before it."""
        point = functools.partial(
            ConvNorm,
            kernel_size=1,
            activate=False,
            kernel_init=INIT,
            norm=self.norm,
            compute=self.compute,
        )
        y = x
        if self.expanded != x.shape[-1]:
            y = nn.relu6(point(self.expanded, name="expand")(y, train=train))  # [B, H, W, expanded]
        y = DepthwiseConv(
            3,
            self.stride,
            self.rate,
            kernel_init=INIT,
            compute=self.compute,
            name="depthwise",
        )(y)  # [B, H/s, W/s, expanded]
        y = NormLayer(self.norm, self.compute.dtype, name="depthwise_norm")(y, train=train)
        depthwise = nn.relu6(y)
        y = point(self.features, name="project")(depthwise, train=train)  # [B, H/s, W/s, features]
        return (x + y if self.residual else y), depthwise


class MobileNetV2(nn.Module):
    """The feature extractor.

    Google's DeepLab models round channels to multiples of 8 at width 1 and of 1 at other widths;
    Keras rounds to multiples of 8 at any width. Parameters do not depend on the output stride.
    """

    width: float = 1.0  # the paper's width multiplier
    output_stride: int = 16  # 1, 2, 4, 8, 16 or 32
    divisible_by: int = 8  # scaled channels are rounded to a multiple of this
    norm: Norm = NORM
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        """Returns the end points of images [B, H, W, 3], scaled to -1..1 for the published weights.

        Returns:
          "layer_1" .. "layer_18"; "layer_2_depthwise" .. "layer_18_depthwise", after batch norm and
          ReLU6, of which DeepLab v3+ uses "layer_4_depthwise" (stride 4, 144 channels at width 1)
          as its low-level skip; "features", equal to "layer_18" [B, H/s, W/s, 320 width].

        Raises:
          ValueError: `output_stride` is not a power of two from 1 to 32.
        """
        law = AtrousLaw(self.output_stride)
        stride, rate = law.step(2)
        channels = scaled_channels(STEM_CHANNELS * self.width, self.divisible_by)
        x = ConvNorm(
            channels,
            stride=stride,
            rate=rate,
            activate=False,
            kernel_init=INIT,
            norm=self.norm,
            compute=self.compute,
            name="layer_1",
        )(x, train=train)
        x = nn.relu6(x)  # [B, H/2, W/2, 32 width]
        ends = {"layer_1": x}
        index = 1
        for expansion, base, repetitions, block_stride in BLOCKS:
            features = scaled_channels(base * self.width, self.divisible_by)
            for unit in range(repetitions):
                index += 1
                nominal = block_stride if unit == 0 else 1
                stride, rate = law.step(nominal)
                expanded = x.shape[-1]
                if expansion > 1:
                    expanded = scaled_channels(x.shape[-1] * expansion, EXPANDED_DIVISIBLE_BY)
                x, depthwise = InvertedResidual(
                    features,
                    expanded,
                    stride=stride,
                    rate=rate,
                    # By the nominal stride, so that the output stride does not change the function.
                    residual=nominal == 1 and x.shape[-1] == features,
                    norm=self.norm,
                    compute=self.compute,
                    name=f"layer_{index}",
                )(x, train=train)
                ends[f"layer_{index}"] = x
                ends[f"layer_{index}_depthwise"] = depthwise
        law.check_reached()
        return ends | {"features": x}
