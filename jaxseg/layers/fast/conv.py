"""Convolution by the fastest of several equal forms, chosen for each of its three passes.

The passes are the forward pass and the gradients with respect to the input and the kernel; the
forms are XLA's convolution ("library"), the sum over taps, Winograd's algorithm and, for the
kernel's gradient, a product with patches. The choice depends on static shapes and a model of their
cost on XLA:CPU, which is fitted to experiments/benchmarks/convolution_costs.py (jax 0.10).
"""

import dataclasses
import functools
from collections.abc import Callable, Set

import jax
import jax.numpy as jnp
from jaxtyping import Float

from jaxseg.layers.fast import patches, taps, winograd
from jaxseg.layers.window import Windows
from jaxseg.types import Array

Plain = Callable[[Array, Array, Windows], Array]  # the definition, `layers/conv.py`


@dataclasses.dataclass(frozen=True)
class Plan:
    """The form of each pass: "library", "taps", "winograd"; the last one also "patches"."""

    forward: str
    input_gradient: str
    kernel_gradient: str


def plan(
    x: Array | jax.ShapeDtypeStruct,
    kernel: Array | jax.ShapeDtypeStruct,
    windows: Windows,
    *,
    only_fast: bool = False,
) -> Plan:
    """Chooses the cheapest form of each pass.

    Args:
      x: [B, H, W, Cin]; only its shape and dtype are used.
      kernel: [kh, kw, Cin, Cout]; only its shape is used.
      windows: of rows and columns.
      only_fast: exclude the library's convolution.
    """
    channels = kernel.shape[2:]
    if kernel.shape[:2] == (1, 1):
        return Plan("taps", "taps", "taps")
    names = {"library", "taps"} - ({"library"} if only_fast else set())
    if _winograd_fits(kernel, windows) and x.dtype in (jnp.float32, jnp.float64):
        names.add("winograd")

    def cheapest(names: Set[str], cost: Callable[[str, Windows, tuple], float]) -> str:
        return min(sorted(names), key=lambda name: cost(name, windows, channels))

    return Plan(
        cheapest(names, _forward_cost),
        cheapest(names, lambda name, w, channels: _forward_cost(name, w, channels[::-1])),
        cheapest(names | {"patches"}, functools.partial(_kernel_cost, images=x.shape[0])),
    )


def _winograd_fits(kernel: Array | jax.ShapeDtypeStruct, windows: Windows) -> bool:
    rates = {w.rate for w in windows}
    return (
        kernel.shape[:2] == (3, 3)
        and len(rates) == 1
        and all(w.stride == 1 and w.padding == w.rate for w in windows)
    )


def _products(name: str, windows: Windows) -> float:
    """Returns the number of multiplications relative to the library's convolution."""
    if name == "taps":
        return windows[0].seen_share * windows[1].seen_share
    if name == "winograd":
        size = [w.inputs for w in windows]
        counts = winograd.tile_counts(size, windows[0].rate)
        covered = [2 * w.rate * n / w.inputs for w, n in zip(windows, counts, strict=True)]
        return covered[0] * covered[1] * 4 / 9
    return 1.0


def _forward_cost(name: str, windows: Windows, channels: tuple[int, int]) -> float:
    """The cost of the forward pass, or of the input's gradient with the channels exchanged.

    Each product includes the cost of moving its operands, which matters more the fewer channels
    there are: the sum over taps moves kh kw partial maps through memory.
    """
    per_product = {
        "library": 0.95,  # below 1, so that another form has to be clearly better
        "taps": 0.9 + 40 / channels[0],
        "winograd": 1.1 + 14 / channels[0] + 14 / channels[1],
    }
    return _products(name, windows) * per_product[name]


def _kernel_cost(name: str, windows: Windows, channels: tuple[int, int], images: int) -> float:
    """The cost of the kernel's gradient, where XLA:CPU's convolution is about half as fast.

    With at most 16 output channels, XLA's takes as long for one image as for eight. With a stride
    it first transposes the map. The costs of patches and of strides come from an Intel Xeon with
    AVX-512 alone; the recorded run of the benchmark, on an AMD EPYC, is older than they are.
    """
    narrow, strided = channels[1] <= 16, any(w.stride > 1 for w in windows)
    if strided:
        with_patches = 0.75 + channels[0] / 400
    elif max(w.kernel for w in windows) > 3:
        with_patches = 1.9
    else:
        with_patches = 0.64 if min(channels) <= 16 else 0.9
    per_product = {
        "library": 0.95 * (max(1, 8 / images) if narrow else 1.5 if strided else 1),
        "patches": with_patches,
        "taps": 0.65 + 24 / min(channels),
        "winograd": (0.75 + 10 / channels[0] + 10 / channels[1]) * (2.2 if narrow else 1),
    }
    return _products(name, windows) * per_product[name]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def fast_conv(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c f"],
    windows: Windows,
    chosen: Plan,
    plain: Plain,
) -> Float[Array, "b {windows[0].outputs} {windows[1].outputs} f"]:
    """Computes `plain` in the forms of a plan; it has reverse-mode derivatives only."""
    if chosen.forward == "winograd":
        return winograd.forward(x, kernel, windows[0].rate)
    if chosen.forward == "taps":
        return taps.forward(x, kernel, windows)
    return plain(x, kernel, windows)


def _forward(x: Array, kernel: Array, windows: Windows, chosen: Plan, plain: Plain) -> tuple:
    return fast_conv(x, kernel, windows, chosen, plain), (x, kernel)


def _backward(
    windows: Windows, chosen: Plan, plain: Plain, residuals: tuple, dy: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    if chosen.input_gradient == "winograd":
        dx = winograd.input_gradient(dy, kernel, windows[0].rate)
    elif chosen.input_gradient == "taps":
        dx = taps.input_gradient(dy, kernel, windows)
    else:
        (dx,) = jax.linear_transpose(lambda x: plain(x, kernel, windows), x)(dy)
    if chosen.kernel_gradient == "winograd":
        dw = winograd.kernel_gradient(x, dy, windows[0].rate)
    elif chosen.kernel_gradient == "patches":
        dw = patches.kernel_gradient(x, dy, windows)
    elif chosen.kernel_gradient == "taps":
        dw = taps.kernel_gradient(x, dy, windows)
    else:
        (dw,) = jax.linear_transpose(lambda kernel: plain(x, kernel, windows), kernel)(dy)
    return dx, dw


fast_conv.defvjp(_forward, _backward)
