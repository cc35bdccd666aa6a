"""The kinds of upsampling that a decoder can choose from, by name."""

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
    """FCN's bilinear start for a kernel of any size: the weights of every output sum to 1.

    Kernels of 2 stride are FCN's own. Those of SegNet's Table 1, 8 taps at stride 2, would double
    the map along each axis as they are, and are halved along each.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        rows, columns = ((n + 1) // 2 / stride for n in shape[:2])
        return bilinear_init(key, shape, dtype) / (rows * columns)

    return init


class Upsample(nn.Module):
    """Each pixel becomes factor x factor pixels; the last ones may be cut off (odd sizes).

    - "nearest": each of them is the pixel (replication).
    - "bed_of_nails": the first one is the pixel, the others 0.
    - "max_unpooling": the one where the pooled maximum lay is the pixel, the others 0 (SegNet,
      section 3; DeconvNet, section 3.2).
    - "bilinear": interpolation in which the map goes on with its border pixels ("half_pixel").
    - "transposed": a learned transposed convolution among all channels, without bias, which starts
      as bilinear interpolation of each (FCN, section 3.3).
    - "transposed_fixed": that start, not learned: a bilinear map that goes on with zeros.

    Only "transposed" has a parameter, the kernel [k, k, C, C].
    """

    kind: str
    factor: int = 2
    kernel_size: int = 0  # of transposed convolutions; 0: FCN's, 2 factor, 1 less for odd factors
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        size: tuple[int, ...],
        places: Integer[Array, "b h w _"] | None = None,
    ) -> Float[Array, "b {size[0]} {size[1]} c"]:
        """The map upsampled to a size.

        Args:
          x: the map.
          size: (H, W); x has ceil(H / factor) rows and ceil(W / factor) columns, as after Caffe's
            pooling.
          places: of the maxima, of as many channels; for "max_unpooling" (`layers/unpool.py`).

        Raises:
          ValueError: an unknown kind; sizes that do not belong together; "max_unpooling" without
            places; a kernel that leaves pixels out, or cannot lie in the middle of its pixel.
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
        """[B, h, w, C] -> [B, factor h, factor w, C], bilinear to begin with."""
        size = self.kernel_size or 2 * self.factor - self.factor % 2
        around = size - self.factor
        if around < 0 or around % 2:
            raise ValueError(
                f"kernel_size is {size}: by factor {self.factor} a transposed convolution takes "
                f"{self.factor}, {self.factor + 2}, {self.factor + 4} .. taps"
            )
        init, channels = interpolating_init(self.factor), x.shape[-1]
        form = self.compute.of("transposed")
        upsample = functools.partial(
            conv_transpose, stride=self.factor, padding=around // 2, form=form
        )
        if self.kind == "transposed":
            kernel = self.param("kernel", init, (size, size, channels, channels), jnp.float32)
            return upsample(x, kernel.astype(self.compute.dtype))
        # Channels do not mix: each is an image of its own.
        batch, rows, columns, _ = x.shape
        kernel = init(jax.random.key(0), (size, size, 1, 1), x.dtype)
        planes = x.transpose(0, 3, 1, 2).reshape(-1, rows, columns, 1)
        planes = upsample(planes, kernel)
        planes = planes.reshape(batch, channels, *planes.shape[1:3])
        return planes.transpose(0, 2, 3, 1)
