"""Transposed convolution ("deconvolution", "up-convolution"), as a convolution of sub-pixels.

Along one axis, with a kernel w of k taps and stride s, each input i contributes to k outputs:

    y[s i + t] += x[i] w[t],   t = 0 .. k - 1.

Write t = s q + r. Then y[s m + r] = sum over q of x[m - q] w[s q + r]: for each of the s sub-pixel
positions r this is an ordinary convolution with every s-th tap. In two dimensions, all s * s of
them are one convolution with ceil(k / s)^2 taps and s * s times the channels, whose channels are
then rearranged into pixels. With stride 1 it is one convolution with the flipped kernel. XLA's form
dilates the input with zeros; its gradient with respect to the kernel is 40 times slower on CPU
(jax#23783, jax#31662).
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Float, Float64

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import conv, he_normal_fan_in
from jaxseg.layers.fast.forms import on_cpu, use_fast
from jaxseg.types import Array


def _dilated(x: Array, kernel: Array, stride: int) -> Array:
    """The definition: a convolution of the zero-dilated input with the flipped kernel."""
    edges = [(k - 1, k - 1) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        window_strides=(1, 1),
        padding=edges,
        lhs_dilation=(stride, stride),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _sub_pixels(x: Array, kernel: Array, stride: int, form: str) -> Array:
    """The fast form: one convolution computes every sub-pixel position as a separate channel."""
    kh, kw, inputs, outputs = kernel.shape
    rows, columns = -(-kh // stride), -(-kw // stride)  # taps per sub-pixel
    edges = [(0, rows * stride - kh), (0, columns * stride - kw), (0, 0), (0, 0)]
    taps = jnp.pad(kernel, edges).reshape(rows, stride, columns, stride, inputs, outputs)
    taps = taps[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)  # [rows, columns, Cin, s, s, Cout]
    taps = taps.reshape(rows, columns, inputs, -1)
    # Full padding. The map is padded here because `conv` pads both axes alike.
    x = jnp.pad(x, [(0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)])
    y = conv(x, taps, padding=0, form=form)  # [B, h + rows - 1, w + columns - 1, s s Cout]
    batch, height, width, _ = y.shape
    y = y.reshape(batch, height, width, stride, stride, outputs).transpose(0, 1, 3, 2, 4, 5)
    y = y.reshape(batch, height * stride, width * stride, outputs)
    # If the stride does not divide the kernel size, the last outputs are zeros.
    return y[:, : height * stride - edges[0][1], : width * stride - edges[1][1]]


def conv_transpose(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c f"],
    *,
    stride: int,
    padding: int = 0,
    form: str = "auto",
) -> Float[Array, "b {stride}*(h-1)+kh-2*{padding} {stride}*(w-1)+kw-2*{padding} f"]:
    """Transposed convolution with the conventions of Caffe and PyTorch.

    Args:
      x: the map.
      kernel: not flipped: tap 0 belongs to the first output to which an input contributes.
      stride: the upsampling factor.
      padding: outputs that are cropped on each side.
      form: "auto", "plain" or "fast" (sub-pixels); both give the same numbers.

    Raises:
      ValueError: the padding leaves nothing.
    """
    sizes = [
        stride * (n - 1) + k - 2 * padding
        for n, k in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    ]
    if min(sizes) < 1:
        raise ValueError(
            f"padding {padding} leaves nothing of a transposed convolution of {x.shape[1]} x "
            f"{x.shape[2]} pixels with stride {stride} and a kernel of {kernel.shape[0]}"
        )
    size = kernel.shape[0]
    if stride == 1 and size == kernel.shape[1] and padding < size:
        return conv(x, kernel[::-1, ::-1], padding=size - 1 - padding, form=form)
    if use_fast(form, on_cpu()):
        y = _sub_pixels(x, kernel, stride, form)
    else:
        y = _dilated(x, kernel, stride)
    return y[:, padding : padding + sizes[0], padding : padding + sizes[1]]


def bilinear_taps(size: int) -> Float64[np.ndarray, " {size}"]:
    """Returns the taps of a kernel that interpolates linearly (FCN, surgery.py).

    Tap i is 1 - |i - c| / f with f = (size + 1) // 2 and the centre c at f - 1 for odd sizes and
    f - 1/2 for even ones. For stride s the size is 2 s - s mod 2: 4, 16, 32, 64 for 2, 8, 16, 32.
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    return 1 - np.abs(np.arange(size) - centre) / factor


def bilinear_init(
    key: Array | None, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """Returns a kernel [k, k, C, C] that interpolates each channel bilinearly, without mixing."""
    del key
    rows, columns = (bilinear_taps(n) for n in shape[:2])
    plane = np.outer(rows, columns)[:, :, None, None]
    return jnp.asarray(plane * np.eye(shape[2], shape[3]), dtype)


class ConvTranspose(nn.Module):
    """A transposed convolution layer, whose parameters are float32 whatever the compute dtype."""

    features: int
    kernel_size: int
    stride: int
    padding: int = 0
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = he_normal_fan_in
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x {self.features}"]:
        """Returns the upsampled map; see `conv_transpose`."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        y = conv_transpose(
            x.astype(self.compute.dtype),
            kernel.astype(self.compute.dtype),
            stride=self.stride,
            padding=self.padding,
            form=self.compute.of("transposed"),
        )
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return y + bias.astype(self.compute.dtype)
