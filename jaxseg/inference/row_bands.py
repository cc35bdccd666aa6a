"""Processes scores at the image's size one band of rows at a time.

A map of scores upsampled to the image is the largest array of an evaluation: 1024 x 2048 pixels
with 150 classes take 1.3 GB, of which only the best class is needed. Here each band is upsampled,
used and discarded: memory does not grow with the image, and on a CPU a band fits into its cache.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Float32, Int32

from jaxseg.layers.fast.forms import on_cpu, use_fast
from jaxseg.sampling import sample_positions
from jaxseg.types import Array

Rows = Callable[[Array], Array]  # row indices int32 [R] -> scores [B, R, W, K] of these rows

_GROUP = 32  # classes in one step of a loop, which is used for at least twice as many
_NUMBERS = {"cpu": 1 << 19, "other": 1 << 26}  # float32 values of a band: 2 and 256 MB


def resized(
    x: Float32[Array, "b h w k"],
    size: tuple[int, int],
    convention: str,
    *,
    mirrored: Bool[Array, ""] | bool = False,
) -> Rows:
    """Returns the rows of `resize_bilinear(x, size, convention=convention)`.

    Args:
      x: the map.
      size: (height, width) of the result.
      convention: see `jaxseg.sampling`.
      mirrored: whether to flip the result left to right.
    """
    rows, columns = (
        sample_positions(n, m, convention) for n, m in zip(x.shape[1:3], size, strict=True)
    )
    above, left = np.floor(rows).astype(np.int32), np.floor(columns).astype(np.int32)
    down, right = ((p - np.floor(p)).astype(np.float32) for p in (rows, columns))
    first_column, beside = (jnp.where(mirrored, p[::-1], p) for p in (left, right))
    whole = np.array_equal(left, np.arange(x.shape[2]))

    def of(index: Array) -> Array:
        first, share = jnp.asarray(above)[index], jnp.asarray(down)[index][:, None, None]
        y = _between(x, first, share, 1) if down.any() else jnp.take(x, first, axis=1)
        if right.any():  # [B, R, w, K]
            return _between(y, first_column, beside[:, None], 2)
        return y if whole and mirrored is False else jnp.take(y, first_column, axis=2)

    return of


def _between(x: Array, low: Array, share: Array, axis: int) -> Array:
    """Interpolates x at low + share along an axis."""
    high = jnp.minimum(low + 1, x.shape[axis] - 1)
    before, after = (jnp.take(x, index, axis=axis) for index in (low, high))
    return before + (after - before) * share


def of_map(x: Float[Array, "b h w k"]) -> Rows:
    """Returns the rows of a map."""
    return lambda index: jnp.take(x, index, axis=1)


def bands(height: int, row: int) -> tuple[int, int]:
    """Returns the number of bands and their rows, for `row` values a row; the last may overlap."""
    most = _NUMBERS["cpu" if jax.default_backend() == "cpu" else "other"]
    count = min(height, -(-height * row // most))
    tall = -(-height // count)
    return -(-height // tall), tall


def first_best(scores: Float[Array, "*n k"], *, form: str = "auto") -> Int32[Array, "*n"]:
    """Returns the class with the largest score, the first one in case of ties.

    Args:
      scores: without NaN.
      form: "plain" (`jnp.argmax`), "fast" (compares each class with the best so far; a fifth of the
        time on CPU, where XLA's argmax is not vectorised), or "auto".
    """
    if not use_fast(form, on_cpu()):
        return jnp.argmax(scores, axis=-1).astype(jnp.int32)
    classes = scores.shape[-1]

    def against(held: tuple[Array, Array], start: Array | int, count: int) -> tuple[Array, Array]:
        best, number = held
        for k in range(count):
            score = lax.dynamic_index_in_dim(scores, start + k, axis=-1, keepdims=False)
            higher = score > best
            best, number = jnp.where(higher, score, best), jnp.where(higher, start + k, number)
        return best, number

    groups, rest = divmod(classes, _GROUP)
    held = scores[..., 0], jnp.zeros(scores.shape[:-1], jnp.int32)
    if groups > 1:
        held = lax.fori_loop(0, groups, lambda i, h: against(h, i * _GROUP, _GROUP), held)
        return against(held, groups * _GROUP, rest)[1]
    return against(held, 0, classes)[1]


def best_classes(
    rows: Rows, shape: tuple[int, ...]
) -> Int32[Array, "{shape[0]} {shape[1]} {shape[2]}"]:
    """Returns the class with the largest score of each pixel.

    Args:
      rows: the scores.
      shape: (B, H, W, K) of the whole map of scores.
    """
    b, height, width, classes = shape
    count, tall = bands(height, b * width * classes)

    def add(i: Array, result: Array) -> Array:
        start = jnp.minimum(i * tall, height - tall)
        best = first_best(rows(start + jnp.arange(tall)))
        return lax.dynamic_update_slice(result, best, (0, start, 0))

    if count == 1:
        return first_best(rows(jnp.arange(height)))
    return lax.fori_loop(0, count, add, jnp.zeros((b, height, width), jnp.int32))


def best_and_sums(
    rows: Rows, shape: tuple[int, ...], each: Callable[[Array, Array], Array]
) -> tuple[Int32[Array, "b h w"], Float[Array, " b"]]:
    """Returns `best_classes`, and a per-pixel quantity summed over each image.

    Args:
      rows: the scores.
      shape: (B, H, W, K) of the whole map of scores.
      each: (scores [B, R, W, K], row indices int32 [R]) -> the quantity [B, R, W].
    """
    b, height, width, classes = shape
    count, tall = bands(height, b * width * classes)

    def add(i: Array, held: tuple[Array, Array]) -> tuple[Array, Array]:
        best, sums = held
        start = jnp.minimum(i * tall, height - tall)
        index = start + jnp.arange(tall)
        scores = rows(index)
        new = (index >= i * tall)[:, None]  # the last band may overlap the previous one
        sums += jnp.sum(jnp.where(new, each(scores, index), 0), axis=(1, 2))
        return lax.dynamic_update_slice(best, first_best(scores), (0, start, 0)), sums

    held = jnp.zeros((b, height, width), jnp.int32), jnp.zeros(b, jnp.float32)
    return lax.fori_loop(0, count, add, held)


def joined(
    total: Float[Array, "b h w k"], rows: Rows, join: Callable[[Array, Array], Array]
) -> Float[Array, "b h w k"]:
    """Computes join(total, all rows) band by band.

    Each row is joined once: a band skips the rows that it shares with the previous one.
    """
    b, height, width, classes = total.shape
    count, tall = bands(height, b * width * classes)

    def add(i: Array, result: Array) -> Array:
        start = jnp.minimum(i * tall, height - tall)
        index = start + jnp.arange(tall)
        before = lax.dynamic_slice_in_dim(result, start, tall, axis=1)
        new = (index >= i * tall)[:, None, None]
        after = jnp.where(new, join(before, rows(index)), before)
        return lax.dynamic_update_slice_in_dim(result, after, start, axis=1)

    return lax.fori_loop(0, count, add, total)
