"""Feature pyramids: FPN (Lin et al., arXiv 1612.03144) and PANet's bottom-up path (1803.01534).

A map is handed on with its two strides, so that anchors and RoIs lie where its pixels lie and a
convolution on it keeps the law of `layers/atrous.py`: on a stage 4 made atrous at stride 16, the
3x3 convolution of P5 has rate 2, and P5 sub-sampled is that of the network as it was designed.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.types import Array

EXTRAS = ("subsample", "conv", "none")

# Detectron's XavierFill and torchvision's kaiming_uniform with a = 1: variance 1 / fan_in.
xavier_fan_in = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


class Level(NamedTuple):
    """A map [B, h, w, C] of a pyramid and where its pixels lie."""

    values: Array
    nominal: int  # stride in the network as it was designed: 2**n for level n
    stride: int  # as it is computed: pixels of the image from one of the map's to the next

    @property
    def number(self) -> int:
        """The n of P_n."""
        return self.nominal.bit_length() - 1

    @property
    def rate(self) -> int:
        """Of a convolution on this map, by the law of `layers/atrous.py`."""
        return self.nominal // self.stride


class PyramidConv(nn.Module):
    """A convolution and its norm; without a norm it has a bias."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    rate: int = 1
    always_bias: bool = False  # also before a norm, as PANet's code has it
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[B, h, w, C] -> [B, h/stride, w/stride, features]."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            self.rate,
            use_bias=self.always_bias or self.norm.kind == "none",
            kernel_init=xavier_fan_in,
            compute=self.compute,
            name="conv",
        )(x)
        return NormLayer(self.norm, self.compute.dtype, name="norm")(x, train=train)


def like_finer(x: Array, size: tuple[int, int]) -> Array:
    """A coarse map repeated onto the grid of a finer one (nearest neighbour, FPN section 3).

    Args:
      x: [B, h, w, C].
      size: (height, width) of the finer map: up to a whole factor times x's.
    """
    for axis, wanted in zip((1, 2), size, strict=True):
        factor = -(-wanted // x.shape[axis])
        if factor > 1:
            x = x.repeat(factor, axis=axis)
    return x[:, : size[0], : size[1]]


def levels_of_backbone(
    ends: dict[str, Array], names: Sequence[str], output_stride: int, owner: str
) -> list[Level]:
    """The stages of a ResNet as levels: stage 1 has nominal stride 4, each one after it twice that.

    Args:
      ends: end points of the backbone.
      names: of those to take, from fine to coarse: "stage1" .. "stage4".
      output_stride: of the backbone.
      owner: its class, for the message.

    Raises:
      ValueError: the backbone lacks one of the names.
    """
    levels = []
    for name in names:
        number = name.removeprefix("stage")
        if name not in ends or not number.isdigit():
            there = ", ".join(n for n in ends if n.removeprefix("stage").isdigit()) or "no stages"
            raise ValueError(f"levels holds {name!r}: {owner} has {there}")
        nominal = 2 ** (int(number) + 1)
        levels.append(Level(ends[name], nominal, min(nominal, output_stride)))
    return levels


def _with_extra(
    levels: list[Level], extra: str, coarsest: Level, conv: Callable[..., PyramidConv], train: bool
) -> list[Level]:
    """Levels for large anchors: P6 by sub-sampling P5, or P6 and P7 by convolution.

    Args:
      levels: P2 .. P5.
      extra: one of EXTRAS.
      coarsest: what the convolution of P6 takes: C5 (RetinaNet, arXiv 1708.02002, section 4).
      conv: a convolution of the pyramid.
      train: for its norm.
    """
    if extra not in EXTRAS:
        raise ValueError(f"neck.extra is {extra!r}: it must be one of {', '.join(EXTRAS)}")
    last = levels[-1]
    if extra == "subsample":
        values = last.values[:, ::2, ::2]
        return [*levels, Level(values, 2 * last.nominal, 2 * last.stride)]
    if extra == "conv":
        x = coarsest
        for number in (last.number + 1, last.number + 2):
            block = conv(stride=2, rate=x.rate, name=f"extra{number}")
            values = nn.relu(x.values) if number > last.number + 1 else x.values
            x = Level(block(values, train=train), 2 * x.nominal, 2 * x.stride)
            levels = [*levels, x]
    return levels


class FPN(nn.Module):
    """The pyramid of section 3: 1x1 laterals, a top-down path, 3x3 convolutions; P2 .. P6.

    The networks of Table 1 are `top_down=False` (d), `lateral=False` (e) and `finest_only=True`
    (f). In (e) the coarsest map alone has a 1x1 convolution, whose result goes down.
    """

    features: int = 256
    top_down: bool = True
    lateral: bool = True
    finest_only: bool = False  # P2 alone is handed on
    output_convs: bool = True  # the 3x3 ones; segmentation_models_pytorch has none
    extra: str = "subsample"  # P6; or "conv": P6 and P7, "none"
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, levels: Sequence[Level], *, train: bool) -> list[Level]:
        """C2 .. C5, or other levels from fine to coarse, -> P2 .. P5 and what `extra` adds.

        Raises:
          ValueError: `extra` is unknown.
        """
        conv = functools.partial(PyramidConv, self.features, norm=self.norm, compute=self.compute)
        merged: list[Level] = []  # from coarse to fine
        for level in reversed(levels):
            x = None
            if self.lateral or not merged:
                block = conv(kernel_size=1, name=f"lateral{level.number}")
                x = block(level.values, train=train)  # [B, h, w, features]
            if merged and self.top_down:
                size = level.values.shape[1], level.values.shape[2]
                above = like_finer(merged[-1].values, size)
                x = above if x is None else x + above
            if x is None:
                raise ValueError("neck.lateral and neck.top_down are both off: nothing is left")
            merged.append(level._replace(values=x))
        made = merged[-1:] if self.finest_only else merged[::-1]
        if self.output_convs:
            made = [
                level._replace(
                    values=conv(rate=level.rate, name=f"output{level.number}")(
                        level.values, train=train
                    )
                )
                for level in made
            ]
        if self.finest_only:
            return made
        return _with_extra(made, self.extra, levels[-1], conv, train)


class BottomUpPath(nn.Module):
    """PANet's second path (arXiv 1803.01534, section 3.1, Figure 2): P2 .. P5 -> N2 .. N5.

        N2 = P2,   N_{i+1} = ReLU(conv3x3(ReLU(conv3x3 stride 2 (N_i)) + P_{i+1}))

    mmdetection's PAFPN has neither ReLU.
    """

    features: int = 256
    activate: bool = True
    extra: str = "subsample"
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, levels: Sequence[Level], *, train: bool) -> list[Level]:
        """P2 .. P5 -> N2 .. N5 and what `extra` adds.

        Raises:
          ValueError: `extra` is unknown.
        """
        conv = functools.partial(
            PyramidConv, self.features, always_bias=True, norm=self.norm, compute=self.compute
        )
        made = [levels[0]]
        for level in levels[1:]:
            before = made[-1]
            stride = level.stride // before.stride  # 1 where the backbone is atrous
            down = conv(stride=stride, rate=before.rate, name=f"down{level.number}")
            x = down(before.values, train=train)  # [B, h/2, w/2, features]
            x = (nn.relu(x) if self.activate else x) + level.values
            x = conv(rate=level.rate, name=f"output{level.number}")(x, train=train)
            made.append(level._replace(values=nn.relu(x) if self.activate else x))
        return _with_extra(made, self.extra, made[-1], conv, train)
