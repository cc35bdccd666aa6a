"""One job of a sweep: trains and evaluates what is missing, then records its outcome.

    python -m launch.job FOLDER

FOLDER holds the job.json written by `launch.sweep`, and becomes the run folder. The same command
resumes after any interruption. Under `srun` with several tasks, the tasks are the processes of one
run.

Exit status, as of `jaxseg.main`: 0 if the job is done, 1 if it failed, 75 if it saved after a
signal and should be started again.
"""

import dataclasses
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from experiments.ablation import code_version, job_folder
from experiments.ablation.job_folder import OUTCOME
from jaxseg import config
from jaxseg.cli import command_line
from jaxseg.errors import one_line
from jaxseg.workdir import log
from jaxseg.workdir.log import write_json

_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0; not needed under SLURM."
)
_PROCESSES = flags.DEFINE_integer("processes", 1, "With --coordinator: the number of processes.")
_PROCESS = flags.DEFINE_integer("process", 0, "With --coordinator: the index of this process.")
_CORES = flags.DEFINE_list("cores", [], "Processor cores to use.")
_PARENT = flags.DEFINE_integer("parent", 0, "Save and stop when this process ends.")


def run(folder: pathlib.Path) -> None:
    """Trains and evaluates whatever is not done yet.

    Raises:
      ValueError: the folder holds no job, or the run that initialises it is not finished.
      SystemExit: with 75, after a signal.
    """
    from jaxseg import evaluate, tasks, train
    from jaxseg.runtime import processes

    job = job_folder.read(folder)
    tags = job_folder.tags(job.experiment, job.protocols)
    experiment, protocols = job.experiment, job.protocols
    if job.data and job.data != code_version.of_data(experiment.data):
        raise ValueError(
            f"{experiment.data.name} was prepared again since {folder.name} was planned: give the "
            "command of the sweep again, which plans it on the data that is there now"
        )
    if job.start:
        first = folder.parent / job.start
        if not (first / OUTCOME).is_file():
            raise ValueError(f"{folder.name} starts from {first}, which is not finished")
        experiment.train.init_from = str(first)
    command_line.prepare_jax(experiment)
    processes.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    train.fit(experiment, folder)
    if tasks.of(experiment) is tasks.instance:
        if processes.is_main():
            found = {"tags": tags, **_costs_of_detector(experiment, protocols)}
            write_json(folder / OUTCOME, {**found, "scores": _scores(experiment, folder)})
        return
    for row, protocol in protocols.items():
        if not job_folder.is_evaluated(folder, tags[row], experiment.train.steps):
            evaluate.run(dataclasses.replace(experiment, eval=protocol), folder)
    if processes.is_main():
        write_json(folder / OUTCOME, {"tags": tags, **_costs(experiment, protocols)})


def _scores(experiment: config.Experiment, folder: pathlib.Path) -> dict[str, float]:
    """COCO's numbers by name, "mask AP" and so on, which the training logged at its last step."""
    lines = log.read_lines(folder / "metrics.jsonl")
    found = [x for x in lines if (x["kind"], x["step"]) == ("eval", experiment.train.steps)]
    if not found:
        raise ValueError(
            f"{folder}/metrics.jsonl has no evaluation of step {experiment.train.steps}: delete "
            "the folder, and give the command of the sweep again"
        )
    return {name: value for name, value in found[-1].items() if name.startswith(("box ", "mask "))}


def _costs_of_detector(
    experiment: config.Experiment, protocols: dict[str, config.Eval]
) -> dict[str, Any]:
    """Parameters, and multiply-adds of one canvas; all rows share the evaluation of training."""
    from jaxseg.inspection import summary

    found = summary.summarize(experiment.model, experiment.data.crop_size)
    return {
        "steps": experiment.train.steps,
        "parameters": found.parameters,
        "multiply_adds": dict.fromkeys(protocols, found.multiply_adds),
    }


def _costs(experiment: config.Experiment, protocols: dict[str, config.Eval]) -> dict[str, Any]:
    """Parameters, multiply-adds per image as each row evaluates it, memory of a training step.

    Multiply-adds are those of one view of the evaluated size at scale 1, or of one window.
    """
    from jaxseg.inference.views import at_output_stride
    from jaxseg.inspection import summary
    from jaxseg.training.step_memory import step_memory

    crop = experiment.data.crop_size
    counts: dict[str, int] = {}
    for row, protocol in protocols.items():
        size = protocol.crop_size if protocol.sliding else protocol.size
        model = experiment.model
        if protocol.output_stride:
            model = at_output_stride(model, protocol.output_stride)
        counts[row] = summary.summarize(model, size if any(size) else crop).multiply_adds
    trained = summary.summarize(experiment.model, crop)
    return {
        "steps": experiment.train.steps,
        "parameters": trained.parameters,
        "multiply_adds": counts,
        "memory": step_memory(experiment, crop)["train step"]["peak"],
    }


def _stop_with(parent: int) -> None:
    """Asks this process to stop, as a scheduler would, when `parent` has ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    """Runs the job; an error is reported in one line, after its traceback in the log."""
    if len(arguments) != 2:
        print("usage: python -m launch.job FOLDER", file=sys.stderr)
        return 2
    if _CORES.value:
        os.sched_setaffinity(0, [int(core) for core in _CORES.value])
    if _PARENT.value:
        threading.Thread(target=_stop_with, args=(_PARENT.value,), daemon=True).start()
    try:
        run(pathlib.Path(arguments[1]))
    except (ValueError, OSError, KeyError) as error:
        traceback.print_exc()
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
