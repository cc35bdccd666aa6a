"""VGG (Simonyan and Zisserman, arXiv 1409.1556, Table 1) as used from FCN to ParseNet.

Thirteen 3x3 convolutions (VGG-16) with a pooling after each of five stages, then the classifier's
first two layers, fc6 and fc7, as convolutions. The changes made by the papers are fields:

    VGG(image_padding=100)                          FCN: a border that is cropped from the scores
    VGG(norm=Norm(), places=True)                   SegNet, DeconvNet: pooling indices
    VGG(output_stride=8, pool_windows=(3,) * 5, pool_paddings=(1,) * 5)        DeepLab v1 LargeFOV
    VGG(output_stride=8, padding=False, atrous_pools=False)            Yu and Koltun's front end

Strides and rates follow `layers/atrous.py`: at output stride 8, poolings 4 and 5 have stride 1,
stage 5 has rate 2, and fc6 has rate 4 times the factor of the paper.

Departure: as in the papers, the windows of a pooling whose stride is omitted are not dilated, so
the theorem of `layers/atrous.py` holds only up to the first such pooling. It does not apply to
networks without these poolings (`atrous_pools=False`).
"""

import flax.linen as nn

from jaxseg.layers.atrous import AtrousLaw
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, he_normal_fan_in
from jaxseg.layers.grid import Grid
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.pool import max_pool
from jaxseg.layers.unpool import max_pool_with_places
from jaxseg.types import Array

UNITS = {  # convolutions of each stage: columns A, B, D, E of Table 1
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
CHANNELS = (1, 2, 4, 8, 8)  # of each stage, times the width
NOMINAL_STRIDE = 32


class VGG(nn.Module):
    """The feature extractor up to pool5.

    Kernels are initialised from He et al.'s normal distribution with fan_in, biases with 0.
    Training from scratch needs this: VGG's own initialisation, a standard deviation of 0.01, does
    not train 16 layers at once. Convolutions have a bias even if a norm follows, as in
    torchvision's VGG-16-BN and in SegNet's released prototxt.
    """

    depth: int = 16  # 11, 13, 16, 19
    output_stride: int = 32  # 1, 2, 4 .. 32
    width: int = 64  # features of stage 1; 64 in the paper
    image_padding: int = 1  # zeros around the image, before conv1_1; 100 in FCN
    padding: bool = True  # False: no convolution is padded, including conv1_1
    pool_windows: tuple[int, ...] = (2, 2, 2, 2, 2)  # of the five poolings
    pool_paddings: tuple[int, ...] = (0, 0, 0, 0, 0)  # zeros around the input of each pooling
    atrous_pools: bool = True  # False: omit poolings whose stride is omitted
    places: bool = False  # return pooling indices; needs windows of 2 without padding
    use_bias: bool = True  # of convolutions
    dropout: float = 0.0  # after poolings 3, 4 and 5, as in Bayesian SegNet
    norm: Norm = Norm("none")  # "batch": after each convolution
    compute: Compute = Compute()

    @property
    def head_rate(self) -> int:
        """The rate of a convolution on "features": 1 at output stride 32, 4 at 8."""
        return NOMINAL_STRIDE // self.output_stride

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        """Returns the end points of images [B, H, W, 3], normalised, any H and W.

        Poolings follow Caffe's ceil rule, so a map of stride s has ceil(H / s) rows if poolings
        have unpadded windows of 2.

        Returns:
          "conv1" .. "conv5", the last map of each stage before its pooling; "pool1" .. "pool5"
          after it; with `places` uint8 "places1" .. "places5" (see `layers/unpool.py`); "features",
          equal to "pool5" [B, H/32, W/32, 512].

        Raises:
          ValueError: a field has an invalid value; the image is too small for a network without
            padding.
        """
        self._check()
        law, pool = AtrousLaw(self.output_stride), self.compute.of("pool")
        ends: dict[str, Array] = {}
        for stage, count in enumerate(UNITS[self.depth], start=1):
            features = self.width * CHANNELS[stage - 1]
            for unit in range(1, count + 1):
                _, rate = law.step()
                x = Conv(
                    features,
                    3,
                    rate=rate,
                    padding=self._padding(stage, unit, rate),
                    use_bias=self.use_bias,
                    kernel_init=he_normal_fan_in,
                    compute=self.compute,
                    name=f"conv{stage}_{unit}",
                )(x)
                norm = NormLayer(self.norm, self.compute.dtype, name=f"norm{stage}_{unit}")
                x = norm(x, train=train)
                x = nn.relu(x)  # [B, H/s, W/s, features]
            ends[f"conv{stage}"] = x
            stride, _ = law.step(2)
            if self.places:
                x, ends[f"places{stage}"] = max_pool_with_places(x, form=pool)
            elif stride > 1 or self.atrous_pools:
                window, around = self.pool_windows[stage - 1], self.pool_paddings[stage - 1]
                x = max_pool(x, window, stride, around, ceil=True, form=pool)
            if stage >= 3:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            ends[f"pool{stage}"] = x  # [B, H/2s, W/2s, features]
        return ends | {"features": x}

    def grids(self) -> dict[str, Grid]:
        """Returns the grids of "pool1" .. "pool5" and "features", equal on both axes."""
        self._check()
        law, grid = AtrousLaw(self.output_stride), Grid()
        ends: dict[str, Grid] = {}
        for stage, count in enumerate(UNITS[self.depth], start=1):
            for unit in range(1, count + 1):
                _, rate = law.step()
                grid = grid.after(3, rate=rate, padding=self._padding(stage, unit, rate))
            stride, _ = law.step(2)
            if stride > 1 or self.atrous_pools:
                window, around = self.pool_windows[stage - 1], self.pool_paddings[stage - 1]
                grid = grid.after(window, stride, padding=around)
            ends[f"pool{stage}"] = grid
        return ends | {"features": grid}

    def _padding(self, stage: int, unit: int, rate: int) -> int:
        """Returns the padding of a convolution."""
        if not self.padding:
            return 0
        return self.image_padding if (stage, unit) == (1, 1) else rate

    def _check(self) -> None:
        if self.depth not in UNITS:
            names = ", ".join(map(str, UNITS))
            raise ValueError(f"VGG depth is {self.depth}: it must be one of {names}")
        if self.output_stride not in (strides := [2**n for n in range(6)]):
            names = ", ".join(map(str, strides))
            raise ValueError(f"output_stride is {self.output_stride}: VGG has {names}")
        for name in ("pool_windows", "pool_paddings"):
            if len(getattr(self, name)) != len(CHANNELS):
                raise ValueError(f"{name} is {getattr(self, name)}: VGG has {len(CHANNELS)} of it")
        if self.places and (self.output_stride < NOMINAL_STRIDE or set(self.pool_windows) != {2}):
            raise ValueError("places needs poolings of window and stride 2 in every stage")


class FullyConvolutional(nn.Module):
    """VGG's fc6 and fc7 as convolutions, each followed by ReLU and dropout (FCN, section 3.1).

    Kernel 7 and 4096 features in FCN, with rate 4 in Yu and Koltun; in DeepLab v2, Table 1, kernel
    4 with rates 4 or 8, and kernel 3 with 1024 features and rate 12 (LargeFOV).
    """

    features: int = 4096  # of fc6 and fc7
    kernel_size: int = 7  # of fc6
    rate: int = 1  # on this map
    padding: int | None = None  # zeros on each side; None: rate (kernel - 1) / 2
    dropout: float = 0.5  # after fc6 and fc7
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns [B, h, w, features] with the default padding, a smaller map with less."""
        conv6 = Conv(
            self.features,
            self.kernel_size,
            rate=self.rate,
            padding=self.padding,
            use_bias=True,
            kernel_init=he_normal_fan_in,
            compute=self.compute,
            name="fc6",
        )
        x = nn.relu(conv6(x))  # [B, h, w, 4096]
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        conv7 = Conv(
            self.features,
            1,
            use_bias=True,
            kernel_init=he_normal_fan_in,
            compute=self.compute,
            name="fc7",
        )
        x = nn.relu(conv7(x))
        return nn.Dropout(self.dropout, deterministic=not train)(x)
