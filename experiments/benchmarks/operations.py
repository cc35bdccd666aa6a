"""Times each form of an operation against its plain definition: value and gradients.

    python -m experiments.benchmarks.operations
    python -m experiments.benchmarks.operations --only=atrous,depthwise --rounds=9
    python -m experiments.benchmarks.operations --output=experiments/results/operations.json
    python -m experiments.benchmarks.operations --complete --output=... (on a quieter machine)

Forms take turns in one process, round after round; if the rounds differ too much for a ratio, all
forms of the operation are measured again. "auto" is what models run; if it compiles to the same
program as another form, it shares that form's time. The gradient pass computes the gradients of all
arguments for a given cotangent, without the value if they do not need it. These tables decide the
choice of "auto" on each backend.
"""

import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import app, flags

from experiments.benchmarks import timing
from experiments.benchmarks.operation_list import Operation, operations
from jaxseg.runtime import memory

_ONLY = flags.DEFINE_list("only", [], "Names of operations, or prefixes of names; default: all.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds.", 2)
_SECONDS = flags.DEFINE_float(
    "seconds", 0.05, "Minimum duration of a block of calls; 3 blocks per round.", 0
)
_CHANNELS = flags.DEFINE_integer("channels", 512, "Channels of the atrous convolutions.", 1)
_BATCH = flags.DEFINE_integer(
    "batch", None, "Number of images; default 1, on an accelerator 16.", 1
)
_DTYPE = flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "Default float32; GPU: half.")
_ATTEMPTS = flags.DEFINE_integer("attempts", 3, "Repeated measurements of unsteady operations.", 1)
_WAIT = flags.DEFINE_float("wait", 5, "Maximum wait for a quiet machine, in minutes.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
_COMPLETE = flags.DEFINE_bool(
    "complete", False, "Measure only operations without a ratio in the output file."
)

_VALUE, _GRADIENT, _BOTH = "value", "gradient", "both"


def _block(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[int], object]:
    """Makes the given number of calls and waits; on CPU after each, or calls would overlap."""
    each = jax.default_backend() == "cpu"

    def block(count: int) -> None:
        result = None
        for _ in range(count):
            result = function(*arguments)
            if each:
                jax.block_until_ready(result)
        jax.block_until_ready(result)

    return block


def _gradient(form: Callable[..., Any]) -> Callable[..., Any]:
    """(cotangent, arguments) -> the gradient of each argument that is differentiable."""
    return lambda cotangent, *arguments: jax.vjp(form, *arguments)[1](cotangent)


def times_of(
    forms: Mapping[str, Callable[..., Any]], arguments: tuple[Any, ...]
) -> tuple[dict[str, timing.Times], dict[str, str]]:
    """Times of each form, and form -> the form that compiles to the same program."""
    programs: dict[str, str] = {}  # program text -> the first form that compiles to it
    same: dict[str, str] = {}
    blocks: dict[str, Callable[[int], object]] = {}
    for name, form in forms.items():
        if getattr(form, "on_host", False):
            blocks[name] = _block(form, arguments)
            continue
        function = jax.jit(form)
        first = programs.setdefault(function.lower(*arguments).as_text(), name)
        if first == name:
            blocks[name] = _block(function, arguments)
        else:
            same[name] = first
    for _ in range(_ATTEMPTS.value):
        times = timing.take_turns(blocks, _ROUNDS.value, _SECONDS.value)
        if all(t.spread <= timing.MOST_SPREAD for t in times.values()):
            break
    return times | {name: times[first] for name, first in same.items()}, same


def measure(operation: Operation, load: float) -> dict[str, Any]:
    """Times one operation, prints a line for each pass, and returns the times as JSON values."""
    times, same = {}, {}
    times[_VALUE], same[_VALUE] = times_of(operation.forms, operation.arguments)
    if operation.differentiable:
        shape = jax.eval_shape(operation.forms["auto"], *operation.arguments)
        cotangent = jax.random.normal(jax.random.key(1), shape.shape, shape.dtype)
        gradients = {name: _gradient(form) for name, form in operation.forms.items()}
        times[_GRADIENT], same[_GRADIENT] = times_of(gradients, (cotangent, *operation.arguments))
        times[_BOTH] = {
            name: times[_VALUE][name] + times[_GRADIENT][name] for name in operation.forms
        }
        same[_BOTH] = {
            name: first
            for name, first in same[_VALUE].items()
            if same[_GRADIENT].get(name) == first
        }
    record: dict[str, Any] = {}
    targets = operation.targets if jax.default_backend() == "cpu" else {}
    for which, forms in times.items():
        base = operation.base
        compared = timing.Comparison.of(
            ("auto", forms["auto"]), (base, forms[base]), load, targets.get(which)
        )
        record[which] = {
            "forms": {name: t.to_json() for name, t in forms.items()},
            "same": same[which],
            "base": base,
            "compared": compared.to_json(),
        }
        cells = [
            f"{name} = {same[which][name]}"
            if name in same[which]
            else f"{name} {1e3 * t.median:.3f} ({1e3 * min(t.cpu):.3f})"
            for name, t in forms.items()
        ]
        print(
            f"{operation.name:34} {which:9} {', '.join(cells)}; auto / {base} {compared}",
            flush=True,
        )
    return record


def _steady(passes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether each pass with a target has a ratio."""
    compared = [values["compared"] for values in passes.values()]
    return all(one["ratio"] is not None for one in compared if one["target"])


def main(arguments: list[str]) -> None:
    """Measures the operations one after the other; the record is written after each."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    where = timing.environment()
    accelerated = jax.default_backend() != "cpu"
    batch = _BATCH.value or (16 if accelerated else 1)
    dtype = _DTYPE.value or ("bfloat16" if accelerated else "float32")
    makers = {
        name: make
        for name, make in operations(batch, _CHANNELS.value, dtype).items()
        if not _ONLY.value or name.startswith(tuple(_ONLY.value))
    }
    if not makers:
        raise app.UsageError(f"--only={','.join(_ONLY.value)}: no operation begins with this")
    before: dict[str, Any] = {}
    if _COMPLETE.value:
        if not _OUTPUT.value or not pathlib.Path(_OUTPUT.value).is_file():
            raise app.UsageError(
                f"--complete: --output={_OUTPUT.value} is not a file of an earlier run"
            )
        before = json.loads(pathlib.Path(_OUTPUT.value).read_text())
        if (before["batch"], before["dtype"]) != (batch, dtype):
            raise app.UsageError(f"--complete: {_OUTPUT.value} has a different batch or dtype")
        known = before["operations"]
        makers = {n: m for n, m in makers.items() if n not in known or not _steady(known[n])}
    load = timing.wait_until_quiet(_WAIT.value)
    print(f"{where['processor']}, {where['cores']} cores, {', '.join(where['devices'])}")
    print(f"batch {batch}, {dtype}, load at the start {load:.2f}; milliseconds (CPU milliseconds)")
    record: dict[str, Any] = {
        "environment": where,
        "load": load,
        "batch": batch,
        "dtype": dtype,
        "operations": {},
    } | before
    for name, make in makers.items():
        record["operations"][name] = measure(make(), load)
        if _OUTPUT.value:
            timing.write(_OUTPUT.value, record)
    _tell_targets(record["operations"])


def _tell_targets(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints how many targets are met, and which are missed."""
    told = [
        (f"{name}, {which}", values["compared"])
        for name, passes in measured.items()
        for which, values in passes.items()
        if values["compared"]["target"]
    ]
    met = sum(bool(compared["met"]) for _, compared in told)
    busy = sum(compared["met"] is None for _, compared in told)
    print(f"\n{len(told)} targets: {met} met, {busy} without a ratio, the machine being busy")
    for name, compared in told:
        if compared["met"] is False:
            print(f"  missed: {name}: {compared['ratio']:.2f}, at most {compared['target']}")


if __name__ == "__main__":
    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    app.run(main)
