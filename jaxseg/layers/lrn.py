"""Local response normalisation across channels (Krizhevsky et al., 2012, section 3.3)."""

import jax.numpy as jnp
from jaxtyping import Float

from jaxseg.layers.accumulator import accumulator
from jaxseg.types import Array


def local_response_norm(
    x: Float[Array, "*n c"],
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Float[Array, "*n c"]:
    """Divides each value by a power of the energy of neighbouring channels, as defined in Caffe.

        y[c] = x[c] / (k + alpha / size * sum of x[d]^2 for |d - c| <= size // 2) ** beta

    Channels outside the map count as zeros. Caffe and PyTorch divide alpha by the size; the paper
    does not (its alpha of 1e-4 is 5e-4 here), and its k is 2.

    Args:
      x: the map.
      size: number of channels in a window, odd.
      alpha: weight of the energy.
      beta: exponent.
      k: constant added to the energy, positive.

    Returns:
      The normalised map in x's dtype, computed in at least float32.

    Raises:
      ValueError: `size` is even or less than 1.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size is {size}: a window of channels must be odd, such as 3 or 5")
    wide = x.astype(accumulator(x))
    reach, channels = size // 2, x.shape[-1]
    edges = [(0, 0)] * (x.ndim - 1) + [(reach, reach)]
    energy = jnp.pad(wide * wide, edges)
    total = sum(energy[..., first : first + channels] for first in range(size))
    return (wide * (k + alpha / size * total) ** -beta).astype(x.dtype)
