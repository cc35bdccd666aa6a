"""Ratios of a training step and a forward pass of jaxseg to those of its peers.

    python -m experiments.benchmarks.train_step
    python -m experiments.benchmarks.train_step --case=v3_plus-train-2x256 --rounds=9
    python -m experiments.benchmarks.train_step --keras_python=/path/to/keras/bin/python
    python -m experiments.benchmarks.train_step --case=v3-train --batch=4 --size=128 --peers=smp

A case is MODEL-STEP-BATCHxSIZE; --batch and --size provide or replace the last part.
MODEL: v3, v3_101, v3_plus, v3_plus_xception and unet as in segmentation_models_pytorch;
v3_torchvision, DeepLab at output stride 16 with rates 6, 12, 18; v3_stride8, torchvision's as
published; segnet and pspnet, compared with their twins in torch, `torch_twins.py`.
STEP: train or inference.

All contenders have the same parameters, start from the same random values and see the same batch;
the losses of their first steps are printed for comparison. Each is a process with as many threads
as there are cores; they work in turn, round after round. On a busy machine no ratio is printed. On
a GPU, computation is in bfloat16, peers are compiled, and our share of the measured peak of a
matrix product is added.
"""

import importlib.util
import json
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags

from experiments.benchmarks import processes, timing, work
from experiments.benchmarks.work import Work
from jaxseg.percent import percent
from jaxseg.reporting import tables

_OURS = "jaxseg"
_PLAIN = f"{_OURS} plain"
_TWIN = "torch-twin"
_SMP_DIVISOR = 16  # smp accepts only multiples of this size
# case -> {peer: maximum of our median over the peer's}: the project's own targets on CPU.
_CPU: Mapping[str, Mapping[str, float]] = {
    "v3-train-2x256": {"smp channels_last": 1.10},
    "v3-train-2x512": {"smp channels_last": 1.3},
    "v3-inference-2x256": {"smp channels_last": 1.15},
    "v3_plus-train-2x256": {"smp channels_last": 1.2, "keras-hub": 0.7, _PLAIN: 0.4},
    "v3_plus-inference-2x256": {"smp channels_last": 1.15},
    "v3_torchvision-train-2x256": {"torchvision channels_last": 1.10},
    "v3_plus_xception-train-2x256": {"smp channels_last": 1.15},
    "v3_plus_xception-inference-2x256": {"smp channels_last": 1.15},
    "unet-train-2x256": {"smp channels_last": 1.4},
    "unet-inference-2x256": {"smp channels_last": 1.4},
    "segnet-train-2x256": {f"{_TWIN} channels_last": 1.15},
    "segnet-inference-2x256": {f"{_TWIN} channels_last": 1.15},
    "pspnet-train-2x256": {f"{_TWIN} channels_last": 1.15},
    "pspnet-inference-2x256": {f"{_TWIN} channels_last": 1.15},
}
_GPU: Mapping[str, Mapping[str, float]] = {
    "v3_torchvision-train-16x513": {"torchvision channels_last compile": 1 / 1.2},
    "v3_torchvision-inference-16x513": {"torchvision channels_last compile": 1 / 1.2},
    "v3_plus-train-16x512": {"smp channels_last compile": 1 / 1.2},
    "v3_plus-inference-16x512": {"smp channels_last compile": 1 / 1.2},
    "v3_plus_xception-train-16x512": {"smp channels_last compile": 0.85},
    "v3_plus_xception-inference-16x512": {"smp channels_last compile": 0.85},
    "unet-train-16x512": {"smp channels_last compile": 0.85},
    "unet-inference-16x512": {"smp channels_last compile": 0.85},
    "segnet-train-16x512": {f"{_TWIN} channels_last compile": 0.85},
    "segnet-inference-16x512": {f"{_TWIN} channels_last compile": 0.85},
    "pspnet-train-16x512": {f"{_TWIN} channels_last compile": 0.85},
    "pspnet-inference-16x512": {f"{_TWIN} channels_last compile": 0.85},
}
TARGETS = {**_CPU, **_GPU}

_CASES = flags.DEFINE_list(
    "case", None, "Cases, separated by commas; default: those with a target here."
)
_BATCH = flags.DEFINE_integer("batch", None, "Images per step.", 1)
_SIZE = flags.DEFINE_integer("size", None, "Height and width of the images.", 1)
_DTYPE = flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "Dtype of the computation.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds.", 2)
_STEPS = flags.DEFINE_integer("steps", 4, "Measured steps of a contender in each round.", 1)
_PEERS = flags.DEFINE_list(
    "peers", ["torchvision", "smp", _TWIN, "keras-hub"], "--peers= for none."
)
_FORMS = flags.DEFINE_list(
    "forms", None, "Also measure our own forms: plain, fast; --forms= for none."
)
_COMPILE = flags.DEFINE_bool("torch_compile", None, "Also measure the peers with torch.compile.")
_KERAS = flags.DEFINE_string(
    "keras_python", None, "Python interpreter of an environment with keras-hub."
)
_WAIT = flags.DEFINE_float(
    "wait", 5, "Maximum wait for a quiet machine, in minutes, for each case."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "JSON file to write, or to which the cases are added."
)

Command = tuple[list[str], dict[str, str]]


def work_of(case: str, batch: int | None, size: int | None, dtype: str) -> Work:
    """The work of a case.

    Args:
      case: MODEL-STEP-BATCHxSIZE or MODEL-STEP.
      batch: replaces the case's; 2 if neither is given.
      size: replaces the case's; 256 if neither is given.
      dtype: of the computation.

    Raises:
      ValueError: the case is malformed.
    """
    models, steps = "|".join(work.MODELS), "train|inference"
    found = re.fullmatch(rf"({models})-({steps})(?:-(\d+)x(\d+))?", case)
    if found is None:
        raise ValueError(
            f"--case={case}: MODEL-STEP-BATCHxSIZE, such as v3-train-2x256; "
            f"models {', '.join(work.MODELS)}; steps train, inference"
        )
    model, step, own_batch, own_size = found.groups()
    return Work(model, step, batch or int(own_batch or 2), size or int(own_size or 256), dtype)


def _program(module: str, given: Work, variant: str, python: str = sys.executable) -> list[str]:
    argument = Work(**{**vars(given), "variant": variant}).argument()
    return [python, "-m", f"experiments.benchmarks.{module}", argument]


def library_of(model: str) -> str:
    """The torch library that has a model of `work.MODELS`."""
    if model in ("segnet", "pspnet"):
        return _TWIN
    return "torchvision" if model in ("v3_torchvision", "v3_stride8") else "smp"


def _torch_commands(given: Work, compiled: bool) -> dict[str, Command]:
    peer = library_of(given.model)
    module = "segmentation_models_pytorch" if peer == "smp" else "torchvision"  # twins too
    if peer not in _PEERS.value:
        return {}
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec(module) is None:
        print(f"  without {peer}: not installed (requirements/other_libraries.txt)")
        return {}
    if peer == "smp" and given.size % _SMP_DIVISOR:
        print(f"  without smp: it takes multiples of {_SMP_DIVISOR} only, not {given.size}")
        return {}
    variants = ["channels_last", ""] + (["channels_last compile"] if compiled else [])
    return {f"{peer} {v}".strip(): (_program("torch_peers", given, v), {}) for v in variants}


def commands(given: Work, forms: Sequence[str], compiled: bool) -> dict[str, Command]:
    """Name -> (command, environment) of every contender; ours last.

    Torch's are first, since they write the weights; ours are last, so that no other program's slow
    start comes between their start and their first round.

    Args:
      given: the work of all contenders.
      forms: forms of ours to measure besides "auto".
      compiled: also measure the peers with torch.compile.
    """
    found = _torch_commands(given, compiled)
    own = given if found else Work(**{**vars(given), "weights": ""})
    if "keras-hub" in _PEERS.value and given.model == "v3_plus":
        if _KERAS.value:
            command = _program("keras_peer", own, "", _KERAS.value)
            found["keras-hub"] = (command, {"KERAS_BACKEND": "jax"})
        else:
            print("  without keras-hub: it needs --keras_python (requirements/other_libraries.txt)")
    for form in (*forms, ""):
        found[f"{_OURS} {form}".strip()] = (_program("ours", own, form), {})
    return found


_HEADS = (
    *("seconds a step", "median", "minimum", "CPU", "spread", "MB", "parameters"),
    "jaxseg / it",
)
_COLUMNS = {  # name of a number in a record -> its format
    **{"median": ".4f", "minimum": ".4f", "cpu": ".3f", "spread": ".2f"},
    **{"resident_mb": "", "parameters": ","},
}


def measure(given: Work, case: str, forms: Sequence[str], compiled: bool) -> dict[str, Any]:
    """Runs one case and prints its table.

    Args:
      given: the work of the case.
      case: its name in `TARGETS`.
      forms: see `commands`.
      compiled: see `commands`.
    """
    load = timing.wait_until_quiet(_WAIT.value)
    print(f"\n{case}: {given.dtype}; load at the start {load:.2f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        given = Work(**{**vars(given), "weights": str(pathlib.Path(folder) / "weights.pth")})
        with processes.running(commands(given, forms, compiled)) as running:
            processes.interleave(running, _ROUNDS.value, _STEPS.value)
    record: dict[str, Any] = {"load": load, "dtype": given.dtype, "contenders": {}}
    ours = next(contender for contender in running if contender.name == _OURS)
    rows = []
    for it in running:
        compared = timing.Comparison.of(
            (ours.name, ours.times), (it.name, it.times), load, TARGETS.get(case, {}).get(it.name)
        )
        values = {**it.facts, **it.times.to_json(), "compared": compared.to_json()}
        record["contenders"][it.name] = values
        numbers = [f"{values[name]:{form}}" for name, form in _COLUMNS.items()]
        rows.append([it.name, *numbers, "" if it is ours else str(compared)])
    print(tables.aligned(rows, _HEADS))
    for it in running:
        peak, done = ours.facts["matrix_peak"], ours.facts["flops"] / it.times.median
        if peak:
            record["contenders"][it.name]["share_of_peak"] = done / peak
        print(f"  {it.name:32} {_facts(it.facts)}{_speed(done, peak)}")
    return record


def _facts(facts: Mapping[str, Any]) -> str:
    """Facts other than times: first losses, compilation."""
    line = f"first losses {', '.join(f'{value:.6g}' for value in facts['values'])}"
    if "compile_cpu" in facts:
        line += (
            f"; traced in {facts['trace_cpu']:.1f}, compiled in {facts['compile_cpu']:.1f} CPU "
            f"seconds; {facts['temporary_mb']} MB temporary"
        )
    return line


def _speed(done: float, peak: float | None) -> str:
    """Floating-point operations per second, as a share of those of a matrix product here."""
    if not peak:
        return ""
    return f"; {done / 1e12:.0f} T/s, {percent(done / peak, 0)} % of the {peak / 1e12:.0f} measured"


def _tell_targets(cases: Mapping[str, Mapping[str, Any]]) -> None:
    """Repeats each ratio that has a target at the end."""
    for case, found in cases.items():
        for name, values in found["contenders"].items():
            ratio, target = values["compared"]["ratio"], values["compared"]["target"]
            if target:
                told = "no ratio, the machine was busy" if ratio is None else f"{ratio:.2f}"
                print(f"{case:30} jaxseg / {name:34} at most {target:.2f}: {told}")


def main(arguments: Sequence[str]) -> None:
    """Measures the cases one after the other; the record is written after each."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    where = timing.environment()
    accelerated = any(kind.lower() != "cpu" for kind in where["devices"])
    dtype = _DTYPE.value or ("bfloat16" if accelerated else "float32")
    forms = _FORMS.value if _FORMS.value is not None else ["plain", "fast"][: 1 + accelerated]
    compiled = accelerated if _COMPILE.value is None else _COMPILE.value
    cases = _CASES.value or list(_GPU if accelerated else _CPU)
    try:
        works = [work_of(case, _BATCH.value, _SIZE.value, dtype) for case in cases]
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    record: dict[str, Any] = {"environment": where, "cases": _measured_before(where)}
    print(f"{where['processor']}, {where['cores']} cores, {', '.join(where['devices'])}")
    for given in works:
        case = f"{given.model}-{given.step}-{given.batch}x{given.size}"
        record["cases"][case] = measure(given, case, forms, compiled)
        if _OUTPUT.value:
            timing.write(_OUTPUT.value, record)
    print()
    _tell_targets(record["cases"])


def _measured_before(where: Mapping[str, Any]) -> dict[str, Any]:
    """The cases in --output from the same machine and the same versions."""
    path = pathlib.Path(_OUTPUT.value or "")
    if not path.is_file():
        return {}
    record = json.loads(path.read_text())
    same = ("devices", "processor", "cores", "versions")
    return record["cases"] if all(record["environment"][k] == where[k] for k in same) else {}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On a GPU the contenders share its memory, also with this program.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    app.run(main)
