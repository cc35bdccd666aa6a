"""ResNet (He et al., arXiv 1512.03385) at any output stride, as DeepLab v3 uses it.

Stages 1 to 4 are conv2_x to conv5_x of the paper and block1 to block4 of DeepLab. Strides and rates
follow `layers/atrous.py`, convolution by convolution, so parameters do not depend on the output
stride. The placement of a stage's stride is a field, since codebases differ and it affects the
rates:

    stride_at      the convolution with the stride           rates of stage 4 at output stride 16
    "first_3x3"    3x3 of the first unit (torchvision)       1, 2, 2
    "first_1x1"    1x1 of the first unit (He et al.)         2, 2, 2
    "last_3x3"     3x3 of the previous stage's last unit     2, 2, 2
                   (the DeepLab papers and their code)

Only the last two turn multi-grid (1, 2, 4) into rates (2, 4, 8), as in DeepLab v3, section 3.3.

Departure: max pooling pads one pixel on each side, as in PyTorch; on even sizes TensorFlow's 'SAME'
pads only after the last pixel, for which the theorem of `layers/atrous.py` fails. They agree on
maps of odd size, such as those of crops of 16 k + 1 pixels.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import flax.linen as nn

from jaxseg.layers.atrous import AtrousLaw
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from jaxseg.layers.pool import max_pool
from jaxseg.types import Array

# He et al., Table 1: units of each stage; depths 18 and 34 use basic units.
UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BASIC = (18, 34)
STEMS = ("7x7", "3x3x3")
STRIDES_AT = ("first_3x3", "first_1x1", "last_3x3")
STEM_STRIDE = 4  # of the first convolution and the max pooling, which always keep their strides


class Unit(NamedTuple):
    """The configuration of one residual unit at the output stride."""

    stage: int  # counted from 1
    number: int  # in its stage, counted from 1
    features: int  # of the inner convolutions
    strides: tuple[int, int]  # of its first and second convolution
    rates: tuple[int, int]  # likewise; a 1x1 convolution ignores its rate
    end_point: bool  # whether it is the last unit at the nominal stride of its stage


class BasicUnit(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., Figure 5, left)."""

    features: int  # output channels
    strides: tuple[int, int]  # of its two convolutions
    rates: tuple[int, int]  # of its two convolutions
    conv_norm: Callable[..., ConvNorm]  # makes its convolutions, each with a norm

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """Returns the output and the residual branch, both [B, H/s, W/s, features]."""
        (stride1, stride2), (rate1, rate2) = self.strides, self.rates
        block = self.conv_norm
        y = block(self.features, 3, stride1, rate1, name="conv1")(x, train=train)
        y = block(self.features, 3, stride2, rate2, activate=False, name="conv2")(y, train=train)
        return nn.relu(_shortcut(x, y, stride1 * stride2, block, train=train) + y), y


class BottleneckUnit(nn.Module):
    """A 1x1, a 3x3 and a widening 1x1 convolution and a shortcut (Figure 5, right)."""

    features: int  # channels of the first two convolutions; the third one has four times as many
    strides: tuple[int, int]  # of the first two convolutions
    rates: tuple[int, int]  # of the first two convolutions; the 1x1 ignores its rate
    conv_norm: Callable[..., ConvNorm]  # makes its convolutions, each with a norm

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """Returns the output and the residual branch, both [B, H/s, W/s, 4 features]."""
        stride1, stride2 = self.strides
        block = self.conv_norm
        y = block(self.features, 1, stride1, name="conv1")(x, train=train)
        y = block(self.features, 3, stride2, self.rates[1], name="conv2")(y, train=train)
        y = block(4 * self.features, 1, activate=False, name="conv3")(y, train=train)
        return nn.relu(_shortcut(x, y, stride1 * stride2, block, train=train) + y), y


def _shortcut(
    x: Array, y: Array, stride: int, block: Callable[..., ConvNorm], *, train: bool
) -> Array:
    """Matches x to y: by a 1x1 convolution if the channels change, else by subsampling.

    Subsampling (as in tf-slim) has no parameters, so a unit has the same ones with and without its
    stride.
    """
    if x.shape[-1] != y.shape[-1]:
        features = y.shape[-1]
        return block(features, 1, stride, activate=False, name="shortcut")(x, train=train)
    return x[:, ::stride, ::stride]


class ResNet(nn.Module):
    """The feature extractor.

    Kernels are initialised as in torchvision: from He et al.'s normal distribution with fan_out,
    without zero-initialised scales.
    """

    depth: int = 50  # 18, 34, 50, 101, 152
    stage_units: tuple[int, ...] = ()  # for small versions: replaces the depth's; any length
    output_stride: int = 16  # 4 .. 32, and twice that for each extra block or stage
    stem: str = "7x7"  # or "3x3x3": 64, 64, 128 channels, DeepLab's "beta" (also named stem C or D)
    stride_at: str = "first_3x3"  # or "first_1x1", "last_3x3"; see above
    ceil_pooling: bool = False  # of the stem by Caffe's rule: 160 pixels give 81, not 80
    # Departure from the law, for PSPNet and smp: the unit that loses its stride already uses the
    # new rate. Their trained weights require it; the theorem does not hold with it.
    dilate_first: bool = False
    # DeepLab v3, 3.2.1: factors on the rates of the last stage (usually 4) and its copies.
    multi_grid: tuple[int, ...] = (1, 1, 1)
    extra_blocks: int = 0  # copies of the last stage; 3 for DeepLab v3's cascade up to block7
    width: int = 64  # features of stage 1; 64 in the papers
    norm: Norm = Norm()
    compute: Compute = Compute()
    remat: bool = False  # store only the input of each unit and recompute the rest for gradients

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        """Returns the end points of images [B, H, W, 3], any H and W.

        A map of stride s has ceil(H / s) rows; with `ceil_pooling`, the stem's pooling of n pixels
        gives n // 2 + 1.

        Returns:
          "stem" (stride 2, before pooling); "stage1" .. "stage4" (and more with extra blocks), the
          last map of each stage before the next stride: nominal strides 4, 8, 16, 32 for any
          `stride_at`; "stage1_residual" .., the residual branch of the same unit before the
          addition and ReLU, which the released DeepLab v3+ uses as its low-level skip; "features",
          the last map [B, H/output_stride, W/output_stride, 32 width] (8 width for depths 18 and
          34).

        Raises:
          ValueError: a field has an invalid value.
        """
        units = list(self.units())
        block = functools.partial(ConvNorm, norm=self.norm, compute=self.compute)
        if self.stem == "7x7":
            x = block(self.width, 7, 2, name="stem1")(x, train=train)  # [B, H/2, W/2, 64]
        else:
            x = block(self.width, 3, 2, name="stem1")(x, train=train)  # [B, H/2, W/2, 64]
            x = block(self.width, 3, name="stem2")(x, train=train)
            x = block(2 * self.width, 3, name="stem3")(x, train=train)  # [B, H/2, W/2, 128]
        ends = {"stem": x}
        pool = self.compute.of("pool")
        x = max_pool(x, 3, 2, 1, ceil=self.ceil_pooling, form=pool)  # [B, H/4, W/4, C]
        make = BasicUnit if self.depth in BASIC else BottleneckUnit
        for unit in units:
            module = make(
                unit.features,
                unit.strides,
                unit.rates,
                block,
                name=f"stage{unit.stage}_unit{unit.number}",
            )
            run = functools.partial(_run, train=train)
            x, residual = (nn.remat(run) if self.remat else run)(module, x)
            if unit.end_point:
                ends[f"stage{unit.stage}"] = x
                ends[f"stage{unit.stage}_residual"] = residual
        return ends | {"features": x}

    def units(self) -> Iterator[Unit]:
        """Yields the configuration of each residual unit.

        Raises:
          ValueError: a field has an invalid value.
        """
        self._check()
        own = self._own_counts()
        grids = self.multi_grid if set(self.multi_grid) != {1} else (1,) * own[-1]
        counts = own + own[-1:] * self.extra_blocks
        law = AtrousLaw(self.output_stride, nominal=STEM_STRIDE, actual=STEM_STRIDE)
        for stage, count in enumerate(counts, start=1):
            for number in range(1, count + 1):
                nominal = self._nominal_strides(stage, number, counts)
                (stride1, rate1), (stride2, rate2) = law.step(nominal[0]), law.step(nominal[1])
                if self.dilate_first and stride1 * stride2 < nominal[0] * nominal[1]:
                    rate1 = rate2 = law.rate
                grid = grids[number - 1] if stage >= len(own) else 1
                strides_after = self.stride_at == "last_3x3" and stage < len(counts)
                yield Unit(
                    stage,
                    number,
                    self.width * 2 ** (min(stage, len(own)) - 1),
                    (stride1, stride2),
                    (rate1 * grid, rate2 * grid),
                    number == (count - 1 if strides_after else count),
                )

    def _own_counts(self) -> tuple[int, ...]:
        """Returns the number of units of each stage, without extra blocks."""
        return self.stage_units or UNITS[self.depth]

    def _nominal_strides(self, stage: int, number: int, counts: tuple[int, ...]) -> tuple[int, int]:
        """Returns the nominal strides of a unit's first and second convolution."""
        if self.stride_at == "last_3x3":
            return (1, 2) if stage < len(counts) and number == counts[stage - 1] else (1, 1)
        if stage == 1 or number > 1:
            return (1, 1)
        # The first convolution of a basic unit is a 3x3, that of a bottleneck a 1x1.
        first = self.depth in BASIC or self.stride_at == "first_1x1"
        return (2, 1) if first else (1, 2)

    def _check(self) -> None:
        for field, value, known in (
            ("depth", self.depth, UNITS),
            ("stem", self.stem, STEMS),
            ("stride_at", self.stride_at, STRIDES_AT),
        ):
            if value not in known:
                names = ", ".join(map(str, known))
                raise ValueError(f"ResNet {field} is {value!r}: it must be one of {names}")
        if self.depth in BASIC and self.stride_at == "first_1x1":
            raise ValueError(
                f"stride_at is 'first_1x1': ResNet-{self.depth} has no 1x1 convolutions"
            )
        own = self._own_counts()
        if min(own) < 1:
            raise ValueError(f"stage_units is {own}: a stage has at least one unit")
        strides = [2**n for n in range(2, 2 + len(own) + self.extra_blocks)]
        if self.output_stride not in strides:
            raise ValueError(
                f"output_stride is {self.output_stride}: a ResNet with {self.extra_blocks} extra "
                f"blocks has {', '.join(map(str, strides))}"
            )
        count = own[-1]
        if set(self.multi_grid) != {1} and len(self.multi_grid) != count:
            raise ValueError(
                f"multi_grid is {self.multi_grid}: stage {len(own)} of ResNet-{self.depth} has "
                f"{count} units"
            )


def _run(module: nn.Module, x: Array, *, train: bool) -> tuple[Array, Array]:
    """Calls a unit that is passed as an argument: linen's remat then keeps its parameter names."""
    return module(x, train=train)
