"""Atrous spatial pyramid pooling (Chen et al., arXiv 1706.05587, section 3.3 and Figure 5)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import SeparableConv, he_normal_fan_in, he_normal_fan_out
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from jaxseg.layers.pool import global_avg_pool
from jaxseg.types import Array

STATED_AT = 16  # the output stride at which the papers, and the fields here, state atrous rates

# From the released code: tf-slim's default, used in ASPP and the decoder, and the initializer of
# the last 1x1 convolution.
xavier_uniform = nn.initializers.xavier_uniform()
classifier_init = nn.initializers.truncated_normal(0.01)


def rates_at(
    atrous_rates: tuple[int, ...], output_stride: int, stated_at: int = STATED_AT
) -> tuple[int, ...]:
    """Scales rates stated at one output stride so that they span the same part of the image.

    For example, (6, 12, 18) at output stride 16 becomes (12, 24, 36) at 8 and (3, 6, 9) at 32.

    Raises:
      ValueError: a rate is not positive, or is not an integer after scaling.
    """
    for rate in atrous_rates:
        if rate * stated_at % output_stride or rate < 1:
            raise ValueError(
                f"atrous_rates holds {rate}, stated at output stride {stated_at}: at output stride "
                f"{output_stride} that is {rate * stated_at / output_stride:g}, not a whole rate"
            )
    return tuple(rate * stated_at // output_stride for rate in atrous_rates)


class ASPP(nn.Module):
    """Parallel atrous convolutions of one map at several rates, concatenated and projected.

    The order of concatenation is Figure 5's: 1x1, each rate, image pooling. (The released code puts
    image pooling first; the table for its weights reorders the projection's input channels.)

    Departure: 3x3 convolutions may be separable, as in DeepLab v3+ (arXiv 1802.02611, 3.1), and
    dropout follows the projection, as in the released code; the papers do not mention it.
    """

    features: int = 256
    rates: tuple[int, ...] = (6, 12, 18)  # on this map; any number of rates, including none
    image_pooling: bool = True
    separable: bool = False
    normalise_depthwise: bool = True  # norm and ReLU between depthwise and pointwise
    depthwise_init: nn.initializers.Initializer = he_normal_fan_in  # if separable, like the next
    pointwise_init: nn.initializers.Initializer = he_normal_fan_out
    dropout: float = 0.1
    norm: Norm = Norm(decay=0.9997)
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w {self.features}"]:
        """Returns the projected features; in training, dropout uses the rng "dropout".

        In training with a single image, the pooled branch has one value per channel; its batch norm
        then uses its running statistics (see `NormLayer`). It learns nothing from such a batch: it
        adds a constant to each channel, which the projection's batch norm removes again. With
        frozen or group norm, or with more images, it does learn.
        """
        block = functools.partial(
            ConvNorm, kernel_init=xavier_uniform, norm=self.norm, compute=self.compute
        )
        atrous: Callable[..., nn.Module] = block
        if self.separable:
            atrous = functools.partial(
                SeparableConv,
                normalise_depthwise=self.normalise_depthwise,
                activate_depthwise=self.normalise_depthwise,
                depthwise_init=self.depthwise_init,
                pointwise_init=self.pointwise_init,
                norm=self.norm,
                compute=self.compute,
            )
        branches = [block(self.features, 1, name="conv1x1")(x, train=train)]  # [B, h, w, 256]
        for number, rate in enumerate(self.rates, start=1):
            branch = atrous(self.features, 3, rate=rate, name=f"atrous{number}")
            branches.append(branch(x, train=train))  # [B, h, w, 256]
        if self.image_pooling:
            pooled = global_avg_pool(x)  # [B, 1, 1, C]
            pooled = block(self.features, 1, name="image_pooling")(pooled, train=train)
            # Bilinear resizing of a single pixel repeats it.
            branches.append(jnp.broadcast_to(pooled, branches[0].shape))  # [B, h, w, 256]
        x = jnp.concatenate(branches, axis=-1)  # [B, h, w, 256 (2 + rates)]
        x = block(self.features, 1, name="projection")(x, train=train)  # [B, h, w, 256]
        return nn.Dropout(self.dropout, deterministic=not train)(x)
