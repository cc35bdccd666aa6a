"""The training loop: steps, and logging, checkpoints and evaluations between them."""

import os
import sys
from typing import NoReturn

import jax

from jaxseg import config, tasks
from jaxseg.runtime.mesh import replicate
from jaxseg.state import TrainState
from jaxseg.training import alarms, batches
from jaxseg.training.setup import Setup
from jaxseg.training.step import Step, make_train_step
from jaxseg.workdir import log

STOPPED = os.EX_TEMPFAIL  # 75: stopped and saved after a signal; start again


def run(setup: Setup) -> TrainState:
    """Trains to train.steps and returns the state after the last step.

    The order is: check metrics, save a checkpoint, evaluate. So a checkpoint never contains NaN,
    and an evaluated step always has a checkpoint.

    Raises:
      SystemExit: with STOPPED, after a signal, once everything is saved.
      ValueError: a loss that is not finite.
    """
    experiment, train, state = setup.experiment, setup.experiment.train, setup.state
    start = int(state.step)
    if start and evaluation_due(train, start) and not setup.writer.has("eval", start):
        _evaluate(setup, state, start)  # the run was stopped between checkpoint and evaluation
    if start >= train.steps:
        setup.progress.say(f"{setup.workdir}: all {train.steps} steps are done")
        return state
    stream = batches.on_devices(experiment, setup.train, setup.plan, setup.mesh, setup.position)
    train_step = _compiled(setup)
    recent, speed = log.Recent(), log.Rate()
    batch, position = next(stream)
    for step in range(start + 1, train.steps + 1):
        state, metrics = train_step(state, batch)
        recent.add(step, metrics)
        stop = setup.stopping.now(step)
        last = stop or step == train.steps
        if not last:
            upcoming = next(stream)  # read and transferred while the device computes
        if step == start + 1:
            jax.block_until_ready(metrics)  # compilation is finished
            speed.restart()
        else:
            speed.add(experiment.data.batch_size)
        recent.wait()
        setup.progress.step()
        logging = step % train.log_every == 0 or step == train.steps
        saving = last or step % train.checkpoint_every == 0 or evaluation_due(train, step)
        if logging or saving:
            alarms.refuse_not_finite(recent, state if saving else None, step, setup.saved)
        if logging:
            _log(setup, step, recent, speed)
        if saving:
            speed.pause()
            setup.saved.save(step, state, position, wait=last)
            if stop:
                _stop(setup, step)
            if evaluation_due(train, step):
                _evaluate(setup, state, step)
            speed.resume()
        if not last:
            batch, position = upcoming
    return state


def evaluation_due(train: config.Train, step: int) -> bool:
    """Whether the run is evaluated after `step` updates."""
    return step == train.steps or bool(train.eval_every and step % train.eval_every == 0)


def _compiled(setup: Setup) -> Step:
    """The compiled training step, which donates the state passed to it."""
    places = setup.places if setup.experiment.train.shard_params else None
    step = make_train_step(setup.experiment, setup.optimizer, setup.rate, places)
    return jax.jit(step, out_shardings=(setup.places, None), donate_argnums=0)


def _log(setup: Setup, step: int, recent: log.Recent, speed: log.Rate) -> None:
    values = recent.mean() | {"images_per_second": speed.per_second()}
    setup.writer.write("train", step, values)
    setup.progress.report(values["loss"], values["images_per_second"])
    if values["gradient_norm"] == 0:
        setup.progress.say(alarms.nothing_learned(step, setup.experiment.data.name))
    speed.restart()


def _evaluate(setup: Setup, state: TrainState, step: int) -> None:
    """Evaluates; a signal may interrupt this, since the step is saved."""
    state = replicate(state.replace(opt_state=None), setup.mesh)
    try:
        with setup.stopping.interrupting():
            tasks.of(setup.experiment).validate(
                *(setup.experiment, state, step, setup.test, setup.mesh),
                *(setup.writer, setup.progress),
            )
    except KeyboardInterrupt:
        _stop(setup, step)


def _stop(setup: Setup, step: int) -> NoReturn:
    setup.saved.wait()
    setup.progress.say(
        f"stopped by a signal after step {step}, all saved; the same command resumes it"
    )
    sys.exit(STOPPED)
