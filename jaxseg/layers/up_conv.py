"""A 3x3 convolution of a map enlarged twice by repetition, beside a second map: U-Net's step up.

Enlarged by repetition, input i stands at outputs 2 i and 2 i + 1. Along one axis the convolution

    y[o] = sum over k = 0, 1, 2 of u[o + k - 1] w[k],   u[2 i] = u[2 i + 1] = x[i]

gathers x[i] at o = 2 i - 1 .. 2 i + 2, with w[2], w[1] + w[2], w[0] + w[1] and w[0]: a transposed
convolution of stride 2 and padding 1 with these four taps. It has 16 products for each pixel of x
where the plain form has 36, and the enlarged map is never made.
"""

import jax.numpy as jnp

from jaxseg.layers.conv import conv
from jaxseg.layers.conv_transpose import conv_transpose
from jaxseg.layers.forms import on_cpu, use_fast
from jaxseg.types import Array

_TAPS = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))  # of the transposed kernel, from w


def up_conv(x: Array, skip: Array | None, kernel: Array, *, form: str = "auto") -> Array:
    """conv(concatenate([enlarge(x), skip]), kernel), zeros around the map.

    Args:
      x: [B, h, w, C], enlarged to [B, 2 h, 2 w, C] by repeating each pixel.
      skip: [B, 2 h, 2 w, S], or None.
      kernel: [3, 3, C + S, Cout].
      form: "auto", "plain" or "fast" (a transposed convolution and one of the skip); both give the
        same numbers.

    Returns:
      [B, 2 h, 2 w, Cout] in x's dtype.
    """
    if not use_fast(form, on_cpu()):
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)  # [B, 2 h, 2 w, C]
        if skip is not None:
            x = jnp.concatenate([x, skip], axis=-1)  # [B, 2 h, 2 w, C + S]
        return conv(x, kernel, form=form)
    channels = x.shape[3]
    taps = jnp.asarray(_TAPS, kernel.dtype)
    spread = jnp.einsum("ta,ub,abio->tuio", taps, taps, kernel[:, :, :channels])
    y = conv_transpose(x, spread, stride=2, padding=1, form=form)  # [B, 2 h, 2 w, Cout]
    return y if skip is None else y + conv(skip, kernel[:, :, channels:], form=form)
