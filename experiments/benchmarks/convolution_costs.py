"""The evidence for `jaxseg.layers.fast.conv.plan`: forms of each pass, over channels and sizes.

    python -m experiments.benchmarks.convolution_costs
    python -m experiments.benchmarks.convolution_costs --output=experiments/results/X.json

All are 3x3 convolutions, padded by their rate, most of them at stride 1. The cost of a form is its
time divided by that of the library's convolution, which has cost 1 in the model of `plan`. Regret
is the time of the chosen form divided by that of the fastest: 1 means that the choice was right.
"""

import functools
import itertools
import statistics
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks import timing
from jaxseg.layers.conv import plain_conv
from jaxseg.layers.fast import conv, patches, taps, winograd
from jaxseg.layers.window import Window, Windows
from jaxseg.runtime import memory
from jaxseg.types import Array

_ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds.", 2)
_SECONDS = flags.DEFINE_float(
    "seconds", 0.03, "Minimum duration of a block of calls; 3 blocks per round.", 0
)
_WAIT = flags.DEFINE_float("wait", 5, "Maximum wait for a quiet machine, in minutes.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

# (images, side of the map, rate, stride) and channels in and out, as they occur in networks for two
# cores and in published ones.
_MAPS = ((2, 64, 1, 1), (16, 32, 1, 1), (2, 32, 2, 1), (4, 64, 1, 2))
_CHANNELS = (16, 32, 48, 64, 128, 256)
_MOST_PRODUCTS = 6e9  # of a case: larger ones take minutes and are not closer decisions

Call = Callable[[Array, Array, Array], Array]  # (x, kernel, cotangent) -> result


def _forms(windows: Windows) -> dict[str, dict[str, Call]]:
    """Pass -> form -> call."""
    rate = windows[0].rate
    library = functools.partial(plain_conv, windows=windows)
    forms: dict[str, dict[str, Call]] = {
        "forward": {
            "library": lambda x, w, dy: library(x, w),
            "taps": lambda x, w, dy: taps.forward(x, w, windows),
            "winograd": lambda x, w, dy: winograd.forward(x, w, rate),
        },
        "input_gradient": {
            "library": lambda x, w, dy: jax.linear_transpose(lambda x: library(x, w), x)(dy)[0],
            "taps": lambda x, w, dy: taps.input_gradient(dy, w, windows),
            "winograd": lambda x, w, dy: winograd.input_gradient(dy, w, rate),
        },
        "kernel_gradient": {
            "library": lambda x, w, dy: jax.linear_transpose(lambda w: library(x, w), w)(dy)[0],
            "taps": lambda x, w, dy: taps.kernel_gradient(x, dy, windows),
            "winograd": lambda x, w, dy: winograd.kernel_gradient(x, dy, rate),
            "patches": lambda x, w, dy: patches.kernel_gradient(x, dy, windows),
        },
    }
    if windows[0].stride > 1:
        for calls in forms.values():
            del calls["winograd"]
    return forms


def _block(call: Call, arguments: tuple[Array, ...]) -> Callable[[int], None]:
    compiled = jax.jit(call)

    def block(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(compiled(*arguments))

    return block


def measure(
    batch: int, side: int, rate: int, stride: int, channels: tuple[int, int]
) -> list[dict[str, Any]]:
    """One line for each pass of one convolution."""
    draw = np.random.default_rng(0).normal
    window = Window(side, 3, stride, rate, rate)
    windows = (window, window)
    x, kernel, dy = (
        jax.numpy.asarray(draw(size=shape), "float32")
        for shape in (
            (batch, side, side, channels[0]),
            (3, 3, *channels),
            (batch, window.outputs, window.outputs, channels[1]),
        )
    )
    chosen = conv.plan(x, kernel, windows)
    lines = []
    for name, forms in _forms(windows).items():
        blocks = {form: _block(call, (x, kernel, dy)) for form, call in forms.items()}
        times = timing.take_turns(blocks, _ROUNDS.value, _SECONDS.value)
        seconds = {form: t.median for form, t in times.items()}
        picked = getattr(chosen, name)
        line = {
            "map": [batch, side, side],
            "rate": rate,
            "stride": stride,
            "channels": list(channels),
            "pass": name,
            "seconds": seconds,
            "cost": {form: s / seconds["library"] for form, s in seconds.items()},
            "spread": max(t.spread for t in times.values()),
            "chosen": picked,
            "regret": seconds[picked] / min(seconds.values()),
        }
        cost = ", ".join(f"{form} {value:.2f}" for form, value in line["cost"].items())
        print(
            f"{batch} x {side}^2, rate {rate}, stride {stride}, "
            f"{channels[0]:3} -> {channels[1]:3}, {name:15} {cost}; "
            f"chosen {picked}, regret {line['regret']:.2f}",
            flush=True,
        )
        lines.append(line)
    return lines


def main(arguments: list[str]) -> None:
    """Measures all cases, then prints the regret over them."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    load = timing.wait_until_quiet(_WAIT.value)
    record: dict[str, Any] = {"environment": timing.environment(), "load": load, "cases": []}
    for (batch, side, rate, stride), *channels in itertools.product(_MAPS, _CHANNELS, _CHANNELS):
        if batch * side**2 * 9 * channels[0] * channels[1] <= _MOST_PRODUCTS:
            record["cases"] += measure(batch, side, rate, stride, (channels[0], channels[1]))
            if _OUTPUT.value:
                timing.write(_OUTPUT.value, record)
    regrets = [case["regret"] for case in record["cases"]]
    print(
        f"regret over {len(regrets)} passes: mean {statistics.mean(regrets):.3f}, "
        f"greatest {max(regrets):.2f}"
    )


if __name__ == "__main__":
    memory.keep_freed("cpu")
    app.run(main)
