"""The dtype in which sums are accumulated."""

import jax.numpy as jnp

from jaxseg.types import Array


def accumulator(x: Array) -> jnp.dtype:
    """Returns the dtype for sums of `x`: float32 for half precision, else the dtype of `x`."""
    return jnp.promote_types(x.dtype, jnp.float32)
