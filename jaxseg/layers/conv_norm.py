"""Convolution, normalisation and ReLU, the building block of most papers."""

import flax.linen as nn
from jaxtyping import Float

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, he_normal_fan_out
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.types import Array


class ConvNorm(nn.Module):
    """A convolution without bias, followed by normalisation and, if `activate`, by ReLU."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    rate: int = 1
    activate: bool = True
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b -(-h//{self.stride}) -(-w//{self.stride}) {self.features}"]:
        """Returns the features on the grid of that stride."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            self.rate,
            kernel_init=self.kernel_init,
            compute=self.compute,
            name="conv",
        )(x)
        x = NormLayer(self.norm, self.compute.dtype, name="norm")(x, train=train)
        return nn.relu(x) if self.activate else x
