"""Max and average pooling."""

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.types import Array


def max_pool(x: Array, window: int, stride: int, padding: int = 0, *, form: str = "auto") -> Array:
    """The maximum of each window; in the gradient the first maximum, row by row, takes all.

    Args:
      x: [B, H, W, C].
      window: side of the square window.
      stride: of the output's grid in the input's.
      padding: of minus infinity on each side.
      form: "auto", "plain" or "fast"; all give the same numbers.

    Returns:
      [B, (H + 2 padding - window) // stride + 1, W likewise, C].
    """
    pads = [(padding, padding)] * 2
    return nn.max_pool(x, (window, window), (stride, stride), pads)


def avg_pool(x: Array, window: int, stride: int, padding: int = 0) -> Array:
    """The mean of each window of [B, H, W, C]; padding is zeros that count, as in torch."""
    pads = [(padding, padding)] * 2
    return nn.avg_pool(x, (window, window), (stride, stride), pads)


def global_avg_pool(x: Array) -> Array:
    """[B, H, W, C] -> [B, 1, 1, C], summed in float32."""
    return jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype)
