"""Convolution, depthwise and separable convolution with explicit symmetric padding."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from jaxseg.layers.compute import Compute
from jaxseg.layers.fast.conv import fast_conv, plan
from jaxseg.layers.fast.depthwise import depthwise_conv
from jaxseg.layers.fast.forms import on_cpu, use_fast
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.window import Window, Windows
from jaxseg.types import Array

# He et al., "Delving deep into rectifiers", section 2.2: variance 2 / fan. fan_out keeps the
# variance of gradients and is what torchvision's ResNet uses, fan_in that of activations.
he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
he_normal_fan_in = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


def plain_conv(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c//{groups} f"],
    windows: Windows,
    groups: int = 1,
) -> Float[Array, "b {windows[0].outputs} {windows[1].outputs} f"]:
    """The definition: XLA's convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        [w.stride for w in windows],
        [(w.padding, w.padding) for w in windows],
        rhs_dilation=[w.rate for w in windows],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def conv(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c//{groups} f"],
    *,
    stride: int = 1,
    rate: int = 1,
    padding: int | None = None,
    groups: int = 1,
    form: str = "auto",
) -> Float[Array, "b y x f"]:
    """Convolves a map that is padded with the same number of zeros on both sides of each axis.

    Args:
      x: the map.
      kernel: Cin / groups input channels for each of Cout output channels.
      stride: distance between neighbouring outputs, in input pixels.
      rate: distance between kernel taps, in input pixels (atrous or dilated convolution).
      padding: zeros on each side; None means rate * (k - 1) // 2, which keeps H and W at stride 1
        and centres output i on input i * stride whatever the size (unlike "SAME").
      groups: number of channel groups that are convolved independently.
      form: "auto", "plain" or "fast"; all give the same numbers. The fast forms have reverse-mode
        derivatives only, and exist for one group and for one group per channel.

    Returns:
      [B, (H + 2 p - rate (kh - 1) - 1) // stride + 1, W likewise, Cout] in x's dtype.

    Raises:
      ValueError: the kernel is larger than the padded map, or `form` is unknown.
    """
    rows, columns = (
        Window(n, k, stride, rate, rate * (k - 1) // 2 if padding is None else padding)
        for n, k in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    )
    x, channels = jnp.asarray(x), x.shape[3]  # a custom_vjp function would keep a NumPy array
    if groups == channels == kernel.shape[3] > 1 and use_fast(form, on_cpu()):
        return depthwise_conv(x, kernel, (rows, columns))
    if groups == 1 and use_fast(form, on_cpu()):
        chosen = plan(x, kernel, (rows, columns), only_fast=form == "fast")
        return fast_conv(x, kernel, (rows, columns), chosen, plain_conv)
    return plain_conv(x, kernel, (rows, columns), groups)


class Conv(nn.Module):
    """A convolution layer, whose parameters are float32 whatever the compute dtype."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    rate: int = 1
    padding: int | None = None
    groups: int = 1
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x f"]:
        """Returns [B, H / stride, W / stride, features] with the default padding."""
        size = self.kernel_size
        if min(size, self.features) < 1:
            where = "/".join(self.path) or "convolution"
            raise ValueError(
                f"{where} has a kernel of {size} and {self.features} features: both must be at "
                "least 1"
            )
        shape = (size, size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        y = conv(
            x.astype(self.compute.dtype),
            kernel.astype(self.compute.dtype),
            stride=self.stride,
            rate=self.rate,
            padding=self.padding,
            groups=self.groups,
            form=self.compute.of("dense"),
        )
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return y + bias.astype(self.compute.dtype)


class DepthwiseConv(nn.Module):
    """One k x k filter for each channel (MobileNet, Xception); kernel [k, k, 1, C]."""

    kernel_size: int = 3
    stride: int = 1
    rate: int = 1
    padding: int | None = None
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = he_normal_fan_in
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x f"]:
        """Returns [B, H / stride, W / stride, C] with the default padding."""
        channels = x.shape[-1]
        shape = (self.kernel_size, self.kernel_size, 1, channels)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        y = conv(
            x.astype(self.compute.dtype),
            kernel.astype(self.compute.dtype),
            stride=self.stride,
            rate=self.rate,
            padding=self.padding,
            groups=channels,
            form=self.compute.of("depthwise"),
        )
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,), jnp.float32)
        return y + bias.astype(self.compute.dtype)


class SeparableConv(nn.Module):
    """A depthwise and a 1x1 convolution, each normalised (Xception; DeepLab v3+, section 3.1)."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    rate: int = 1
    normalise_depthwise: bool = True  # off in smp: no norm between the two
    activate_depthwise: bool = True  # ReLU after the depthwise convolution
    activate: bool = True  # ReLU after the 1x1 convolution
    depthwise_init: nn.initializers.Initializer = he_normal_fan_in
    pointwise_init: nn.initializers.Initializer = he_normal_fan_out
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b y x f"]:
        """Returns [B, H / stride, W / stride, features]."""
        norm = functools.partial(NormLayer, self.norm, self.compute.dtype)
        y = DepthwiseConv(
            self.kernel_size,
            self.stride,
            self.rate,
            kernel_init=self.depthwise_init,
            compute=self.compute,
            name="depthwise",
        )(x)
        if self.normalise_depthwise:
            y = norm(name="depthwise_norm")(y, train=train)
        if self.activate_depthwise:
            y = nn.relu(y)
        y = Conv(
            self.features,
            1,
            kernel_init=self.pointwise_init,
            compute=self.compute,
            name="pointwise",
        )(y)  # [B, H/s, W/s, features]
        y = norm(name="pointwise_norm")(y, train=train)
        return nn.relu(y) if self.activate else y


def classifier(
    num_classes: int,
    compute: Compute,
    *,
    kernel_size: int = 1,
    rate: int = 1,
    kernel_init: nn.initializers.Initializer = he_normal_fan_in,
    name: str = "classifier",
) -> Conv:
    """Returns the convolution that computes class scores: with a bias, and always in float32."""
    return Conv(
        num_classes,
        kernel_size,
        rate=rate,
        use_bias=True,
        kernel_init=kernel_init,
        compute=compute.float32,
        name=name,
    )
