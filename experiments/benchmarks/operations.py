"""Each fast form beside the plain one that defines it: value, and value with gradients.

    python -m experiments.benchmarks.operations
    python -m experiments.benchmarks.operations --only=atrous --rounds=10 --output=operations.json

Forms take turns, round after round; what counts is the least of the rounds, of the CPU seconds of
all threads (which other programs hardly change) and, on an accelerator, of the clock.
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks import timing
from jaxseg import memory
from jaxseg.environment import environment
from jaxseg.layers.conv import conv
from jaxseg.layers.pool import max_pool
from jaxseg.layers.resize import resize_bilinear
from jaxseg.metrics import confusion_matrix

_ONLY = flags.DEFINE_list("only", [], "Names, or beginnings of names, of operations; all if empty.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds.", 1)
_CHANNELS = flags.DEFINE_integer("channels", 256, "Of the atrous and depthwise convolutions.", 1)
_BATCH = flags.DEFINE_integer("batch", 2, "Images.", 1)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the arrays.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

_MAPS, _RATES = (17, 33, 65), (1, 2, 4, 6, 12, 18, 24, 36)
_CLASSES = 21


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation on given arrays, in several forms; the first is what others are held to."""

    name: str
    arguments: tuple[Any, ...]
    forms: Mapping[str, Callable[..., Any]]
    target: float | None = None  # of "auto", value and gradients (value alone without any)
    value_target: float | None = None  # of "auto", value alone
    differentiable: bool = True


def _draw(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), _DTYPE.value)


def _convolution(name: str, size: int, target: float | None, **options: Any) -> Operation:
    b, c = _BATCH.value, _CHANNELS.value
    groups = options.get("groups", 1)
    k = options.pop("k", 3)

    def in_form(form: str) -> Callable[..., Any]:
        return lambda x, kernel: conv(x, kernel, form=form, **options)

    arguments = _draw(b, size, size, c), _draw(k, k, c // groups, c) / 16
    return Operation(name, arguments, {form: in_form(form) for form in ("plain", "auto")}, target)


def _resize(inputs: int, outputs: int, channels: int) -> Operation:
    shape = (_BATCH.value, outputs, outputs, channels)

    def in_form(form: str) -> Callable[..., Any]:
        return lambda x: resize_bilinear(x, shape[1:3], convention="half_pixel", form=form)

    forms: dict[str, Callable[..., Any]] = {
        "jax.image": lambda x: jax.image.resize(x, shape, "bilinear"),
        "plain": in_form("plain"),
        "auto": in_form("auto"),
    }
    x = _draw(_BATCH.value, inputs, inputs, channels)
    return Operation(f"resize {inputs} to {outputs}", (x,), forms, 1.1, 0.25)


def operations() -> Iterator[Operation]:
    """All of them, with the targets of the project on CPU."""
    b, c = _BATCH.value, _CHANNELS.value
    for size in _MAPS:
        for rate in _RATES:
            target = 0.75 if size == 33 and rate >= 12 else 1.05
            yield _convolution(f"atrous {size} rate {rate}", size, target, rate=rate)
    yield _convolution("1x1 33", 33, 1.05, k=1)
    yield _convolution("1x1 65", 65, 1.05, k=1)
    for size, stride, rate in ((65, 1, 1), (65, 2, 1), (33, 1, 2), (33, 1, 12)):
        name = f"depthwise {size} stride {stride} rate {rate}"
        yield _convolution(name, size, 0.35, groups=c, stride=stride, rate=rate)

    for inputs, outputs, channels in ((17, 65, c), (33, 129, c), (129, 513, _CLASSES)):
        yield _resize(inputs, outputs, channels)

    def pooled(form: str) -> Callable[..., Any]:
        return lambda x: max_pool(x, 3, 2, 1, form=form)

    forms = {form: pooled(form) for form in ("plain", "auto")}
    yield Operation("max pool 3x3 stride 2", (_draw(b, 129, 129, 64),), forms)

    rng = np.random.default_rng(0)
    labels, predictions = (
        jnp.asarray(rng.integers(0, _CLASSES, (b, 513, 513)), jnp.int32) for _ in range(2)
    )

    def counted(form: str) -> Callable[..., Any]:
        return lambda y, p: confusion_matrix(y, p, _CLASSES, form=form)

    def numpy_bincount(y: jax.Array, p: jax.Array) -> Any:
        pairs = np.asarray(y).ravel() * _CLASSES + np.asarray(p).ravel()
        return np.bincount(pairs, minlength=_CLASSES**2)

    yield Operation(
        "confusion matrix 513",
        (labels, predictions),
        {
            "numpy bincount": numpy_bincount,
            "matmul": jax.jit(counted("matmul")),
            "auto": jax.jit(counted("auto")),
        },
        target=2.0,
        differentiable=False,
    )


def _with_gradients(form: Callable[..., Any]) -> Callable[..., Any]:
    """Value and the gradients of all arguments, for a cotangent that the compiler does not know."""

    def both(*arguments: Any) -> Any:
        value, pull = jax.vjp(form, *arguments)
        return value, pull(jnp.tanh(value))

    return both


def _least(
    forms: Mapping[str, Callable[..., Any]], arguments: Sequence[Any]
) -> dict[str, dict[str, float]]:
    """Seconds of each form: the least over rounds in which the forms take turns."""
    for form in forms.values():
        jax.block_until_ready(form(*arguments))
    best = {name: {"cpu": float("inf"), "wall": float("inf")} for name in forms}
    for _ in range(_ROUNDS.value):
        for name, form in forms.items():
            start = time.perf_counter(), time.process_time()
            jax.block_until_ready(form(*arguments))
            wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
            best[name]["cpu"] = min(best[name]["cpu"], cpu)
            best[name]["wall"] = min(best[name]["wall"], wall)
    return best


def measure(operation: Operation, clock: str) -> dict[str, Any]:
    """Times one operation and prints its lines."""
    passes: dict[str, tuple[Mapping[str, Callable[..., Any]], float | None]] = {}
    if operation.differentiable:
        values = {name: jax.jit(form) for name, form in operation.forms.items()}
        both = {name: jax.jit(_with_gradients(form)) for name, form in operation.forms.items()}
        passes["value"] = values, operation.value_target
        passes["with gradients"] = both, operation.target
    else:
        passes["value"] = operation.forms, operation.target
    record: dict[str, Any] = {}
    for which, (forms, target) in passes.items():
        times = _least(forms, operation.arguments)
        base = next(iter(times.values()))[clock]
        cells = []
        for name, seconds in times.items():
            cells.append(f"{name} {1e3 * seconds[clock]:.2f} ms ({seconds[clock] / base:.2f})")
        ratio = times["auto"][clock] / base
        verdict = ""
        if target is not None:
            verdict = f"at most {target}: {'met' if ratio <= target else 'MISSED'}"
        print(f"{operation.name:32} {which:15} {', '.join(cells)}  {verdict}", flush=True)
        record[which] = {"seconds": times, "ratio": ratio, "target": target}
    return record


def main(arguments: Sequence[str]) -> None:
    """Every operation, one after the other."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is no flag")
    where = environment() | timing.machine()
    clock = "cpu" if jax.default_backend() == "cpu" else "wall"
    record: dict[str, Any] = {"environment": where, "clock": clock, "operations": {}}
    print(f"{where['processor']}, {', '.join(where['devices'])}; ratios of {clock} seconds")
    for operation in operations():
        if _ONLY.value and not operation.name.startswith(tuple(_ONLY.value)):
            continue
        record["operations"][operation.name] = measure(operation, clock)
        if _OUTPUT.value:
            path = pathlib.Path(_OUTPUT.value)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    app.run(main)
