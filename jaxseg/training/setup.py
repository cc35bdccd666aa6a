"""Sets up a training before its first step: data, devices, state, files of the run."""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from jaxseg import config, tasks
from jaxseg.data import class_sampling, loader
from jaxseg.runtime import processes
from jaxseg.runtime.mesh import replicated, with_shardings
from jaxseg.runtime.stop import StopRequest
from jaxseg.state import TrainState
from jaxseg.training import drift, preflight, start
from jaxseg.training.step import init_state, make_optimizer
from jaxseg.workdir import checkpoint, data_identity, lock, log, same_data, same_start, saved_steps
from jaxseg.workdir.environment import describe_run


@dataclasses.dataclass(frozen=True)
class Setup:
    """A training that is ready for its next step.

    Attributes:
      experiment: with the number of classes filled in.
      workdir: the run folder.
      train: the split to train on.
      test: the split to evaluate on.
      plan: which examples are drawn how often.
      mesh: of the devices.
      optimizer: of the experiment.
      rate: the learning rate of each step.
      places: the sharding of each leaf of the state.
      state: from which the run starts or continues.
      position: the loader's position after that state; None: the beginning.
      saved: the checkpoints of the run.
      writer: of the log.
      progress: the progress bar.
      stopping: whether a signal asks the run to stop.
    """

    experiment: config.Experiment
    workdir: pathlib.Path
    train: loader.Source
    test: loader.Source
    plan: class_sampling.Plan
    mesh: Mesh
    optimizer: optax.GradientTransformation
    rate: optax.Schedule
    places: Any
    state: TrainState
    position: Any
    saved: checkpoint.Checkpoints
    writer: log.Writer
    progress: log.Progress
    stopping: StopRequest


@contextlib.contextmanager
def set_up(
    experiment: config.Experiment,
    workdir: pathlib.Path,
    *,
    source: pathlib.Path | None = None,
    data: tuple[loader.Source, loader.Source] | None = None,
    changed_data: bool = False,
) -> Iterator[Setup]:
    """A context with the set-up of a run; on exit, it waits for saves and releases files and locks.

    The processes meet and the data is compared before anything is written. For the arguments and
    errors, see `jaxseg.train.fit`.
    """
    last_good = functools.partial(saved_steps.last_good, workdir / "checkpoints")
    with contextlib.ExitStack() as stack:
        stack.enter_context(processes.watch(experiment.train.heartbeat_timeout, last_good))
        same_start.refuse_odd(experiment, workdir, "train", data)
        known = same_data.hold_training(workdir, experiment.data, data, changed_data=changed_data)
        ready = preflight.ready(experiment, data)
        experiment = ready.experiment
        plan = tasks.of(experiment).plan(experiment, ready.train)
        optimizer, rate = make_optimizer(experiment)
        if processes.is_main():
            stack.enter_context(lock.lock(workdir))
        stopping = stack.enter_context(StopRequest())
        saved = stack.enter_context(
            checkpoint.Checkpoints(workdir / "checkpoints", experiment.train.keep)
        )
        state, position, places = _first_state(ready, optimizer, saved, workdir)
        if processes.is_main():
            data_identity.keep(workdir, ready.train, experiment.data)
            describe_run(experiment, workdir, source, int(state.step), known)
        writer, progress = _writers(experiment, workdir, int(state.step), stack)
        for line in tasks.of(experiment).notices(experiment, ready.train, ready.test):
            progress.say(line)
        for line in drift.notices(experiment):
            progress.say(line)
        yield Setup(
            experiment=experiment,
            workdir=workdir,
            train=ready.train,
            test=ready.test,
            plan=plan,
            mesh=ready.mesh,
            optimizer=optimizer,
            rate=rate,
            places=places,
            state=state,
            position=position,
            saved=saved,
            writer=writer,
            progress=progress,
            stopping=stopping,
        )


def once_on_cpu(platform: str) -> dict[str, Any]:
    """Compiler options of a program that runs once: on a CPU, little optimisation.

    The initial values of a network are the same to the bit, and are compiled in a third of the
    time: 4 instead of 11 s for a Mask R-CNN on ResNet-18. XLA_FLAGS that set the level are kept.
    """
    level = "xla_backend_optimization_level"
    if platform != "cpu" or level in os.environ.get("XLA_FLAGS", ""):
        return {}
    return {level: 1}


def _first_state(
    ready: preflight.Ready,
    optimizer: optax.GradientTransformation,
    saved: checkpoint.Checkpoints,
    workdir: pathlib.Path,
) -> tuple[TrainState, Any, Any]:
    """The state and loader's position of the newest checkpoint or a new run, and the shardings."""
    experiment, mesh = ready.experiment, ready.mesh
    make = functools.partial(init_state, experiment, optimizer)
    shard = experiment.train.shard_params
    abstract = with_shardings(jax.eval_shape(make), mesh, shard=shard)
    places = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    restored = saved.restore(abstract)
    if restored is not None:
        state, position = restored
        return jax.device_put(state, places), position, places
    # A state that is filled from weights is replicated first, and sharded afterwards.
    init = jax.jit(
        make,
        out_shardings=replicated(mesh) if experiment.train.init_from else places,
        compiler_options=once_on_cpu(mesh.devices.flat[0].platform),
    )
    folder = workdir if processes.is_main() else None
    state = start.state(experiment, init, abstract, folder, labels=ready.train.labels)
    return jax.device_put(state, places), None, places


def _writers(
    experiment: config.Experiment, workdir: pathlib.Path, step: int, stack: contextlib.ExitStack
) -> tuple[log.Writer, log.Progress]:
    """The log and the progress bar, starting at a step; the stack closes them."""
    main = processes.is_main()
    writer = log.Writer(workdir, step, main=main)
    stack.enter_context(contextlib.closing(writer))
    progress = log.Progress(experiment.train.steps, step, quiet=not main)
    stack.enter_context(contextlib.closing(progress))
    return writer, progress
