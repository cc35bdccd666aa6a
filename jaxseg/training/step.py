"""The initial state and the training step, as pure functions for jit and eval_shape.

optimizer, rate = make_optimizer(experiment)
state = jax.jit(functools.partial(init_state, experiment, optimizer))()
step = jax.jit(make_train_step(experiment, optimizer, rate), donate_argnums=0)
state, metrics = step(state, {"image": images, "label": labels})
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jaxseg import config, tasks
from jaxseg.shape_trace import trace_shapes
from jaxseg.state import TrainState, update_ema
from jaxseg.training import optim
from jaxseg.types import Array, Outputs, Variables

Metrics = dict[str, Array]
Step = Callable[[TrainState, Mapping[str, Array]], tuple[TrainState, Metrics]]


def _init_key(seed: int) -> Array:
    return jax.random.split(jax.random.key(seed))[0]


def _step_key(seed: int, step: Array) -> Array:
    return jax.random.fold_in(jax.random.split(jax.random.key(seed))[1], step)


def init_variables(experiment: config.Experiment, channels: int = 3) -> tuple[Outputs, Variables]:
    """The model's outputs for one crop, and its initial variables; use it under jit or eval_shape.

    If the outputs are not used, the compiler removes the forward pass.
    """
    height, width = experiment.data.crop_size
    images = jnp.zeros((1, height, width, channels), jnp.float32)
    outputs, initial = experiment.model.init_with_output(
        {"params": _init_key(experiment.train.seed)}, images, train=False
    )
    return cast(Outputs, outputs), cast(Variables, initial)


def make_optimizer(
    experiment: config.Experiment,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """`optim.build` for the parameters of the experiment's model, using only their shapes."""
    _, shapes = trace_shapes(experiment.model, experiment.data.crop_size)
    return optim.build(experiment.optim, experiment.train.steps, shapes["params"])


def init_state(
    experiment: config.Experiment, optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first step; use it under jit."""
    _, initial = init_variables(experiment)
    params, batch_stats = initial["params"], initial.get("batch_stats", {})
    averaged = {"params": params, "batch_stats": batch_stats}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        ema=averaged if experiment.train.ema_decay > 0 else None,
    )


def _in_parts(gradient_of: Callable[..., Any], accumulate: int) -> Callable[..., Any]:
    """The same sums of gradient and terms, one micro-batch after another, to use less memory.

    Batch statistics are passed from each micro-batch to the next; each has its own dropout key.
    """

    def summed(
        params: Any, batch_stats: Any, batch: Mapping[str, Array], key: Array, whole: Any
    ) -> Any:
        parts = {
            name: jnp.moveaxis(a.reshape(-1, accumulate, *a.shape[1:]), 1, 0)
            for name, a in batch.items()
        }  # [A, B/A, H, W, ...]

        def add(carry: Any, part: tuple[Array, Mapping[str, Array]]) -> tuple[Any, None]:
            sums, stats = carry
            i, micro = part
            gradient, (terms, stats) = gradient_of(
                params, stats, micro, jax.random.fold_in(key, i), whole
            )
            return (jax.tree.map(jnp.add, sums, (gradient, terms)), stats), None

        first = {name: a[0] for name, a in parts.items()}
        gradient, (terms, _) = jax.eval_shape(gradient_of, params, batch_stats, first, key, whole)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (gradient, terms))
        carry = zeros, batch_stats
        ((gradient, terms), batch_stats), _ = jax.lax.scan(
            add, carry, (jnp.arange(accumulate), parts)
        )
        return gradient, (terms, batch_stats)

    return summed


def _of_whole(gradient_of: Callable[..., Any], places: Any) -> Callable[..., Any]:
    """The same for parameters sharded as in `places`; their gradient is sharded in the same way."""
    gathered = jax.tree.map(lambda place: NamedSharding(place.mesh, PartitionSpec()), places)

    def of_whole(params: Any, *rest: Any) -> Any:
        params = jax.lax.with_sharding_constraint(params, gathered)
        gradient, aux = gradient_of(params, *rest)
        return jax.lax.with_sharding_constraint(gradient, places), aux

    return of_whole


def make_train_step(
    experiment: config.Experiment,
    optimizer: optax.GradientTransformation,
    rate: optax.Schedule,
    places: TrainState | None = None,
) -> Step:
    """The function (state, batch) -> (state, metrics) of one update; jit it, donating the state.

    The task (`tasks`) decides what the batch holds and what is minimised. The loss is that of the
    whole batch, also with train.accumulate micro-batches, which only limit the memory. There are
    two exceptions: batch norm, since each micro-batch is normalised by its own statistics and
    updates the running ones; and terms that are not sums over a batch, as the tasks' objectives
    say. Micro-batch i holds the images i, i + A, ... of A micro-batches, so that every device has
    an equal share of each.

    If the state is sharded (train.shard_params), `places` are its shardings
    (`mesh.with_shardings`). The parameters are then gathered for the forward and backward pass, and
    each device keeps the gradient of its own parameters and updates them. The result is that of a
    step on the whole state, except for the order of sums.

    Metrics: the terms of the objective, learning_rate of this update, and gradient_norm
    before clipping.
    """
    train = experiment.train
    gradient_of = jax.grad(tasks.of(experiment).objective(experiment), has_aux=True)
    if places is not None:
        gradient_of = _of_whole(gradient_of, places.params)
    if train.accumulate > 1:
        gradient_of = _in_parts(gradient_of, train.accumulate)

    def train_step(state: TrainState, batch: Mapping[str, Array]) -> tuple[TrainState, Metrics]:
        key = _step_key(train.seed, state.step)
        gradient, (terms, batch_stats) = gradient_of(
            state.params, state.batch_stats, batch, key, batch
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            now = {"params": params, "batch_stats": batch_stats}
            ema = update_ema(ema, now, state.step, train.ema_decay)
        metrics = terms | {
            "learning_rate": jnp.asarray(rate(state.step)),
            "gradient_norm": optax.global_norm(gradient),
        }
        return TrainState(state.step + 1, params, batch_stats, opt_state, ema), metrics

    return train_step
