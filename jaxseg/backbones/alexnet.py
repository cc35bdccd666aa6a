"""AlexNet (Krizhevsky et al., 2012) in the variants of CaffeNet, for FCN-AlexNet, and torchvision.

Five convolutions, with a 3 x 3 pooling of stride 2 after the first, second and last:

    AlexNet(image_padding=100)       # FCN: Caffe's reference network, groups and LRN, ceil pooling
    AlexNet(variant="torchvision")   # "One weird trick" (arXiv 1404.5997): neither, floor pooling

Departure: as in `vgg.py`, the windows of a pooling whose stride is omitted are not dilated.
"""

import dataclasses

import flax.linen as nn

from jaxseg.layers.atrous import AtrousLaw
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, he_normal_fan_in
from jaxseg.layers.grid import Grid
from jaxseg.layers.lrn import local_response_norm
from jaxseg.layers.pool import max_pool
from jaxseg.types import Array

NOMINAL_STRIDE = 32
POOL = 3  # window of each pooling
POOLED = (1, 2, 5)  # the convolutions that are followed by a pooling
KERNELS = (11, 5, 3, 3, 3)


@dataclasses.dataclass(frozen=True)
class Variant:
    """The differences between the two releases."""

    features: tuple[int, ...]  # of conv1 .. conv5
    groups: tuple[int, ...]
    normalises: bool  # local response normalisation after the first two poolings
    ceil: bool  # poolings include a last window that only starts on the map


VARIANTS = {
    "caffenet": Variant((96, 256, 384, 384, 256), (1, 2, 1, 2, 2), True, True),
    "torchvision": Variant((64, 192, 384, 256, 256), (1, 1, 1, 1, 1), False, False),
}


class AlexNet(nn.Module):
    """The feature extractor up to pool5.

    CaffeNet pools before it normalises; AlexNet's paper does the reverse. Kernels are initialised
    from He et al.'s normal distribution with fan_in, biases with 0.
    """

    variant: str = "caffenet"  # or "torchvision"
    output_stride: int = 32  # 4, 8, 16, 32
    width: int = 64  # width / 64 of the published features, rounded to even numbers
    image_padding: int = 2  # zeros around the image; 2 in torchvision, 100 in FCN
    compute: Compute = Compute()

    @property
    def head_rate(self) -> int:
        """The rate of a convolution on "features": 1 at output stride 32, 4 at 8."""
        return NOMINAL_STRIDE // self.output_stride

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        """Returns the end points of images [B, H, W, 3], normalised.

        Returns:
          "conv1" .. "conv5", after ReLU; "pool1", "pool2", "pool5", the first two after LRN if the
          variant has it; "features", the last one.

        Raises:
          ValueError: a field has an invalid value; the padded image is too small.
        """
        del train  # no layer behaves differently in training
        self._check()
        variant = VARIANTS[self.variant]
        law = AtrousLaw(self.output_stride)
        ends: dict[str, Array] = {}
        for number, kernel in enumerate(KERNELS, start=1):
            stride, rate = law.step(4 if number == 1 else 1)
            x = Conv(
                max(2, 2 * round(variant.features[number - 1] * self.width / 128)),
                kernel,
                stride,
                rate,
                padding=self.image_padding if number == 1 else None,
                groups=variant.groups[number - 1],
                use_bias=True,
                kernel_init=he_normal_fan_in,
                compute=self.compute,
                name=f"conv{number}",
            )(x)
            x = ends[f"conv{number}"] = nn.relu(x)  # [B, H/s, W/s, features]
            if number in POOLED:
                stride, _ = law.step(2)
                x = max_pool(x, POOL, stride, ceil=variant.ceil, form=self.compute.of("pool"))
                if variant.normalises and number < POOLED[-1]:
                    x = local_response_norm(x)
                ends[f"pool{number}"] = x  # [B, H/2s, W/2s, features]
        return ends | {"features": x}

    def grids(self) -> dict[str, Grid]:
        """Returns the grids of each pooling and of "features" in the image, equal on both axes."""
        self._check()
        law, grid = AtrousLaw(self.output_stride), Grid()
        ends: dict[str, Grid] = {}
        for number, kernel in enumerate(KERNELS, start=1):
            stride, rate = law.step(4 if number == 1 else 1)
            padding = self.image_padding if number == 1 else rate * (kernel - 1) // 2
            grid = grid.after(kernel, stride, rate=rate, padding=padding)
            if number in POOLED:
                stride, _ = law.step(2)
                grid = ends[f"pool{number}"] = grid.after(POOL, stride)
        return ends | {"features": grid}

    def _check(self) -> None:
        if self.variant not in VARIANTS:
            names = ", ".join(VARIANTS)
            raise ValueError(f"variant is {self.variant!r}: AlexNet has {names}")
        if self.output_stride not in (strides := (4, 8, 16, 32)):
            names = ", ".join(map(str, strides))
            raise ValueError(f"output_stride is {self.output_stride}: AlexNet has {names}")
