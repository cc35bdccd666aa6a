"""`gaussian_sum` as GPU and TPU kernels, in which a tile of weights never leaves the registers.

As in FlashAttention (arXiv 2205.14135), without its softmax: a block of rows stays, the columns
pass by in blocks, exp(-|f_i - f_j|^2 / 2) is made by differences, multiplied with the values and
dropped. XLA writes each tile of weights to memory and reads it again, which is most of its time.

Two kernels, because the two machines run a grid differently: on a GPU its programs run at the same
time, so each loops over the columns itself (Triton); on a TPU they run one after the other, and
those of one block of rows add to the same block of sums (Mosaic).

Unsure: they have run in Pallas's interpreter and are lowered for both machines in the tests, but
have not run on a device yet. So `works` tries them there against the plain form before any use.
"""

import concurrent.futures
import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Float32

from jaxseg.types import Array

KERNELS = {"gpu": "triton", "tpu": "mosaic"}  # by JAX's name of the backend
_ROWS = {"triton": 128, "mosaic": 512}  # of a block
_COLUMNS = {"triton": 64, "mosaic": 512}
_LANES = 8  # that the features are filled up to, so that their blocks have sizes of powers of 2
# Three products of 10 + 10 bits, which have float32's digits and run on a GPU's matrix units.
_THREE = jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3


def _tile(own: list[Array], other: list[Array], values: Array, precision: Any) -> Array:
    """[P, C] of features in D columns [P, 1] and D rows [1, R], and values [R, C]."""
    squares = sum((a - b) ** 2 for a, b in zip(own, other, strict=True))
    return jnp.dot(jnp.exp(-squares / 2), values, precision=precision)


def _triton_kernel(own: Any, other: Any, values: Any, sums: Any, *, count: int, precision: Any):
    """Refs: own [8, P], other [8, N], values [N, C], sums [P, C]; `count` features are used."""
    columns = _COLUMNS["triton"]
    mine = [own[d, :][:, None] for d in range(count)]

    def add(j: Array, total: Array) -> Array:
        block = pl.ds(j * columns, columns)
        theirs = [other[d, block][None, :] for d in range(count)]
        return total + _tile(mine, theirs, values[block, :], precision)

    blocks = values.shape[0] // columns
    sums[...] = jax.lax.fori_loop(0, blocks, add, jnp.zeros(sums.shape, sums.dtype))


def _mosaic_kernel(own: Any, other: Any, values: Any, sums: Any, *, count: int, precision: Any):
    """Refs: own [P, 8], other [8, R], values [R, C], sums [P, C]; columns are the grid's axis 1."""

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        sums[...] = jnp.zeros(sums.shape, sums.dtype)

    mine = [own[:, d : d + 1] for d in range(count)]
    theirs = [other[d : d + 1, :] for d in range(count)]
    sums[...] += _tile(mine, theirs, values[...], precision)


def kernel_sum(
    features: Float32[Array, "n d"],
    values: Float32[Array, "n c"],
    kernel: str,
    interpret: bool = False,
) -> Float32[Array, "n c"]:
    """sum_j exp(-|f_i - f_j|^2 / 2) v_j, by one of the two kernels.

    Args:
      features: of at most 8 numbers each.
      values: of each point.
      kernel: "triton" or "mosaic".
      interpret: by Pallas's interpreter, on any backend: slow, for tests.
    """
    count, dimensions = features.shape
    classes = values.shape[1]
    rows, columns = _ROWS[kernel], _COLUMNS[kernel]
    padded = -(-count // max(rows, columns)) * max(rows, columns)
    width = max(16, pl.next_power_of_2(classes)) if kernel == "triton" else classes
    across = jnp.pad(features, ((0, padded - count), (0, _LANES - dimensions)))  # [N, 8]
    values = jnp.pad(values, ((0, padded - count), (0, width - classes)))
    if kernel == "triton":
        sums = pl.pallas_call(
            functools.partial(
                _triton_kernel, count=dimensions, precision="highest" if interpret else _THREE
            ),
            out_shape=jax.ShapeDtypeStruct(values.shape, values.dtype),
            grid=(padded // rows,),
            in_specs=[
                pl.BlockSpec((_LANES, rows), lambda i: (0, i)),
                pl.BlockSpec((_LANES, padded), lambda _: (0, 0)),
                pl.BlockSpec((padded, width), lambda _: (0, 0)),
            ],
            out_specs=pl.BlockSpec((rows, width), lambda i: (i, 0)),
            compiler_params=pltriton.CompilerParams(num_warps=4, num_stages=2),
            interpret=interpret,
        )(across.T, across.T, values)
    else:
        sums = pl.pallas_call(
            functools.partial(_mosaic_kernel, count=dimensions, precision="highest"),
            out_shape=jax.ShapeDtypeStruct(values.shape, values.dtype),
            grid=(padded // rows, padded // columns),
            in_specs=[
                pl.BlockSpec((rows, _LANES), lambda i, _: (i, 0)),
                pl.BlockSpec((_LANES, columns), lambda _, j: (0, j)),
                pl.BlockSpec((columns, width), lambda _, j: (j, 0)),
            ],
            out_specs=pl.BlockSpec((rows, width), lambda i, _: (i, 0)),
            compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
            interpret=interpret,
        )(across, across.T, values)
    return sums[:count, :classes]


@functools.cache
def works(dimensions: int, classes: int) -> str | None:
    """The kernel of this backend, if it gives what NumPy does on a small problem; None if not.

    It warns where a kernel fails, once for each shape; the sums are then XLA's.
    """
    kernel = KERNELS.get(jax.default_backend())
    if kernel is None or dimensions > _LANES:
        return None
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2 * _ROWS[kernel] - 1, dimensions)).astype(np.float32)
    values = rng.random((len(features), classes), np.float32)
    weights = np.exp(-((features[:, None] - features) ** 2).sum(-1) / 2)
    run = functools.partial(kernel_sum, kernel=kernel)
    try:
        # A thread of its own, as the caller may be within a trace, which is a thread's.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            sums = np.asarray(pool.submit(jax.jit(run), features, values).result())
        np.testing.assert_allclose(sums, weights @ values, rtol=1e-4)
    except Exception as error:  # of whatever kind: there is another form
        first = str(error).strip().partition("\n")[0]
        warnings.warn(
            f"the {kernel} kernel of the CRF's exact sum does not work here, XLA's tiles are used: "
            f"{type(error).__name__}: {first}",
            stacklevel=2,
        )
        return None
    return kernel
