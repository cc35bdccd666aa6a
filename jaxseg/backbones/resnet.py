"""ResNet (He et al., arXiv 1512.03385) at any output stride, as DeepLab v3 uses it.

Stages 1 to 4 are the papers' conv2_x to conv5_x, and DeepLab's block1 to block4. Strides and rates
follow `layers/atrous.py`, convolution by convolution, so parameters do not depend on the output
stride. Where a stage's stride lies is a field, because codebases differ and the rates follow:

    stride_at      the convolution that strides              rates of stage 4 at output stride 16
    "first_3x3"    3x3 of the first unit (torchvision)       1, 2, 2
    "first_1x1"    1x1 of the first unit (He et al.)         2, 2, 2
    "last_3x3"     3x3 of the stage before's last unit       2, 2, 2
                   (the DeepLab papers and their code)

Only the last two make (2, 4, 8) of multi-grid (1, 2, 4), as DeepLab v3 section 3.3 has it.

Departure: max pooling pads one pixel on each side, as torch does; TensorFlow's 'SAME' pads after
the last pixel on even sizes only, where the theorem of `layers/atrous.py` would fail. They agree
on maps of odd size, such as crops of 16 k + 1 pixels give.
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

# He et al., Table 1: units of each stage; 18 and 34 are made of basic units.
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
STEM_STRIDE = 4  # of the first convolution and the max pooling, which are never made atrous


class Unit(NamedTuple):
    """What the output stride makes of one residual unit, before its arrays are known."""

    stage: int  # 1 ..
    number: int  # 1 .. in its stage
    features: int  # of the inner convolutions
    strides: tuple[int, int]  # of its first and second convolution
    rates: tuple[int, int]  # likewise; a 1x1 convolution takes no notice of its rate
    end_point: bool  # the last one of the stage at that stage's nominal stride


class BasicUnit(nn.Module):
    """Two 3x3 convolutions beside the shortcut (He et al., Figure 5, left)."""

    features: int  # channels that it gives
    strides: tuple[int, int]  # of its two convolutions
    rates: tuple[int, int]  # of its two convolutions
    conv_norm: Callable[..., ConvNorm]  # makes its convolutions, each with a norm

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """[B, H, W, C] -> the sum and its residual branch, both [B, H/s, W/s, features]."""
        (stride1, stride2), (rate1, rate2) = self.strides, self.rates
        block = self.conv_norm
        y = block(self.features, 3, stride1, rate1, name="conv1")(x, train=train)
        y = block(self.features, 3, stride2, rate2, activate=False, name="conv2")(y, train=train)
        return nn.relu(_shortcut(x, y, stride1 * stride2, block, train=train) + y), y


class BottleneckUnit(nn.Module):
    """1x1, 3x3 and a 1x1 convolution to 4 features beside the shortcut (Figure 5, right)."""

    features: int  # channels of the first two convolutions; the third has four times as many
    strides: tuple[int, int]  # of the first two convolutions
    rates: tuple[int, int]  # of the first two convolutions; only the 3x3 uses its own
    conv_norm: Callable[..., ConvNorm]  # makes its convolutions, each with a norm

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """[B, H, W, C] -> the sum and its residual branch, both [B, H/s, W/s, 4 features]."""
        stride1, stride2 = self.strides
        block = self.conv_norm
        y = block(self.features, 1, stride1, name="conv1")(x, train=train)
        y = block(self.features, 3, stride2, self.rates[1], name="conv2")(y, train=train)
        y = block(4 * self.features, 1, activate=False, name="conv3")(y, train=train)
        return nn.relu(_shortcut(x, y, stride1 * stride2, block, train=train) + y), y


def _shortcut(
    x: Array, y: Array, stride: int, block: Callable[..., ConvNorm], *, train: bool
) -> Array:
    """x on y's grid and channels: a 1x1 convolution where channels change, else sub-sampling.

    Sub-sampling (tf-slim's) needs no parameters, so an atrous unit and a striding one agree.
    """
    if x.shape[-1] != y.shape[-1]:
        features = y.shape[-1]
        return block(features, 1, stride, activate=False, name="shortcut")(x, train=train)
    return x[:, ::stride, ::stride]


class ResNet(nn.Module):
    """The feature extractor; every field is a keyword.

    Kernels start as in torchvision: He et al.'s normal with fan_out, no zero-initialised scales.
    """

    depth: int = 50  # 18, 34, 50, 101, 152
    stage_units: tuple[int, ...] = ()  # of small versions: in place of the depth's; any number
    output_stride: int = 16  # 4 .. 32, and twice that for each extra block or stage
    stem: str = "7x7"  # or "3x3x3": 64, 64, 128 channels, DeepLab's "beta" (also named stem C or D)
    stride_at: str = "first_3x3"  # or "first_1x1", "last_3x3"; see above
    ceil_pooling: bool = False  # of the stem by Caffe's rule: 160 pixels give 81, not 80
    # Departure from the law, for PSPNet and smp: the unit whose stride is left out takes the new
    # rate at once. Their trained weights expect it; the theorem does not hold with it.
    dilate_first: bool = False
    # DeepLab v3, 3.2.1: factors on the last stage (4, if stage_units has no other) and its copies.
    multi_grid: tuple[int, ...] = (1, 1, 1)
    extra_blocks: int = 0  # copies of the last stage: 3 is DeepLab v3's cascade up to block7
    width: int = 64  # features of stage 1; the papers' is 64
    norm: Norm = Norm()
    compute: Compute = Compute()
    remat: bool = False  # keep each unit's input only, compute the rest again for the gradient

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        """End points of images [B, H, W, 3], any H and W; a map of stride s is [ceil(H/s), ...].

        With `ceil_pooling`, of n pixels the stem's pooling leaves n // 2 + 1.

        Returns:
          "stem" (stride 2, before pooling); "stage1" .. "stage4" (and on with extra blocks), the
          last map of each stage before it strides: nominal strides 4, 8, 16, 32 wherever the stride
          lies; "stage1_residual" .., the same unit's branch before the addition and ReLU, which the
          released DeepLab v3+ takes as its low-level skip; "features", the last map
          [B, H/output_stride, W/output_stride, 32 width] (8 width for depths 18 and 34).

        Raises:
          ValueError: a field has a value that no ResNet here has.
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
        """Strides and rates of all residual units.

        Raises:
          ValueError: as `__call__`.
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
        """Units of each stage, without extra blocks."""
        return self.stage_units or UNITS[self.depth]

    def _nominal_strides(self, stage: int, number: int, counts: tuple[int, ...]) -> tuple[int, int]:
        """Strides of a unit's first and second convolution in the network as it was designed."""
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
            raise ValueError(f"ResNet-{self.depth} has no 1x1 convolution to put the stride at")
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
    """A unit as a function of itself: so linen's remat keeps the names of its parameters."""
    return module(x, train=train)
