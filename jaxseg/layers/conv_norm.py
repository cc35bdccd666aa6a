"""Convolution, normalisation and ReLU: the step that most papers repeat."""

import flax.linen as nn

from jaxseg.layers.conv import Conv, he_normal_fan_out
from jaxseg.layers.norm import Norm
from jaxseg.types import Array


class ConvNorm(nn.Module):
    """A convolution without bias, its normalisation, and ReLU unless `activate` is off."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    rate: int = 1
    activate: bool = True
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_decay: float = 0.9
    norm_groups: int = 32
    dtype: str = "float32"
    form: str = "auto"

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            self.rate,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            form=self.form,
            name="conv",
        )(x)
        x = Norm(
            self.norm,
            self.norm_epsilon,
            self.norm_decay,
            self.norm_groups,
            self.dtype,
            name="norm",
        )(x, train=train)
        return nn.relu(x) if self.activate else x
