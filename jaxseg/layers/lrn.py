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
    """Each value over a power of the energy of its neighbours in channel, as Caffe defines it.

        y[c] = x[c] / (k + alpha / size * sum of x[d]^2 for |d - c| <= size // 2) ** beta

    Channels beyond the first and the last are zeros. Caffe and torch divide alpha by the size; the
    paper does not (its alpha of 1e-4 is 5e-4 here), and its k is 2.

    Args:
      x: the map.
      size: channels in a window, an odd number.
      alpha: weight of the energy.
      beta: the power.
      k: what is added to it, above 0.

    Returns:
      In x's dtype, computed in float32 at least.

    Raises:
      ValueError: a size that has no channel in its middle.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size is {size}: a window of channels has a middle, so 1, 3, 5 ..")
    wide = x.astype(accumulator(x))
    reach, channels = size // 2, x.shape[-1]
    edges = [(0, 0)] * (x.ndim - 1) + [(reach, reach)]
    energy = jnp.pad(wide * wide, edges)
    total = sum(energy[..., first : first + channels] for first in range(size))
    return (wide * (k + alpha / size * total) ** -beta).astype(x.dtype)
