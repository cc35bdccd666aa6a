"""U-Net's up step: a 3x3 convolution of a map upsampled by repetition, concatenated with a skip.

Upsampling by repetition copies input i to outputs 2 i and 2 i + 1. Along one axis the convolution

    y[o] = sum over k = 0, 1, 2 of u[o + k - 1] w[k],   u[2 i] = u[2 i + 1] = x[i]

uses x[i] for o = 2 i - 1 .. 2 i + 2, with weights w[2], w[1] + w[2], w[0] + w[1] and w[0]: it is a
transposed convolution of stride 2 and padding 1 with these four taps. It needs 16 products per
pixel of x where the plain form needs 36, and the upsampled map is never stored.

Of Winograd's four products along an axis (`layers/fast/winograd.py`), one is 0 on an upsampled map,
where d1 = d2. Three remain,

    m0 = (x[i - 1] - x[i]) w[0],   m1 = x[i] (w[0] + w[1] + w[2]),   m2 = (x[i + 1] - x[i]) w[2]
    y[2 i] = m0 + m1,   y[2 i + 1] = m1 + m2

so 9 in two dimensions. This form is used with many channels, where the products cost more than the
memory traffic of the differences.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from jaxseg.layers.conv import conv
from jaxseg.layers.conv_transpose import conv_transpose
from jaxseg.layers.fast.forms import on_cpu, use_fast
from jaxseg.types import Array

_TAPS = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))  # of the transposed kernel, from w
_KERNELS = ((1, 0, 0), (1, 1, 1), (0, 0, 1))  # of m0, m1, m2, from w
_OUTPUTS = ((1, 1, 0), (0, 1, 1))  # y from m
_MANY = 64  # channels; measured on XLA:CPU


def _mixed(matrix: tuple[tuple[int, ...], ...], x: Array) -> Array:
    """Applies a matrix [n, m] to two axes that are flattened into one: [m m, ...] -> [n n, ...]."""
    # A product of two-dimensional arrays: with more axes XLA:CPU takes a third longer for the
    # gradient, and with one product after the other 15 times as long.
    both = jnp.asarray(np.kron(matrix, matrix), x.dtype)
    y = jnp.matmul(both, x.reshape(len(x), -1), precision="highest")
    return y.reshape(-1, *x.shape[1:])


def _differences(x: Array, axis: int) -> list[Array]:
    """Returns the factors of m0, m1 and m2 along an axis of [B, h, w, C]."""
    edges = [(int(a == axis),) * 2 for a in range(4)]
    padded, count = jnp.pad(x, edges), x.shape[axis]
    before, after = (lax.slice_in_dim(padded, i, i + count, axis=axis) for i in (0, 2))
    return [before - x, x, after - x]


def _nine_products(x: Array, kernel: Array) -> Array:
    """The convolution by nine products, [B, 2 h, 2 w, Cout]."""
    batch, height, width, channels = x.shape
    kernels = _mixed(_KERNELS, kernel.reshape(9, channels, -1))  # [9, C, Cout]
    maps = jnp.stack([both for row in _differences(x, 1) for both in _differences(row, 2)])
    maps = maps.reshape(9, -1, channels)
    products = lax.dot_general(maps, kernels, (((2,), (1,)), ((0,), (0,))))
    y = _mixed(_OUTPUTS, products).reshape(2, 2, batch, height, width, -1)
    return y.transpose(2, 3, 0, 4, 1, 5).reshape(batch, 2 * height, 2 * width, -1)


def up_conv(
    x: Float[Array, "b h w c"],
    skip: Float[Array, "b 2*h 2*w s"] | None,
    kernel: Float[Array, "3 3 _ f"],
    *,
    form: str = "auto",
) -> Float[Array, "b 2*h 2*w f"]:
    """Computes conv(concatenate([upsample(x), skip]), kernel) with zero padding.

    Args:
      x: the map, upsampled by a factor of 2 by repeating each pixel.
      skip: the map that is concatenated to it, if any.
      kernel: C + S input channels, those of x first.
      form: "auto", "plain" or "fast" (nine products or a transposed convolution, plus a convolution
        of the skip); both give the same numbers.
    """
    if not use_fast(form, on_cpu()):
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)  # [B, 2 h, 2 w, C]
        if skip is not None:
            x = jnp.concatenate([x, skip], axis=-1)  # [B, 2 h, 2 w, C + S]
        return conv(x, kernel, form=form)
    channels, features = x.shape[3], kernel.shape[3]
    own = kernel[:, :, :channels]
    # In half precision the differences would lose accuracy.
    if min(channels, features) >= _MANY and x.dtype in (jnp.float32, jnp.float64):
        y = _nine_products(x, own)  # [B, 2 h, 2 w, Cout]
    else:
        taps = _mixed(_TAPS, own.reshape(9, channels, -1)).reshape(4, 4, channels, features)
        y = conv_transpose(x, taps, stride=2, padding=1, form=form)  # [B, 2 h, 2 w, Cout]
    return y if skip is None else y + conv(skip, kernel[:, :, channels:], form=form)
