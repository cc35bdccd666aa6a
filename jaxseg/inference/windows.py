"""Operations on images padded to one frame: mirror padding, windows, resizing, rotations.

An image is in the upper left of its frame; its height and width without padding are in `sizes`,
int32 [B, 2]. Results depend on the image and its size but not on the frame, so they do not depend
on the other images of a set. Loops over windows are compiled once per frame.
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
    """Returns (height, width) of an image at `scale`: floor((n - 1) scale + 1), as in DeepLab."""
    height, width = (math.floor((n - 1) * scale + 1 + _ROUNDING) for n in size)
    return height, width


def scaled_sizes(sizes: Int32[Array, "b 2"], scale: float) -> Int32[Array, "b 2"]:
    """`scaled_size` of each image by integer arithmetic, for scales with up to three decimals."""
    thousandths = round(1000 * scale)
    return sizes if scale == 1 else (sizes - 1) * thousandths // 1000 + 1


def window_starts(length: int, crop: int, share: float) -> tuple[int, ...]:
    """Returns the starts of the crops along one axis; the last crop ends at the image's border.

    As in PSPNet's evaluation, steps are ceil(share * crop). There is one crop if the image is not
    longer than a crop.
    """
    if length <= crop:
        return (0,)
    step = math.ceil(share * crop - _ROUNDING)
    count = math.ceil((length - crop) / step) + 1
    return tuple(min(i * step, length - crop) for i in range(count))


def _starts(lengths: Array, longest: int, crop: int, share: float) -> tuple[Array, Array, int]:
    """`window_starts` of each image: starts [n, B], whether each window exists [n, B], and n."""
    count = len(window_starts(longest, crop, share))
    step = math.ceil(share * crop - _ROUNDING)
    room = jnp.maximum(lengths - crop, 0)
    index = jnp.arange(count)[:, None]
    return jnp.minimum(index * step, room), index <= -(-room // step), count


def _reflected(index: Array, lengths: Array) -> Array:
    """Reflects indices at the first and last pixel of an axis, to 0 .. length - 1.

    The border pixel is not repeated. It equals `layers.mirror`, for lengths that are traced.
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
    """Pads each image by reflection.

    Args:
      images: in their frame.
      sizes: of the images.
      rows: (start, end) of the rows of the result, relative to the first row of the image.
      columns: (start, end) of the columns.
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
    """Averages the scores of all windows that cover a pixel.

    PSPNet uses overlapping windows; U-Net and Dilation use tiles with a margin. Apart from its
    margin, no window extends beyond its image, unless the image is smaller than a window.

    Args:
      apply: [B, h, w, 3] -> scores [B, h, w, K] of a window, or of its part without the margin.
      images: normalised, so that the mean colour is 0.
      sizes: of the images.
      crop: (h, w) of a window.
      share: the step between windows, as a share of the window without its margin.
      margin: pixels on each side of a window whose scores are discarded.
      mirror: whether to pad images by reflection, else by the mean colour.

    Raises:
      ValueError: scores have neither the size of a window nor that of its part without the margin.
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
        if part.shape[1:3] == crop:  # else a network without padding, such as U-Net, cropped it
            part = part[:, margin : crop[0] - margin, margin : crop[1] - margin]
        if part.shape[1:3] != kept:
            raise ValueError(
                f"a window of {crop[0]} x {crop[1]} has {part.shape[1]} x {part.shape[2]} scores: "
                f"eval.margin={margin} is not the border that the network loses on each side"
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
    """Counts the windows that cover each pixel of an axis, float32 [B, length]."""
    place = jnp.arange(length)
    inside = (place >= starts[..., None]) & (place < starts[..., None] + crop)
    return jnp.sum(inside & there[..., None], axis=0).astype(jnp.float32)


def with_long_side(sizes: Int32[Array, "b 2"], side: int) -> Int32[Array, "b 2"]:
    """Returns (height, width) of each image resized to a longer side of `side`, rounded."""
    longest = jnp.maximum(jnp.max(sizes, axis=1, keepdims=True), 1)
    return jnp.maximum((2 * sizes * side + longest) // (2 * longest), 1)


SHORT_SIDE_ASPECT = 2  # largest longer side, relative to `least`, that upscaling leads to


def with_short_side(sizes: Int32[Array, "b 2"], least: int, scale: float) -> Int32[Array, "b 2"]:
    """Returns (height, width) of each image at a scale, first upscaled if a side is below `least`.

    Departure: upscaling does not increase a side beyond SHORT_SIDE_ASPECT times `least`, so that
    the canvas depends only on the frame; an image with a larger aspect ratio is upscaled less.

    Args:
      sizes: of the images.
      least: the minimum of the shorter side, before scaling.
      scale: of the view.
    """
    short, long = jnp.min(sizes, axis=1, keepdims=True), jnp.max(sizes, axis=1, keepdims=True)
    most = SHORT_SIDE_ASPECT * least
    by_long = least * long > most * short  # the longer side reaches its limit first
    new, old = jnp.where(by_long, most, least), jnp.maximum(jnp.where(by_long, long, short), 1)
    new = jnp.maximum(new, old)  # never smaller
    wanted = sizes * (new / old) * scale
    return jnp.maximum(jnp.floor(wanted + 0.5 + _ROUNDING).astype(jnp.int32), 1)


def short_side_canvas(frame: tuple[int, int], least: int, scale: float) -> tuple[int, int]:
    """Returns a canvas (height, width) for `with_short_side` of every image in a frame."""
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
    """Resizes each image bilinearly in the half-pixel convention, with outer edges aligned.

    Args:
      x: images in their frame.
      sizes: of the images.
      to: sizes of the results.
      frame: (height, width) of the result, which is 0 outside an image.
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
    """Rotates each image counter-clockwise about its centre, which becomes the frame's centre.

    Images are padded by reflection and interpolated bilinearly.

    Args:
      x: images in their frame.
      sizes: of the images.
      degrees: the angle.
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
    """The inverse of `rotated`, for the network's output on rotated images.

    Args:
      x: maps of the rotated images.
      sizes: of the images before rotation.
      degrees: the angle by which they were rotated.
      frame: (height, width) of the images before rotation.
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
    """Returns `count` positions along an axis, relative to the centre of the first `length`."""
    return jnp.arange(count) - (length - 1) / 2


def _bilinear(image: Array, rows: Array, columns: Array, size: Array) -> Array:
    """Interpolates an image [H, W, C] at positions [h, w], with reflection at its borders."""
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    above, below = (_reflected(top.astype(jnp.int32) + step, size[0]) for step in (0, 1))
    first, last = (_reflected(left.astype(jnp.int32) + step, size[1]) for step in (0, 1))
    upper = image[above, first] * (1 - right) + image[above, last] * right
    lower = image[below, first] * (1 - right) + image[below, last] * right
    return upper * (1 - down) + lower * down
