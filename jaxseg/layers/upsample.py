"""The kinds of upsampling that a decoder can use, by name."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv_transpose import bilinear_init, conv_transpose
from jaxseg.layers.resize import resize_bilinear
from jaxseg.layers.unpool import unpool
from jaxseg.types import Array

KINDS = (
    "nearest",
    "bed_of_nails",
    "max_unpooling",
    "bilinear",
    "transposed",
    "transposed_fixed",
)


def interpolating_init(stride: int) -> nn.initializers.Initializer:
    """Returns FCN's bilinear initializer for any kernel size: the weights of each output sum to 1.

    Kernels of 2 * stride taps are FCN's. The bilinear kernel of SegNet's Table 1, 8 taps at stride
    2, would double the values along each axis, so it is halved along each.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        rows, columns = ((n + 1) // 2 / stride for n in shape[:2])
        return bilinear_init(key, shape, dtype) / (rows * columns)

    return init


class Upsample(nn.Module):
    """Upsamples each pixel to factor x factor pixels, cropped at the end for odd sizes.

    - "nearest": repeats the pixel.
    - "bed_of_nails": the first of them is the pixel, the others are 0.
    - "max_unpooling": the one at the place of the pooled maximum is the pixel, the others are 0
      (SegNet, section 3; DeconvNet, section 3.2).
    - "bilinear": bilinear interpolation that continues the map with its border pixels
      ("half_pixel").
    - "transposed": a learned transposed convolution over all channels, without bias, initialised to
      bilinear interpolation of each channel (FCN, section 3.3).
    - "transposed_fixed": the same initial kernel, not learned, which continues the map with zeros.

    Only "transposed" has a parameter, the kernel [k, k, C, C].
    """

    kind: str
    factor: int = 2
    kernel_size: int = 0  # of transposed convolutions; 0: FCN's, 2 factor - factor mod 2
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        size: tuple[int, ...],
        places: Integer[Array, "b h w _"] | None = None,
    ) -> Float[Array, "b {size[0]} {size[1]} c"]:
        """Upsamples a map to a size.

        Args:
          x: the map.
          size: (H, W); x has ceil(H / factor) rows and ceil(W / factor) columns, as after Caffe's
            pooling.
          places: of the maxima, with as many channels as x; needed by "max_unpooling" (see
            `layers/unpool.py`).

        Raises:
          ValueError: the kind is unknown; the sizes do not match; "max_unpooling" is given no
            places; `kernel_size` is smaller than `factor` or differs from it by an odd number.
        """
        if self.kind not in KINDS:
            raise ValueError(f"upsampling is {self.kind!r}: it must be one of {', '.join(KINDS)}")
        height, width = size
        rows, columns = (-(-n // self.factor) for n in size)
        if x.shape[1:3] != (rows, columns):
            raise ValueError(
                f"{x.shape[1]} x {x.shape[2]} pixels do not become {height} x {width} by factor "
                f"{self.factor}: {rows} x {columns} would"
            )
        x, pool = x.astype(self.compute.dtype), self.compute.of("pool")
        if self.kind == "max_unpooling":
            if places is None:
                raise ValueError("upsampling is 'max_unpooling': it needs the places of a pooling")
            return unpool(x, places, self.factor, shape=(height, width), form=pool)
        if self.kind == "bed_of_nails":
            first = jnp.zeros(x.shape, jnp.uint8)
            return unpool(x, first, self.factor, shape=(height, width), form=pool)
        if self.kind == "nearest":
            x = x.repeat(self.factor, axis=1).repeat(self.factor, axis=2)
        elif self.kind == "bilinear":
            whole = (rows * self.factor, columns * self.factor)
            x = resize_bilinear(x, whole, convention="half_pixel", form=self.compute.of("resize"))
        else:
            x = self._transposed(x)
        return x[:, :height, :width]

    def _transposed(self, x: Array) -> Array:
        """Applies a transposed convolution, bilinear at initialisation."""
        size = self.kernel_size or 2 * self.factor - self.factor % 2
        around = size - self.factor
        if around < 0 or around % 2:
            raise ValueError(
                f"kernel_size is {size}: with factor {self.factor} a transposed convolution must "
                f"have {self.factor}, {self.factor + 2}, {self.factor + 4}, ... taps"
            )
        init, channels = interpolating_init(self.factor), x.shape[-1]
        form = self.compute.of("transposed")
        upsample = functools.partial(
            conv_transpose, stride=self.factor, padding=around // 2, form=form
        )
        if self.kind == "transposed":
            kernel = self.param("kernel", init, (size, size, channels, channels), jnp.float32)
            return upsample(x, kernel.astype(self.compute.dtype))
        # Channels do not mix, so each is upsampled as a separate image.
        batch, rows, columns, _ = x.shape
        kernel = init(jax.random.key(0), (size, size, 1, 1), x.dtype)
        planes = x.transpose(0, 3, 1, 2).reshape(-1, rows, columns, 1)
        planes = upsample(planes, kernel)
        planes = planes.reshape(batch, channels, *planes.shape[1:3])
        return planes.transpose(0, 2, 3, 1)
