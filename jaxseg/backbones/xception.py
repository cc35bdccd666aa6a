"""Modified aligned Xception (DeepLab v3+, arXiv 1802.02611, section 3.2 and Figure 4).

Three flows of modules, each with three separable convolutions and a skip. The third convolution has
a stride where Xception had max pooling, so `layers/atrous.py` applies to any output stride. The
depths 41, 65 and 71 count the layers.

ReLUs are placed as in the released code, as its weights require: before each separable convolution
and not inside it, except in the last module, where they follow both of its halves. (Figure 4 has
batch norm and ReLU after each depthwise convolution; the code has only batch norm outside the last
module.) DeepLab v3+ takes its low-level skip after the second separable convolution of a module
with a stride, before ReLU and before the addition:

    depth     stride 4             stride 8             stride 16
    41, 65    "entry2_pointwise2"  "entry3_pointwise2"  "exit1_pointwise2"
    71        "entry3_pointwise2"  "entry5_pointwise2"  "exit1_pointwise2"

Departure: the ImageNet classifier and the dropout before it are omitted.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import flax.linen as nn

from jaxseg.layers.atrous import AtrousLaw
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import SeparableConv
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from jaxseg.types import Array

STEM_FEATURES = (32, 64)
# The entry flow: channels and stride of each module.
ENTRY = {
    41: ((128, 2), (256, 2), (728, 2)),
    65: ((128, 2), (256, 2), (728, 2)),
    71: ((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)),
}
MIDDLE = {41: 8, 65: 16, 71: 16}  # modules of the middle flow
MIDDLE_FEATURES = 728
EXIT = ((728, 1024, 1024), (1536, 1536, 2048))  # the first has a stride, the last the multi-grid
NORM = Norm(epsilon=1e-3, decay=0.9997, groups=8)
INIT = nn.initializers.truncated_normal(0.09)  # as released; not stated in the paper
SKIPS = ("conv", "sum", "none")
STRIDES = (1, 2, 4, 8, 16, 32)
_DIVISIBLE_BY = 8  # divisor of scaled channels


class Plan(NamedTuple):
    """The configuration of one module at a depth and output stride."""

    name: str  # "entry1" .., "middle1" .., "exit1", "exit2"
    features: tuple[int, int, int]  # of its three separable convolutions
    stride: int  # of the third one and of the skip
    rates: tuple[int, int, int]
    skip: str  # "conv", "sum" or "none"
    activate_inside: bool  # ReLU after both halves of a separable convolution, else before it


class XceptionModule(nn.Module):
    """Three separable convolutions and a skip (Figure 4).

    The skip is a 1x1 convolution with norm ("conv"), the identity ("sum") or absent ("none").
    """

    features: tuple[int, int, int]  # channels of the three separable convolutions
    stride: int = 1  # of the third one, and of the skip
    rates: tuple[int, int, int] = (1, 1, 1)  # of the three separable convolutions
    skip: str = "conv"  # "conv", "sum" or "none"
    # ReLU after both halves of a separable convolution, else before it
    activate_inside: bool = False
    separable_conv: Callable[..., nn.Module] = SeparableConv  # makes its separable convolutions
    conv_norm: Callable[..., nn.Module] = ConvNorm  # makes the skip's convolution

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """Applies the module to x [B, H, W, C].

        Returns:
          Its output [B, H/s, W/s, features[2]], and the output of its second convolution
          [B, H, W, features[1]].

        Raises:
          ValueError: `skip` is unknown.
        """
        if self.skip not in SKIPS:
            raise ValueError(f"skip is {self.skip!r}: it must be one of {', '.join(SKIPS)}")
        ends = []
        y = x
        for number, (features, rate) in enumerate(zip(self.features, self.rates, strict=True), 1):
            y = y if self.activate_inside else nn.relu(y)
            y = self.separable_conv(
                features,
                3,
                self.stride if number == 3 else 1,
                rate,
                activate_depthwise=self.activate_inside,
                activate=self.activate_inside,
                name=f"separable{number}",
            )(y, train=train)  # [B, H, W, features], of the third [B, H/s, W/s, features]
            ends.append(y)
        if self.skip == "conv":
            shortcut = self.conv_norm(
                self.features[-1], 1, self.stride, activate=False, name="shortcut"
            )
            y += shortcut(x, train=train)
        elif self.skip == "sum":
            y += x
        return y, ends[1]


class Xception(nn.Module):
    """The feature extractor. Parameters do not depend on the output stride.

    All kernels are initialised from the released code's truncated normal distribution with a
    standard deviation of 0.09.
    """

    depth: int = 65  # 41, 65 or 71
    output_stride: int = 16  # 1, 2, 4 .. 32
    multi_grid: tuple[int, ...] = (1, 1, 1)  # factors on the rates of the last module
    width: float = 1.0  # multiplies all channels; 1 in the paper
    middle_modules: int = 0  # 0: 8 at depth 41, else 16; fewer for small versions
    norm: Norm = NORM
    compute: Compute = Compute()
    remat: bool = False  # store only the input of each module and recompute the rest for gradients

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        """Returns the end points of images [B, H, W, 3], scaled to -1..1 for the published weights.

        Returns:
          "stem" (stride 2); the output of each module, "entry1" .. "middle1" .. "exit2"; for
          modules with a "conv" skip also "entry2_pointwise2" .., the input of their third
          convolution, as low-level skips for DeepLab v3+; "features", the last map
          [B, H/output_stride, W/output_stride, 2048 width].

        Raises:
          ValueError: a field has an invalid value.
        """
        plans = list(self.modules())
        block = functools.partial(ConvNorm, kernel_init=INIT, norm=self.norm, compute=self.compute)
        separable = functools.partial(
            SeparableConv,
            depthwise_init=INIT,
            pointwise_init=INIT,
            norm=self.norm,
            compute=self.compute,
        )
        law = AtrousLaw(self.output_stride)
        for number, (channels, nominal) in enumerate(zip(STEM_FEATURES, (2, 1), strict=True), 1):
            stride, rate = law.step(nominal)
            layer = block(self._scaled(channels), 3, stride, rate, name=f"stem{number}")
            x = layer(x, train=train)  # [B, H/2, W/2, 32], then 64 channels
        ends = {"stem": x}
        run = functools.partial(_run, train=train)
        for plan in plans:
            module = XceptionModule(*plan[1:], separable, block, name=plan.name)
            x, before = (nn.remat(run) if self.remat else run)(module, x)
            ends[plan.name] = x
            if plan.skip == "conv":
                ends[f"{plan.name}_pointwise2"] = before
        return ends | {"features": x}

    def modules(self) -> Iterator[Plan]:
        """Yields the configuration of each module.

        Raises:
          ValueError: a field has an invalid value.
        """
        self._check()
        flows = [
            (f"entry{i}", (channels,) * 3, stride, "conv")
            for i, (channels, stride) in enumerate(ENTRY[self.depth], 1)
        ]
        flows += [
            (f"middle{i}", (MIDDLE_FEATURES,) * 3, 1, "sum")
            for i in range(1, (self.middle_modules or MIDDLE[self.depth]) + 1)
        ]
        flows += [("exit1", EXIT[0], 2, "conv"), ("exit2", EXIT[1], 1, "none")]
        law = AtrousLaw(self.output_stride)
        law.step(2)  # the stem's
        for name, features, nominal, skip in flows:
            last = name == "exit2"
            rate = law.rate  # of all three, since only the third one has a stride
            grid = self.multi_grid if last else (1, 1, 1)
            stride, _ = law.step(nominal)
            first, second, third = map(self._scaled, features)
            rates = (rate * grid[0], rate * grid[1], rate * grid[2])
            yield Plan(name, (first, second, third), stride, rates, skip, last)

    def _scaled(self, channels: int) -> int:
        """Scales channels by the width and rounds them to a multiple of 8, at least 8."""
        return _DIVISIBLE_BY * max(1, round(channels * self.width / _DIVISIBLE_BY))

    def _check(self) -> None:
        for field, value, known in (
            ("depth", self.depth, tuple(ENTRY)),
            ("output_stride", self.output_stride, STRIDES),
        ):
            if value not in known:
                names = ", ".join(map(str, known))
                raise ValueError(f"Xception {field} is {value!r}: it must be one of {names}")
        if len(self.multi_grid) != len(EXIT[1]):
            raise ValueError(
                f"multi_grid is {self.multi_grid}: the last module of Xception has "
                f"{len(EXIT[1])} convolutions"
            )


def _run(module: nn.Module, x: Array, *, train: bool) -> tuple[Array, Array]:
    """Calls a module passed as an argument: linen's remat then keeps its parameter names."""
    return module(x, train=train)
