"""Features of the CRF's appearance kernel, for an image alone or in a larger frame."""

import jax
import jax.numpy as jnp

from jaxseg.types import Array, ArrayLike


def inside_frame(size: Array, height: int, width: int) -> Array:
    """Which pixels of a frame [H, W] are those of an image (height, width): bool [H, W, 1]."""
    rows, columns = jnp.arange(height) < size[0], jnp.arange(width) < size[1]
    return (rows[:, None] & columns)[..., None]


@jax.jit
def appearance_features(
    image: ArrayLike,
    theta_alpha: ArrayLike | float,
    theta_beta: ArrayLike | float,
    size: ArrayLike | None = None,
) -> Array:
    """(x, y) / theta_alpha and (r, g, b) / theta_beta of each pixel, about the image's centre.

    Positions are centred, colours less their mean, rounded to a whole one: its last digits depend
    on the order of a sum, and an image is to have the same features in any frame.

    Args:
      image: [H, W, 3], 0..255.
      theta_alpha: pixels.
      theta_beta: of colour.
      size: of the image in the frame [H, W], int [2]; None is all of it. Pixels beyond get the
        features of the first one.

    Returns:
      [H, W, 5].
    """
    image = jnp.asarray(image)
    image = image.astype(jnp.promote_types(image.dtype, jnp.float32))
    height, width, _ = image.shape
    extent = jnp.asarray((height, width) if size is None else size, jnp.int32)
    inside = inside_frame(extent, height, width)
    y, x = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    positions = (2 * jnp.stack([x, y], axis=-1) - (extent[::-1] - 1)).astype(image.dtype) / 2
    total = jnp.sum(jnp.where(inside, image, 0), axis=(0, 1))
    mean = jnp.round(total / (extent[0] * extent[1]).astype(image.dtype))
    colours = image - jax.lax.stop_gradient(mean)  # moving all features changes no kernel
    features = jnp.concatenate([positions / theta_alpha, colours / theta_beta], axis=-1)
    return features if size is None else jnp.where(inside, features, features[0, 0])
