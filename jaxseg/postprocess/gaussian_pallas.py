"""`gaussian_sum` as GPU and TPU kernels, in which a tile of weights never leaves the registers.

As in FlashAttention (arXiv 2205.14135), without its softmax: each block of rows loops over blocks
of columns, and exp(-|f_i - f_j|^2 / 2) is computed from differences, multiplied by the values and
discarded. XLA writes each tile of weights to memory and reads it again, which takes most of its
time.

There are two kernels, because grids run differently: the programs of a GPU grid run in parallel, so
each loops over the columns itself (Triton); those of a TPU grid run sequentially, and those of one
block of rows accumulate into the same block of sums (Mosaic).

Unsure: the kernels have been run in Pallas's interpreter, and the tests lower them for both
platforms, but they have not been run on a device yet. Therefore `works` compares them with the
plain form on the device before they are used.
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
_LANES = 8  # features are padded to this number, so that block sizes are powers of 2
# Three products of 10 + 10 bits, which have float32 accuracy and run on a GPU's matrix units.
_THREE = jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3


def _tile(own: list[Array], other: list[Array], values: Array, precision: Any) -> Array:
    """Returns sums [P, C] for features in D columns [P, 1] and D rows [1, R], and values [R, C]."""
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
    """Computes sum_j exp(-|f_i - f_j|^2 / 2) v_j with one of the two kernels.

    Args:
      features: of each point, at most 8 numbers.
      values: of each point.
      kernel: "triton" or "mosaic".
      interpret: whether to use Pallas's interpreter, which is slow and runs on any backend.
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
    """Returns the kernel of this backend if it agrees with NumPy on a small problem, else None.

    If a kernel fails, it warns once per shape, and the sums are computed by XLA.
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
        # In a separate thread, because the caller may be tracing, which is per thread.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            sums = np.asarray(pool.submit(jax.jit(run), features, values).result())
        np.testing.assert_allclose(sums, weights @ values, rtol=1e-4)
    except Exception as error:  # of any kind, since there is another form
        first = str(error).strip().partition("\n")[0]
        warnings.warn(
            f"the {kernel} kernel of the CRF's exact sum does not work here; using XLA's tiles: "
            f"{type(error).__name__}: {first}",
            stacklevel=2,
        )
        return None
    return kernel
