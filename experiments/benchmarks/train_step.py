"""A training step and a forward pass of jaxseg beside its peers, as ratios.

    python -m experiments.benchmarks.train_step
    python -m experiments.benchmarks.train_step --case=v3_plus-train-256 --rounds=9
    python -m experiments.benchmarks.train_step --keras_python=/path/to/keras/bin/python
    python -m experiments.benchmarks.train_step --case=v3-train-513 --batch=16 --dtype=bfloat16 \
        --torch_compile

Same model (equal in parameters, and in values: tests/peers), batch, size and type. Every contender
is a process; they work in turn, round after round. No ratio is printed where the machine was busy.
"""

import datetime
import functools
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags

from experiments.benchmarks import timing
from experiments.benchmarks.work import Work

# case -> {peer: most that our median may be of the peer's}, from the project's own targets (CPU).
TARGETS: Mapping[str, Mapping[str, float]] = {
    "v3-train-256": {"smp channels_last": 1.10},
    "v3-train-512": {"smp channels_last": 1.3},
    "v3-inference-256": {"smp channels_last": 1.15},
    "v3_plus-train-256": {"smp": 1.2, "smp channels_last": 1.2, "keras-hub": 0.7, "plain": 0.4},
    "v3_plus-inference-256": {"smp channels_last": 1.15},
    "v3_stride8-train-256": {},
}
_OURS = "jaxseg"

_CASES = flags.DEFINE_list(
    "case", list(TARGETS), "MODEL-STEP-SIZE, several with commas; MODEL: v3, v3_plus, v3_stride8."
)
_BATCH = flags.DEFINE_integer("batch", 2, "Images a step.", 1)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the computation.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds.", 2)
_STEPS = flags.DEFINE_integer("steps", 2, "Measured steps of a contender in each round.", 1)
_PEERS = flags.DEFINE_bool("peers", True, "Also run torchvision and segmentation_models_pytorch.")
_COMPILE = flags.DEFINE_bool("torch_compile", False, "Also torch.compile of the peers.")
_PLAIN = flags.DEFINE_bool("plain", True, "Also our own plain forms.")
_KERAS = flags.DEFINE_string("keras_python", None, "Python of an environment with keras-hub.")
_WAIT = flags.DEFINE_float("wait", 5, "Minutes to wait at most for a quiet machine, each case.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")


def contenders(work: Work) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Name -> (command, environment) of everything that is measured in this case."""

    def program(module: str, variant: str, python: str = sys.executable) -> list[str]:
        argument = Work(**{**vars(work), "variant": variant}).argument()
        return [python, "-m", f"experiments.benchmarks.{module}", argument]

    found: dict[str, tuple[list[str], dict[str, str]]] = {_OURS: (program("ours", ""), {})}
    if _PLAIN.value:
        found["plain"] = (program("ours", "plain"), {})
    if _PEERS.value:
        peer = "torchvision" if work.model == "v3_stride8" else "smp"
        variants = ["", "channels_last"]
        if _COMPILE.value:
            variants.append("channels_last compile")
        for variant in variants:
            found[f"{peer} {variant}".strip()] = (program("torch_peers", variant), {})
    if _KERAS.value and work.model == "v3_plus":
        found["keras-hub"] = (program("keras_peer", "", _KERAS.value), {"KERAS_BACKEND": "jax"})
    return found


def measure(name: str) -> dict[str, Any]:
    """Runs one case and prints its table."""
    model, step, size = name.split("-")
    work = Work(model, step, _BATCH.value, int(size), _DTYPE.value)
    load = timing.wait_until_quiet(_WAIT.value)
    print(f"\n{name}: batch {work.batch}, {work.dtype}; load at the start {load:.2f}", flush=True)
    with timing.running(contenders(work)) as running:
        timing.interleave(running, _ROUNDS.value, _STEPS.value)
        measured = {contender.name: contender.to_json() for contender in running}
    ours = measured[_OURS]
    print(
        f"{'':24} {'median s':>9} {'minimum':>9} {'CPU s':>8} {'spread':>7} {'first s':>8} "
        f"{'parameters':>12}  ours / it"
    )
    for other, values in measured.items():
        spreads = {_OURS: ours["spread"], other: values["spread"]}
        busy = timing.too_busy(load, spreads)
        target = TARGETS.get(name, {}).get(other)
        if other == _OURS:
            ratio = ""
        elif busy:
            ratio = f"no ratio: {busy}"
        else:
            values["ratio"] = ours["median"] / values["median"]
            values["target"] = target
            goal = f" (at most {target})" if target else ""
            ratio = f"{values['ratio']:.2f}{goal}"
        print(
            f"{other:24} {values['median']:9.3f} {values['minimum']:9.3f} {values['cpu']:8.2f} "
            f"{values['spread']:7.2f} {values['first_step']['wall']:8.1f} "
            f"{values['parameters']:12,}  {ratio}"
        )
    return {"batch": work.batch, "dtype": work.dtype, "load": load, "contenders": measured}


def share_of_peak(record: dict[str, Any], peak: float) -> float | None:
    """Floating-point operations a second of our step over those of a large matrix product."""
    ours = record["contenders"][_OURS]
    return ours["flops"] / ours["median"] / peak if ours.get("flops") else None


def main(arguments: Sequence[str]) -> None:
    """Every case, one after the other; what is measured is written after each."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is no flag")
    from jaxseg.environment import environment

    where = environment() | timing.machine()
    record: dict[str, Any] = {"environment": where, "cases": {}}
    accelerated = any(kind.lower() != "cpu" for kind in where["devices"])
    print(f"{where['processor']}, {where['cores']} cores, {', '.join(where['devices'])}")
    for name in _CASES.value:
        record["cases"][name] = measured = measure(name)
        measured["at"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        if accelerated:
            from experiments.benchmarks.ours import matrix_peak

            peak = functools.cache(matrix_peak)(_DTYPE.value)
            measured["matrix_peak"], measured["share"] = peak, share_of_peak(measured, peak)
            print(f"share of the matrix-product peak ({peak / 1e12:.0f} T/s): {measured['share']}")
        if _OUTPUT.value:
            path = pathlib.Path(_OUTPUT.value)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On a GPU the contenders share its memory, with this program too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    app.run(main)
