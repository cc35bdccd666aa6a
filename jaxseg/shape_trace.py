"""The shapes that a model takes and returns, by tracing it once without computing."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.types import Outputs, Variables

SMALL = (65, 65)  # parameters do not depend on the image size; a small one is fast to trace


def trace_shapes(
    model: nn.Module, size: tuple[int, int] = SMALL, channels: int = 3
) -> tuple[Outputs, Variables]:
    """The outputs of a model for one image, and its variables, as `jax.ShapeDtypeStruct`.

    Args:
      model: takes images [1, H, W, channels].
      size: (height, width) of the image.
      channels: of the image.

    Raises:
      ValueError: the model cannot be built with its fields, or not for this size.
    """
    image = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), image
    )
