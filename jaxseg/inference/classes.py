"""The most probable class of each pixel, from its scores."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int32

from jaxseg.inference import row_bands
from jaxseg.types import Array


def check_classes(found: int, num_classes: int) -> None:
    """Raises a ValueError unless the model has as many classes as the data set."""
    if found != num_classes:
        raise ValueError(
            f"the model predicts {found} classes, the data set has {num_classes}: "
            "set model.num_classes, or use weights for this data set"
        )


@functools.partial(jax.jit, static_argnums=1)
def classes_of_scores(
    scores: Float[Array, "b h w k"], num_classes: int
) -> tuple[Int32[Array, "b h w"], Bool[Array, " b"]]:
    """Returns the best class of each pixel, and whether all scores of each image are finite."""
    check_classes(scores.shape[-1], num_classes)
    best = row_bands.best_classes(row_bands.of_map(scores), scores.shape)
    return best, jnp.all(jnp.isfinite(scores), axis=(1, 2, 3))
