"""Training: the one loop, around the step of jaxseg.training.step.

    python -m jaxseg.main --config=experiments/quickstart.py --workdir=runs/quickstart

The same command goes on after any stop: a killed run ends bit for bit where it would have ended.
After SIGTERM or SIGINT everything is saved at the next step boundary and the exit status is
STOPPED, on which a scheduler can start the run again.
"""

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data import class_sampling, loader
from jaxseg.data.augment import transforms
from jaxseg.inference.predictor import framing_of
from jaxseg.inspection import valid_taps
from jaxseg.runtime import processes
from jaxseg.state import TrainState
from jaxseg.training import drift, preflight, validation
from jaxseg.training import start as initial
from jaxseg.training.step import init_state, make_optimizer, make_train_step
from jaxseg.types import Array
from jaxseg.workdir import checkpoint, data_identity, lock, log, same_data, same_start
from jaxseg.workdir.environment import describe_run

STOPPED = os.EX_TEMPFAIL  # 75: saved after a signal, to be started again


def fit(
    experiment: config.Experiment,
    workdir: pathlib.Path | str,
    *,
    source: pathlib.Path | None = None,
    data: tuple[loader.Source, loader.Source] | None = None,
    changed_data: bool = False,
) -> TrainState:
    """Trains to train.steps, from the newest checkpoint of the run folder if there is one.

    At every step that is due the order is: metrics checked, checkpoint, evaluation; so a checkpoint
    never holds NaN, and an evaluated step always has its checkpoint.

    Args:
      experiment: what to do.
      workdir: the run folder; made, or gone on with.
      source: the experiment's file, of which the run folder gets a copy.
      data: (training, evaluation) splits, instead of those that experiment.data names.
      changed_data: the run goes on although examples of its data have changed.

    Returns:
      The state after the last step.

    Raises:
      SystemExit: with STOPPED, after a signal, when all is saved.
      ValueError: a setting that does not fit the data, the devices or the run folder; data that is
        not the run's; a folder in use; a loss that is not finite.
    """
    workdir = pathlib.Path(workdir)
    main = processes.is_main()
    with contextlib.ExitStack() as stack:
        timeout = experiment.train.peer_timeout
        stack.enter_context(processes.watch(timeout, workdir / "checkpoints"))
        same_start.refuse_odd(experiment, workdir, "train", data)
        known = same_data.hold_training(workdir, experiment.data, data, changed_data=changed_data)
        ready = preflight.ready(experiment, data)
        experiment, train, mesh = ready.experiment, ready.experiment.train, ready.mesh
        train_source, eval_source = ready.train, ready.test
        plan = class_sampling.make_plan(
            train_source, duplicate=experiment.data.duplicate, balance=experiment.data.balance
        )
        optimizer, rate = make_optimizer(experiment)
        start_state = functools.partial(init_state, experiment, optimizer)
        abstract = processes.placed(jax.eval_shape(start_state), mesh, shard=train.shard_params)
        places = jax.tree.map(lambda leaf: leaf.sharding, abstract)
        # What a start from weights is put into is whole on every device, and spread afterwards.
        at_start = processes.replicated(mesh) if train.init_from else places
        init = jax.jit(start_state, out_shardings=at_start)
        if main:
            stack.enter_context(lock.lock(workdir))
        stopping = stack.enter_context(processes.StopRequest())
        saved = stack.enter_context(checkpoint.Checkpoints(workdir / "checkpoints", train.keep))
        state, position = saved.restore(abstract) or (
            initial.state(
                *(experiment, init, abstract, workdir if main else None),
                labels=train_source.labels,
            ),
            None,
        )
        state = jax.device_put(state, places)
        start = int(state.step)
        if main:
            data_identity.keep(workdir, train_source, experiment.data)
            describe_run(experiment, workdir, source, start, known)
        writer = stack.enter_context(contextlib.closing(log.Writer(workdir, start, main=main)))
        progress = stack.enter_context(
            contextlib.closing(log.Progress(train.steps, start, quiet=not main))
        )
        for line in valid_taps.unreached(
            experiment.model, experiment.data.crop_size, _seen_at_once(experiment, eval_source)
        ):
            progress.say(line)
        for line in drift.notices(experiment):
            progress.say(line)

        def evaluation_due(step: int) -> bool:
            return step == train.steps or bool(train.eval_every and step % train.eval_every == 0)

        def evaluate_now(state: TrainState, step: int) -> None:
            state = processes.whole(state.replace(opt_state=None), mesh)
            try:
                with stopping.interrupting():
                    validation.validate(
                        experiment, state, step, eval_source, mesh, writer, progress
                    )
            except KeyboardInterrupt:
                _stop(progress, saved, step)

        if start and evaluation_due(start) and not writer.has("eval", start):
            evaluate_now(state, start)  # the run was stopped between checkpoint and evaluation
        if start >= train.steps:
            progress.say(f"{workdir}: all {train.steps} steps are done")
            return state
        batches = _batches(experiment, train_source, plan, mesh, position)
        train_step = jax.jit(
            make_train_step(experiment, optimizer, rate, places if train.shard_params else None),
            out_shardings=(places, None),
            donate_argnums=0,
        )
        recent, speed = log.Recent(), log.Rate()
        batch, position = next(batches)
        for step in range(start + 1, train.steps + 1):
            state, metrics = train_step(state, batch)
            recent.add(step, metrics)
            stop = stopping.now(step)
            last = stop or step == train.steps
            if not last:
                upcoming = next(batches)  # read and sent while the device is at work
            if step == start + 1:
                jax.block_until_ready(metrics)  # compilation is over
                speed.restart()
            else:
                speed.add(experiment.data.batch_size)
            recent.wait()
            progress.step()
            logging = step % train.log_every == 0 or step == train.steps
            saving = last or step % train.checkpoint_every == 0 or evaluation_due(step)
            if logging or saving:
                _check_finite(recent, state if saving else None, step, saved)
            if logging:
                values = recent.mean() | {"images_per_second": speed.per_second()}
                writer.write("train", step, values)
                progress.report(step, values["loss"], values["images_per_second"])
                if values["gradient_norm"] == 0:
                    progress.say(_nothing_learned(step, experiment.data.name))
                speed.restart()
            if saving:
                speed.pause()
                saved.save(step, state, position, wait=last)
                if stop:
                    _stop(progress, saved, step)
                if evaluation_due(step):
                    evaluate_now(state, step)
                speed.resume()
            if not last:
                batch, position = upcoming
        return state


def _seen_at_once(experiment: config.Experiment, source: loader.Source) -> tuple[int, int]:
    """(height, width) of the most that the network is given at an evaluation."""
    protocol = experiment.eval
    return protocol.crop_size if protocol.sliding else framing_of(experiment).of(source.largest)


def _batches(
    experiment: config.Experiment,
    source: loader.Source,
    plan: class_sampling.Plan,
    mesh: Mesh,
    position: Any,
) -> Iterator[tuple[dict[str, Array], Any]]:
    """Batches on the devices, each with the loader's place after it."""
    data, loss = experiment.data, experiment.loss
    iterator = loader.train_iterator(
        source,
        batch_size=data.batch_size,
        augment=transforms.Augment(
            crop_size=data.crop_size,
            short_side=data.short_side,
            long_side=data.long_side,
            scale_range=data.scale_range,
            scale_step=data.scale_step,
            flip=data.flip,
            jitter=data.jitter,
            rotation=data.rotation,
            rotation_probability=data.rotation_probability,
            elastic=data.elastic,
            blur=data.blur,
            photometric=data.photometric,
            class_crops=data.class_crops,
            class_limit=data.class_limit,
            class_limit_draws=data.class_limit_draws,
            border=data.border,
            mean=data.mean,
            boundary=loss.boundary,
            boundary_sigma=loss.boundary_sigma,
        ),
        seed=experiment.train.seed,
        threads=data.threads,
        prefetch=data.prefetch,
        plan=plan,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    if position is not None:
        iterator.set_state(position)
    names = ("image", "label", "weight") if loss.boundary else ("image", "label")
    for batch in iterator:
        on_device = processes.put_batch({n: batch[n] for n in names}, mesh)
        yield on_device, iterator.get_state()


@jax.jit
def _all_finite(tree: Any) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _check_finite(
    recent: log.Recent, state: TrainState | None, step: int, saved: checkpoint.Checkpoints
) -> None:
    """Stops at a NaN or infinity in the metrics since the last look, or in a state to be saved."""
    bad = recent.not_finite()
    if bad:
        step, values = bad
        what = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
    elif state is not None and not _all_finite((state.params, state.batch_stats)):
        what = "the loss is finite, but parameters or batch statistics are not"
    else:
        return
    last = saved.latest
    good = f"the last good checkpoint is {saved.folder / str(last)}" if last else "none was saved"
    raise ValueError(
        f"step {step} is not finite: {what}; {good}. Try a lower optim.learning_rate, "
        "more optim.warmup_steps, or optim.clip_norm"
    )


def _nothing_learned(step: int, name: str) -> str:
    """Of steps in which every gradient was 0, as a loss of 0 looks like success."""
    return (
        f"step {step}: the gradient was exactly 0 in each step since the last line, so nothing is "
        "learned: no pixel counts (crops or masks that are all void, weights of 0), or every one "
        f"is right with certainty; python -m jaxseg.data.doctor --name={name} shows the masks"
    )


def _stop(progress: log.Progress, saved: checkpoint.Checkpoints, step: int) -> NoReturn:
    saved.wait()
    progress.say(f"stopped by a signal after step {step}, all saved; the same command goes on")
    sys.exit(STOPPED)
