"""The gradient of a kernel on a map of few channels, such as an image: one product with patches.

The patch of an output holds the kh kw C values of the map under its window. All patches side by
side are a matrix [kh kw C, outputs], and the gradient is its product with that of the outputs. A
network's first convolution has no other gradient, and XLA:CPU's form of this one is about five
times as slow as its forward pass (ResNet's stem on an Intel Xeon with AVX-512).

The map is stored by channel, and for a stride by its phases, so that a patch's values are copied in
runs as long as a row of outputs. A loop runs over bands of rows whose patches fit into a cache.
"""

import itertools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.window import Window, Windows
from jaxseg.types import Array

_CACHED = 1 << 18  # values in the patches of a band; of ResNet's stem, smaller bands were fastest


def _extent(window: Window, outputs: int) -> int:
    """Pixels under so many windows, in whole strides."""
    last = (outputs - 1) * window.stride + (window.kernel - 1) * window.rate
    return (last // window.stride + 1) * window.stride


def _padded(x: Array, edges: list[tuple[int, int]]) -> Array:
    """Zeros before and after the rows and the columns; a negative number crops."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*e, 0) for e in edges), (0, 0, 0)])


def kernel_gradient(
    x: Float[Array, "b h w c"], dy: Float[Array, "b y x f"], windows: Windows
) -> Float[Array, "{windows[0].kernel} {windows[1].kernel} c f"]:
    """Computes the gradient with respect to the kernel."""
    rows, columns = windows
    (batch, _, _, channels), features = x.shape, dy.shape[3]
    taps = list(itertools.product(range(rows.kernel), range(columns.kernel)))
    row = len(taps) * channels * batch * columns.outputs
    count = min(rows.outputs, -(-rows.outputs * row // _CACHED))
    tall = -(-rows.outputs // count)
    count = -(-rows.outputs // tall)
    edges = [
        (window.padding, _extent(window, outputs) - window.inputs - window.padding)
        for window, outputs in zip(windows, (count * tall, columns.outputs), strict=True)
    ]
    x = _padded(x, edges)
    down, right = rows.stride, columns.stride
    x = x.reshape(batch, x.shape[1] // down, down, x.shape[2] // right, right, channels)
    planes = x.transpose(2, 4, 5, 0, 1, 3)  # [s, s, C, B, H / s, W / s]
    dy = _padded(dy, [(0, count * tall - rows.outputs), (0, 0)])

    def add(band: Array, total: Array) -> Array:
        above = (rows.kernel - 1) * rows.rate // down
        seen = lax.dynamic_slice_in_dim(planes, band * tall, tall + above, axis=4)
        patches = []
        for i, j in taps:
            top, left = i * rows.rate, j * columns.rate
            phase = seen[top % down, left % right]  # [C, B, rows, W / s]
            start = left // right
            patches.append(
                phase[:, :, top // down : top // down + tall, start : start + columns.outputs]
            )
        outputs = lax.dynamic_slice_in_dim(dy, band * tall, tall, axis=1)
        return total + lax.dot_general(
            jnp.concatenate(patches).reshape(len(taps) * channels, -1),
            outputs.reshape(-1, features),
            (((1,), (0,)), ((), ())),
            preferred_element_type=total.dtype,
        )

    zeros = jnp.zeros((len(taps) * channels, features), accumulator(x))
    total = lax.fori_loop(0, count, add, zeros)
    return total.reshape(rows.kernel, columns.kernel, channels, features).astype(x.dtype)
