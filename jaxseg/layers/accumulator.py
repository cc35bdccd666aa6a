"""The dtype in which sums are accumulated."""

import jax.numpy as jnp

from jaxseg.types import Array


def accumulator(x: Array) -> jnp.dtype:
    """Sums of half precision are kept in float32."""
    return jnp.promote_types(x.dtype, jnp.float32)
