"""Features of the CRF's appearance kernel, for an image with or without padding."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, Num

from jaxseg.types import Array, ArrayLike


def inside_frame(
    size: Integer[Array, "2"], height: int, width: int
) -> Bool[Array, "{height} {width} 1"]:
    """Marks the pixels of a padded frame that belong to an image of size (height, width)."""
    rows, columns = jnp.arange(height) < size[0], jnp.arange(width) < size[1]
    return (rows[:, None] & columns)[..., None]


@jax.jit
def appearance_features(
    image: Num[ArrayLike, "h w 3"],
    theta_alpha: Num[ArrayLike, ""] | float,
    theta_beta: Num[ArrayLike, ""] | float,
    size: Integer[ArrayLike, "2"] | None = None,
) -> Float[Array, "h w 5"]:
    """Returns (x, y) / theta_alpha and (r, g, b) / theta_beta of each pixel, centred.

    Positions are relative to the image's centre, colours to their mean. The mean is rounded to an
    integer, since its last digits depend on the order of summation and the features of an image
    should not depend on its padding.

    Args:
      image: 0..255.
      theta_alpha: in pixels.
      theta_beta: in units of colour, 0..255.
      size: (height, width) of the image without padding; None means that there is none. Padding
        gets the features of the first pixel.
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
    colours = image - jax.lax.stop_gradient(mean)  # a common shift does not affect the kernel
    features = jnp.concatenate([positions / theta_alpha, colours / theta_beta], axis=-1)
    return features if size is None else jnp.where(inside, features, features[0, 0])
