"""Normalises uint8 pixels to the input of a network."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Float, Num

from jaxseg.types import Array, ArrayLike

Color = tuple[float, float, float]  # one number for each of R, G, B


@dataclasses.dataclass(unsafe_hash=True)  # flags set its fields before it is hashed
class Normalisation:
    """(RGB - mean) / std, in the units of the pixels, 0 to 255."""

    mean: Color = (127.5, 127.5, 127.5)  # of uint8 RGB; also the padding value
    std: Color = (127.5, 127.5, 127.5)  # what the difference is divided by, channel by channel


def normalise(
    images: Num[ArrayLike, "*b h w 3"], normalisation: Normalisation
) -> Float[Array, "*b h w 3"]:
    """float32 (images - mean) / std, on the device; images are uint8."""
    mean, std = jnp.asarray(normalisation.mean), jnp.asarray(normalisation.std)
    return (jnp.asarray(images, jnp.float32) - mean) / std
