"""Exact sums over all pixels, weighted by a Gaussian of the distance of their features.

`gaussian_sum` takes any features: tiles of the N x N kernel are computed, used and discarded, as in
attention, so memory does not grow with N^2. Neither does that of its gradients, which recompute the
tiles. On GPU and TPU it uses a Pallas kernel if that works (jaxseg.postprocess.gaussian_pallas).
`separable_gaussian_sum` is for the positions of pixels, for which the kernel is a product of a
kernel over rows and one over columns.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Num

from jaxseg.types import Array, ArrayLike, Number

FORMS = ("auto", "tiles", "triton", "mosaic")

# Rows and columns of a tile: 1 MB in float32, which fits into the cache of a CPU core.
_TILE = 512
_BAND = 32  # rows per block of a banded kernel


def _tiled(x: Array) -> Array:
    """Splits [N, C] into [tiles, pixels per tile, C], padded with zeros."""
    size = min(_TILE, x.shape[0])
    tiles = -(-x.shape[0] // size)
    x = jnp.pad(x, ((0, tiles * size - x.shape[0]), (0, 0)))
    return x.reshape(tiles, size, x.shape[1])


def _split(features: Array) -> tuple[Array, Array]:
    """Splits features [N, D] into coarse [N, D+2] and fine [N, 2D+2] factors for `_kernel`.

    With f = c + r, where c has so few digits that sums of its products are exact even in float32,
    f_i.f_j - |f_i|^2 / 2 - |f_j|^2 / 2 = (c_i.c_j - |c_i|^2 / 2 - |c_j|^2 / 2) + terms with r.
    """
    _, exponent = jnp.frexp(jnp.sqrt(jnp.max(jnp.sum(features**2, axis=1))))
    step = jnp.ldexp(jnp.ones((), features.dtype), exponent - 11)
    c = jnp.round(features / step) * step
    r = features - c
    one = jnp.ones_like(c[:, :1])
    coarse = jnp.sum(c**2, axis=1, keepdims=True) / 2
    fine = jnp.sum(c * r + r**2 / 2, axis=1, keepdims=True)
    return (
        jnp.concatenate([c, -coarse, one], axis=1),
        jnp.concatenate([c, r, -fine, one], axis=1),
    )


def _kernel(rows: tuple[Array, ...], columns: tuple[Array, ...]) -> Array:
    """Computes exp(-|f_i - f_j|^2 / 2) [P, R] from the split features of P and of R pixels.

    It uses two products, which on a CPU take half the time of differences. A single product would
    lose the last three digits of the kernel for features of the order of 50.
    """
    (coarse, fine), (coarse_, fine_) = rows, columns
    d = coarse.shape[1] - 2
    c, r = fine_[:, :d], fine_[:, d : 2 * d]
    # The squares of the columns are multiplied by the ones of the rows, and vice versa.
    coarse_ = jnp.concatenate([c, coarse_[:, d + 1 :], coarse_[:, d : d + 1]], axis=1)
    fine_ = jnp.concatenate([r, c + r, fine_[:, 2 * d + 1 :], fine_[:, 2 * d : 2 * d + 1]], axis=1)
    product = functools.partial(jnp.dot, precision="highest")
    return jnp.exp(product(coarse, coarse_.T) + product(fine, fine_.T))


def _over_tiles(
    of_tile: Callable[[tuple[Array, ...], tuple[Array, ...]], Array],
    rows: tuple[Array, ...],
    columns: tuple[Array, ...],
) -> Array:
    """Sums of_tile(tile of rows, tile of columns) over the tiles of columns, for all rows."""
    tiles = tuple(_tiled(x) for x in columns)

    def for_rows(rows_tile: tuple[Array, ...]) -> Array:
        def add(total: Array, columns_tile: tuple[Array, ...]) -> tuple[Array, None]:
            return total + of_tile(rows_tile, columns_tile), None

        first = jax.tree.map(lambda x: x[0], tiles)
        start = jnp.zeros_like(jax.eval_shape(of_tile, rows_tile, first))
        return jax.lax.scan(add, start, tiles)[0]

    total = jax.lax.map(for_rows, tuple(_tiled(x) for x in rows))  # [tiles, P, C]
    return total.reshape(-1, total.shape[-1])[: rows[0].shape[0]]


def _tiled_sum(features: Array, values: Array) -> Array:
    def of_tile(rows: tuple[Array, ...], columns: tuple[Array, ...]) -> Array:
        return jnp.dot(_kernel(rows, columns[:2]), columns[2], precision="highest")

    split = _split(features)
    return _over_tiles(of_tile, split, (*split, values))


def _kernel_of_backend(features: Array, values: Array) -> str | None:
    """Returns the Pallas kernel that works on this backend for these shapes; None on a CPU."""
    if jax.default_backend() == "cpu" or features.dtype != jnp.float32:
        return None
    try:
        from jaxseg.postprocess import gaussian_pallas
    except ImportError:  # Pallas is experimental, and not built for every system
        return None
    return gaussian_pallas.works(features.shape[1], values.shape[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _gaussian_sum(features: Array, values: Array, form: str) -> Array:
    kernel = _kernel_of_backend(features, values) if form == "auto" else form
    if kernel is None or kernel == "tiles":
        return _tiled_sum(features, values)
    from jaxseg.postprocess import gaussian_pallas

    interpreted = form != "auto" and jax.default_backend() == "cpu"
    of_kernel = functools.partial(gaussian_pallas.kernel_sum, kernel=kernel, interpret=interpreted)
    if form != "auto":
        return of_kernel(features, values)
    return jax.lax.platform_dependent(features, values, cpu=_tiled_sum, default=of_kernel)


def _forward(features: Array, values: Array, form: str) -> tuple[Array, tuple[Array, Array]]:
    return _gaussian_sum(features, values, form), (features, values)


def _backward(form: str, residuals: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    """With the symmetric kernel, dv = K g; df_i = sum_j k_ij (g_i.v_j + v_i.g_j) (f_j - f_i)."""
    features, values = residuals
    split = _split(features)
    pairs = jnp.concatenate([cotangent, values], axis=1)  # [N, 2C]
    swapped = jnp.concatenate([values, cotangent], axis=1)

    def of_tile(rows: tuple[Array, ...], columns: tuple[Array, ...]) -> Array:
        weights = jnp.dot(rows[2], columns[2].T, precision="highest")
        weights *= _kernel(rows[:2], columns[:2])
        pulled = jnp.dot(weights, columns[3], precision="highest")  # [P, D]
        return pulled - jnp.sum(weights, axis=1, keepdims=True) * rows[3]

    of_features = _over_tiles(of_tile, (*split, pairs, features), (*split, swapped, features))
    return of_features, _gaussian_sum(features, cotangent, form)


_gaussian_sum.defvjp(_forward, _backward)


def gaussian_sum(
    features: Float[ArrayLike, "n d"], values: Num[ArrayLike, "n c"], form: str = "auto"
) -> Float[Array, "n c"]:
    """Computes sum_j exp(-|f_i - f_j|^2 / 2) v_j exactly for each i, including j = i.

    Time is proportional to N^2, memory to N. It has first-order reverse-mode derivatives.

    Args:
      features: in units of the kernel's standard deviation, preferably centred.
      values: of each point.
      form: "auto" (the Pallas kernel of a GPU or TPU if it works, else XLA's tiles), "tiles", or
        one of the kernels, "triton" or "mosaic", for float32, which are interpreted on a CPU.

    Raises:
      ValueError: `form` is unknown.
    """
    if form not in FORMS:
        raise ValueError(f"form: {form!r}; allowed: {', '.join(FORMS)}")
    features, values = jnp.asarray(features), jnp.asarray(values)
    dtype = jnp.promote_types(jnp.promote_types(features.dtype, values.dtype), jnp.float32)
    return _gaussian_sum(features.astype(dtype), values.astype(dtype), form)


def _gaussian(distances: Array, theta: Number) -> Array:
    return jnp.exp(-((distances / theta) ** 2) / 2)


def _banded_along(values: Array, theta: Number, radius: int, axis: int) -> Array:
    """Sums along one axis of [H, W, C] with a banded kernel, in blocks of its rows."""
    length = values.shape[axis]
    blocks, window = -(-length // _BAND), _BAND + 2 * radius
    distances = jnp.arange(window) - radius - jnp.arange(_BAND)[:, None]
    near = _gaussian(distances.astype(values.dtype), theta)
    kernel = jnp.where(jnp.abs(distances) <= radius, near, 0)  # [_BAND, window]
    pads = [(0, 0)] * 3
    pads[axis] = (radius, blocks * _BAND - length + radius)
    padded = jnp.pad(values, pads)

    def of_block(i: Array) -> Array:
        x = jax.lax.dynamic_slice_in_dim(padded, i * _BAND, window, axis)
        equation = ("rR,Rwc->rwc", "rR,hRc->hrc")[axis]
        return jnp.einsum(equation, kernel, x, precision="highest")

    sums = jnp.moveaxis(jax.lax.map(of_block, jnp.arange(blocks)), 0, axis)
    sums = sums.reshape(*values.shape[:axis], blocks * _BAND, *values.shape[axis + 1 :])
    return jax.lax.slice_in_dim(sums, 0, length, axis=axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _banded(values: Array, theta: Number, radius: int) -> Array:
    return _banded_along(_banded_along(values, theta, radius, 0), theta, radius, 1)


def _banded_forward(values: Array, theta: Number, radius: int) -> tuple[Array, Number]:
    return _banded(values, theta, radius), theta


def _banded_backward(radius: int, theta: Number, cotangent: Array) -> tuple[Array, None]:
    return _banded(cotangent, theta, radius), None  # the kernel is symmetric


_banded.defvjp(_banded_forward, _banded_backward)


def rounding_radius(theta: float) -> int:
    """Returns the pixels beyond which a Gaussian is below float32 rounding: exp(-18) = 1.5e-8."""
    return math.ceil(6 * theta)


def separable_gaussian_sum(
    values: Num[ArrayLike, "h w c"], theta: Number, radius: int | None = None
) -> Float[Array, "h w c"]:
    """Computes sum_j exp(-|p_i - p_j|^2 / (2 theta^2)) v_j over an image, including j = i.

    Args:
      values: of each pixel.
      theta: the standard deviation in pixels.
      radius: rows and columns further away are ignored. With `rounding_radius` this takes a third
        of the time on a CPU, but theta gets no gradient. None means that all pairs count.

    Returns:
      The sums, in at least float32.
    """
    values = jnp.asarray(values)
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    if radius is not None and _BAND + 2 * radius < max(values.shape[:2]):
        return _banded(values, theta, radius)

    def kernel(size: int) -> Array:  # [size, size]
        positions = jnp.arange(size, dtype=values.dtype)
        return _gaussian(positions[:, None] - positions, theta)

    rows, columns = (kernel(size) for size in values.shape[:2])
    return jnp.einsum("hH,wW,HWc->hwc", rows, columns, values, precision="highest")
