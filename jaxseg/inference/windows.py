"""Images of several sizes in one frame: mirrored borders, windows, common long sides, rotations.

An image lies in the upper left of its frame; its own height and width are in `sizes`, int32 [B, 2].
All that is done here depends on the image and its size, not on the frame, so a number does not
depend on what other images a set holds. Loops over windows are compiled once a frame.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float32, Int32, Num, Shaped

from jaxseg.types import Array

_ROUNDING = 1e-6  # keeps 0.7 * 10 from being taken as 6.999...


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) of an image at `scale`: floor((n - 1) scale + 1), as DeepLab has it."""
    height, width = (math.floor((n - 1) * scale + 1 + _ROUNDING) for n in size)
    return height, width


def scaled_sizes(sizes: Int32[Array, "b 2"], scale: float) -> Int32[Array, "b 2"]:
    """`scaled_size` of each image by whole numbers: scales of up to three digits."""
    thousandths = round(1000 * scale)
    return sizes if scale == 1 else (sizes - 1) * thousandths // 1000 + 1


def window_starts(length: int, crop: int, share: float) -> tuple[int, ...]:
    """Where the crops along one axis begin; the last one ends where the image does.

    PSPNet's evaluation: steps of ceil(share * crop). One crop where the image is not longer.
    """
    if length <= crop:
        return (0,)
    step = math.ceil(share * crop - _ROUNDING)
    count = math.ceil((length - crop) / step) + 1
    return tuple(min(i * step, length - crop) for i in range(count))


def _starts(lengths: Array, longest: int, crop: int, share: float) -> tuple[Array, Array, int]:
    """`window_starts` of each image: starts and whether there is such a window, [n, B]; and n."""
    count = len(window_starts(longest, crop, share))
    step = math.ceil(share * crop - _ROUNDING)
    room = jnp.maximum(lengths - crop, 0)
    index = jnp.arange(count)[:, None]
    return jnp.minimum(index * step, room), index <= -(-room // step), count


def _reflected(index: Array, lengths: Array) -> Array:
    """Places of an axis, mirrored at the first and the last pixel: [..., n] in 0 .. length - 1.

    The border pixel is not repeated; as `layers.mirror`, for lengths that are not known before.
    """
    last = jnp.maximum(lengths - 1, 0)
    place = index % jnp.maximum(2 * last, 1)
    return jnp.where(last > 0, jnp.minimum(place, 2 * last - place), 0)


def mirrored_beyond(
    images: Shaped[Array, "b h w c"],
    sizes: Int32[Array, "b 2"],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> Shaped[Array, "b {rows[1]-rows[0]} {columns[1]-columns[0]} c"]:
    """Each image continued by mirroring it.

    Args:
      images: in their frame.
      sizes: of the images.
      rows: the first row of the result and the one after its last, counted from the image's first.
      columns: likewise.
    """

    def of_one(image: Array, size: Array) -> Array:
        row, column = (
            _reflected(jnp.arange(*reach), length)
            for reach, length in zip((rows, columns), size, strict=True)
        )
        return jnp.take(jnp.take(image, row, axis=0), column, axis=1)

    return jax.vmap(of_one)(images, sizes)


def slide(
    apply: Callable[[Array], Array],
    images: Shaped[Array, "b h w c"],
    sizes: Int32[Array, "b 2"],
    *,
    crop: tuple[int, int],
    share: float,
    margin: int = 0,
    mirror: bool = False,
) -> Float32[Array, "b h w k"]:
    """The mean of what all windows that cover a pixel give it.

    Overlapping windows are PSPNet's, tiles with a margin U-Net's and Dilation's. No window reaches
    beyond its image, unless that is smaller than a window.

    Args:
      apply: [B, h, w, 3] -> [B, h, w, K] of one window, or of what is kept of it.
      images: normalised, the mean colour being 0.
      sizes: of the images.
      crop: (h, w).
      share: the step from window to window, as a share of the part that is kept.
      margin: pixels on each side of a window that it sees and does not keep.
      mirror: what lies beyond an image is the image mirrored, else its mean colour.

    Raises:
      ValueError: a window's scores are neither of its size nor of what is kept of it.
    """
    b, h, w, channels = images.shape
    kept = (crop[0] - 2 * margin, crop[1] - 2 * margin)
    ph, pw = max(h, kept[0]), max(w, kept[1])
    if mirror:
        reach = ((-margin, ph + margin), (-margin, pw + margin))
        images = mirrored_beyond(images, sizes, *reach)
    else:
        edges = ((margin, ph + margin - h), (margin, pw + margin - w))
        images = jnp.pad(images, ((0, 0), *edges, (0, 0)))  # [B, ph + 2 m, pw + 2 m, 3]
    tops, there, rows = _starts(sizes[:, 0], ph, kept[0], share)
    lefts, here, columns = _starts(sizes[:, 1], pw, kept[1], share)

    def cut(image: Array, top: Array, left: Array) -> Array:
        return lax.dynamic_slice(image, (top, left, 0), (*crop, channels))

    def paste(total: Array, part: Array, top: Array, left: Array) -> Array:
        before = lax.dynamic_slice(total, (top, left, 0), part.shape)
        return lax.dynamic_update_slice(total, before + part, (top, left, 0))

    def add(i: Array, total: Array) -> Array:
        row, column = i // columns, i % columns
        top, left = tops[row], lefts[column]
        part = apply(jax.vmap(cut)(images, top, left))  # [B, h, w, K]
        if part.shape[1:3] == crop:  # else a network without padding, as U-Net's, has cut it
            part = part[:, margin : crop[0] - margin, margin : crop[1] - margin]
        if part.shape[1:3] != kept:
            raise ValueError(
                f"a window of {crop[0]} x {crop[1]} has {part.shape[1]} x {part.shape[2]} scores: "
                f"eval.margin={margin} is not what the network cuts off on each side"
            )
        part = jnp.where((there[row] & here[column])[:, None, None, None], part, 0)
        return jax.vmap(paste)(total, part, top, left)

    window = jax.ShapeDtypeStruct((b, *crop, channels), images.dtype)
    classes = jax.eval_shape(apply, window).shape[-1]
    total = jnp.zeros((b, ph, pw, classes), jnp.float32)
    total = lax.fori_loop(0, rows * columns, add, total)
    covers = (
        _covers(tops, there, ph, kept[0])[:, :, None] * _covers(lefts, here, pw, kept[1])[:, None]
    )
    return (total / jnp.maximum(covers, 1)[..., None])[:, :h, :w]


def _covers(starts: Array, there: Array, length: int, crop: int) -> Array:
    """How many windows cover each place of an axis: float32 [B, length]."""
    place = jnp.arange(length)
    inside = (place >= starts[..., None]) & (place < starts[..., None] + crop)
    return jnp.sum(inside & there[..., None], axis=0).astype(jnp.float32)


def with_long_side(sizes: Int32[Array, "b 2"], side: int) -> Int32[Array, "b 2"]:
    """(height, width) of each image whose longer side is brought to `side`, rounded."""
    longest = jnp.maximum(jnp.max(sizes, axis=1, keepdims=True), 1)
    return jnp.maximum((2 * sizes * side + longest) // (2 * longest), 1)


SHORT_SIDE_ASPECT = 2  # of a canvas: the longest side that enlarging to a short side leads to


def with_short_side(sizes: Int32[Array, "b 2"], least: int, scale: float) -> Int32[Array, "b 2"]:
    """(height, width) of each image at a scale, enlarged first where a side is below `least`.

    Departure: no side grows beyond SHORT_SIDE_ASPECT times `least` in that, so that a canvas for it
    depends on the frame alone; an image of a larger aspect is enlarged less.

    Args:
      sizes: of the images.
      least: of the shorter side, before the scale.
      scale: of the view.
    """
    short, long = jnp.min(sizes, axis=1, keepdims=True), jnp.max(sizes, axis=1, keepdims=True)
    most = SHORT_SIDE_ASPECT * least
    by_long = least * long > most * short  # the long side is what ends at its bound
    new, old = jnp.where(by_long, most, least), jnp.maximum(jnp.where(by_long, long, short), 1)
    new = jnp.maximum(new, old)  # never smaller
    wanted = sizes * (new / old) * scale
    return jnp.maximum(jnp.floor(wanted + 0.5 + _ROUNDING).astype(jnp.int32), 1)


def short_side_canvas(frame: tuple[int, int], least: int, scale: float) -> tuple[int, int]:
    """(height, width) that holds `with_short_side` of every image in a frame."""
    height, width = (
        math.ceil(max(side, SHORT_SIDE_ASPECT * least) * scale + 0.5) for side in frame
    )
    return height, width


def resampled(
    x: Float32[Array, "b h w c"],
    sizes: Int32[Array, "b 2"],
    to: Int32[Array, "b 2"],
    frame: tuple[int, int],
) -> Float32[Array, "b {frame[0]} {frame[1]} c"]:
    """Each image resized bilinearly, pixels' outer edges on each other.

    Args:
      x: images in their frame.
      sizes: of the images in it.
      to: sizes of the results.
      frame: (height, width) that holds all of them; beyond an image is 0.
    """

    def of_one(image: Array, size: Array, new: Array) -> Array:
        for axis in (0, 1):
            n, m, index = size[axis], new[axis], jnp.arange(frame[axis])
            at = (2 * index + 1) * (n / m) / 2 - 0.5
            at = jnp.clip(at, 0, jnp.maximum(n - 1, 0))
            low = jnp.floor(at).astype(jnp.int32)
            share = (at - low)[:, None, None] if axis == 0 else (at - low)[:, None]
            before = jnp.take(image, low, axis=axis)
            after = jnp.take(image, jnp.minimum(low + 1, n - 1), axis=axis, mode="clip")
            inside = (index < m)[:, None, None] if axis == 0 else (index < m)[:, None]
            image = jnp.where(inside, before + (after - before) * share, 0)
        return image

    return jax.vmap(of_one)(x, sizes, to)


def rotated(
    x: Float32[Array, "b h w c"],
    sizes: Int32[Array, "b 2"],
    degrees: Num[Array, ""] | float,
    frame: tuple[int, int],
) -> Float32[Array, "b {frame[0]} {frame[1]} c"]:
    """Each image rotated counter-clockwise about its centre, which is put on the frame's centre.

    What the frame shows beyond the image is the image mirrored; between pixels it is bilinear.

    Args:
      x: images in their frame.
      sizes: of the images in it.
      degrees: of the rotation.
      frame: (height, width) of the result.
    """
    down, right = _from(frame[0], frame[0]), _from(frame[1], frame[1])
    cosine, sine = jnp.cos(jnp.deg2rad(degrees)), jnp.sin(jnp.deg2rad(degrees))

    def of_one(image: Array, size: Array) -> Array:
        row = sine * right + cosine * down[:, None] + (size[0] - 1) / 2  # [h, w]
        column = cosine * right - sine * down[:, None] + (size[1] - 1) / 2
        return _bilinear(image, row, column, size)

    return jax.vmap(of_one)(x, sizes)


def rotated_back(
    x: Float32[Array, "b h w c"],
    sizes: Int32[Array, "b 2"],
    degrees: Num[Array, ""] | float,
    frame: tuple[int, int],
) -> Float32[Array, "b {frame[0]} {frame[1]} c"]:
    """The inverse of `rotated`: maps of rotated images in the images' own frame.

    Args:
      x: what a network gave the result of `rotated`.
      sizes: of the images.
      degrees: by which they were rotated.
      frame: (height, width) that the images lie in.
    """
    height, width = x.shape[1:3]
    cosine, sine = jnp.cos(jnp.deg2rad(degrees)), jnp.sin(jnp.deg2rad(degrees))

    def of_one(image: Array, size: Array) -> Array:
        down, right = _from(frame[0], size[0])[:, None], _from(frame[1], size[1])
        row = cosine * down - sine * right + (height - 1) / 2
        column = sine * down + cosine * right + (width - 1) / 2
        return _bilinear(image, row, column, jnp.array([height, width]))

    return jax.vmap(of_one)(x, sizes)


def _from(count: int, length: Array | int) -> Array:
    """So many places of an axis, counted from the centre of the first `length`."""
    return jnp.arange(count) - (length - 1) / 2


def _bilinear(image: Array, rows: Array, columns: Array, size: Array) -> Array:
    """An image [H, W, C] at places [h, w], mirrored beyond its size."""
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    above, below = (_reflected(top.astype(jnp.int32) + step, size[0]) for step in (0, 1))
    first, last = (_reflected(left.astype(jnp.int32) + step, size[1]) for step in (0, 1))
    upper = image[above, first] * (1 - right) + image[above, last] * right
    lower = image[below, first] * (1 - right) + image[below, last] * right
    return upper * (1 - down) + lower * down
