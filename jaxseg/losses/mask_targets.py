"""What a mask head should say of a RoI: its object's mask, cropped to the RoI and resized."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, Num, UInt8

from jaxseg.types import Array, ArrayLike

_AT_ONCE = 16  # RoIs whose masks are unpacked at a time


def unpacked(bits: UInt8[ArrayLike, "*n w8"]) -> Bool[Array, "*n {8}*w8"]:
    """The pixels of rows of bits, the highest bit first: the inverse of `numpy.packbits`.

    Examples:
      >>> unpacked(np.packbits([[True, False, True]], axis=-1))[0, :3].tolist()
      [True, False, True]
    """
    bits = jnp.asarray(bits)
    shifts = jnp.arange(7, -1, -1, dtype=jnp.uint8)
    pixels = (bits[..., None] >> shifts) & 1
    return pixels.reshape(*bits.shape[:-1], -1).astype(bool)


def bin_weights(
    start: Float[ArrayLike, ""],
    length: Float[ArrayLike, ""],
    extent: Num[ArrayLike, ""],
    bins: int,
    pixels: int,
) -> Float[Array, "{bins} {pixels}"]:
    """RoIAlign along one axis as a matrix, with as many samples as a bin has pixels, rounded up.

    Bin p is the mean of S = ceil(length / bins) samples at start + (p + (s + 1/2) / S) length/bins,
    each between its two nearest pixels; those more than a pixel beyond the image are 0, the others
    outside of it lie on its edge.

    Args:
      start: of the RoI, in pixels of the map, 0 being the middle of the first.
      length: of the RoI, at least 0; one longer than the map has as many samples as that takes.
      extent: of the image within the map, in pixels.
      bins: of the result.
      pixels: of the map.
    """
    start, length = jnp.asarray(start), jnp.asarray(length)
    most = -(-(pixels + 1) // bins)
    samples = jnp.clip(jnp.ceil(length / bins), 1, most)
    step = length / bins
    first = start + jnp.arange(bins)[:, None] * step  # [bins, 1]

    def add(s: Array, total: Array) -> Array:
        places = first + (s + 0.5) * step / samples
        counted = (s < samples) & (places >= -1) & (places <= extent)
        places = jnp.clip(places, 0, extent - 1)
        near = jnp.maximum(0, 1 - jnp.abs(places - jnp.arange(pixels)))  # [bins, pixels]
        return total + jnp.where(counted, near, 0)

    # In a loop, so that [bins, most, pixels] is never stored; four samples at a time, so that an
    # accelerator starts few kernels.
    zeros = jnp.zeros((bins, pixels), first.dtype)
    return jax.lax.fori_loop(0, most, add, zeros, unroll=4) / samples


def _of_roi(mask: Array, roi: Array, extent: Array, size: int, aligned: bool) -> Array:
    """The mask [H, W/8] of bits in a RoI of an image of (height, width): [size, size]."""
    pixels = unpacked(mask).astype(roi.dtype)  # [H, 8 * W8]
    offset, least = (0.5, 0.0) if aligned else (0.0, 1.0)
    sides = jnp.maximum(roi[2:] - roi[:2], least)
    corner = roi[:2] - offset
    rows = bin_weights(corner[1], sides[1], extent[0], size, pixels.shape[0])
    columns = bin_weights(corner[0], sides[0], extent[1], size, pixels.shape[1])
    return rows @ pixels @ columns.T


def mask_targets(
    masks: UInt8[ArrayLike, "b g h w8"],
    rois: Float[ArrayLike, "b n 4"],
    matched: Integer[ArrayLike, "b n"],
    extents: Integer[ArrayLike, "b 2"],
    size: int,
    *,
    soft: bool,
    aligned: bool,
) -> Float[Array, "b n {size} {size}"]:
    """The masks of the matched objects within RoIs, by RoIAlign with adaptive sampling.

    The packed masks are never unpacked together: 100 objects of 800 x 1344 pixels would be 0.4 GB.

    Args:
      masks: by `numpy.packbits` along the width.
      rois: in pixels, within the image.
      matched: which object.
      extents: (height, width) of each image within the padding.
      size: M of the mask head.
      soft: shares of bins, as torchvision trains with; else 1 from a half on, 0 below (Mask R-CNN,
        section 3.1; detectron2).
      aligned: half a pixel to the left and up, and no least size of a RoI (detectron2).

    Examples:
      >>> masks = np.packbits(np.arange(8) < 4).reshape(1, 1, 1, 1).repeat(8, axis=2)
      >>> rois = np.array([[[0.0, 0.0, 8.0, 8.0]]])
      >>> args = np.array([[0]]), np.array([[8, 8]]), 2
      >>> targets = mask_targets(masks, rois, *args, soft=False, aligned=True)
      >>> targets[0, 0, 0].tolist()
      [1.0, 0.0]
    """
    masks, rois, matched = jnp.asarray(masks), jnp.asarray(rois), jnp.asarray(matched)

    def of_image(masks: Array, rois: Array, matched: Array, extent: Array) -> Array:
        return jax.lax.map(
            lambda one: _of_roi(masks[one[1]], one[0], extent, size, aligned),
            (rois, matched),
            batch_size=min(_AT_ONCE, max(1, len(rois))),
        )

    targets = jax.vmap(of_image)(masks, rois, matched, jnp.asarray(extents))
    targets = targets if soft else (targets >= 0.5).astype(rois.dtype)
    return jax.lax.stop_gradient(targets)
