"""FCN's fixed deconvolution: bilinear interpolation of each channel, with zeros outside the map.

This is the transposed convolution of stride s with `bilinear_init` and k taps, k = 2 s or 2 s - 1.
Each output lies between at most two inputs, so along one axis

    y[s m + r] = w[r] x[m] + w[s + r] x[m - 1],   r = 0 .. s - 1,

which takes two products per output, where a dense convolution over all channels takes k^2 C.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.conv_transpose import bilinear_taps
from jaxseg.layers.fast.forms import use_fast
from jaxseg.types import Array


def bilinear_conv_transpose(
    x: Float[Array, "b h w c"], *, size: int, stride: int, form: str = "auto"
) -> Float[Array, "b {stride}*(h-1)+{size} {stride}*(w-1)+{size} c"]:
    """Upsamples each channel by `stride` with fixed bilinear weights.

    Args:
      x: the map.
      size: kernel taps along each axis, 2 * stride or 2 * stride - 1.
      stride: the upsampling factor.
      form: "auto", "plain" (two matrix products) or "fast"; both give the same numbers.

    Returns:
      The upsampled map in x's dtype, accumulated in at least float32.

    Raises:
      ValueError: `size` is neither of the two.
    """
    if size not in (2 * stride - 1, 2 * stride):
        raise ValueError(
            f"size is {size}: with stride {stride} a bilinear kernel has {2 * stride} taps or one "
            "less"
        )
    y = x.astype(accumulator(x))
    if use_fast(form, True):
        for axis in (1, 2):
            y = _between(y, size, stride, axis)
    else:
        y = _multiplied(y, size, stride)
    return y.astype(x.dtype)


def _multiplied(x: Array, size: int, stride: int) -> Array:
    """The plain form: pads with zeros, multiplies by a matrix for each axis, crops the border."""
    x = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    rows, columns = (_matrix(n, size, stride).astype(x.dtype) for n in x.shape[1:3])
    y = jnp.einsum("hH,wW,BHWC->BhwC", rows, columns, x, precision="highest")
    bottom, right = (stride * (n - 2) + size for n in x.shape[1:3])
    return y[:, stride:bottom, stride:right]


def _matrix(inputs: int, size: int, stride: int) -> np.ndarray:
    """The upsampling of one axis as a matrix, float64 [stride inputs, inputs]."""
    taps = bilinear_taps(size)
    weights = np.zeros((stride * (inputs + 1), inputs))
    for i in range(inputs):
        weights[stride * i : stride * i + size, i] = taps
    return weights[:-stride]


def _between(x: Array, size: int, stride: int, axis: int) -> Array:
    """The fast form along axis 1 or 2: the weighted sum of the two inputs of each output."""
    inputs = x.shape[axis]
    edges = [(1, 1) if a == axis else (0, 0) for a in range(4)]
    padded = jnp.pad(x, edges)
    before, after = (
        jnp.expand_dims(lax.slice_in_dim(padded, first, first + inputs + 1, axis=axis), axis + 1)
        for first in (0, 1)
    )
    taps = np.pad(bilinear_taps(size), (0, 2 * stride - size)).astype(x.dtype)
    shape = [stride if a == axis + 1 else 1 for a in range(5)]
    y = after * taps[:stride].reshape(shape) + before * taps[stride:].reshape(shape)
    whole = list(x.shape)
    whole[axis] = stride * (inputs + 1)
    return lax.slice_in_dim(y.reshape(whole), 0, stride * (inputs - 1) + size, axis=axis)
