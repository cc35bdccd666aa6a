"""The device memory of an experiment's two steps, from their compiled programs."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg import config
from jaxseg.inference.infer import make_predictions
from jaxseg.runtime.mesh import batch_sharding, check_split, make_mesh, with_shardings
from jaxseg.shape_trace import trace_shapes
from jaxseg.training.step import init_state, make_optimizer, make_train_step

Memory = dict[str, int]  # bytes: "arguments", "temporary", "peak"


def step_memory(experiment: config.Experiment, size: tuple[int, int]) -> dict[str, Memory]:
    """Compiles the training and the evaluation step to find their memory on each device.

    For evaluation, the largest view of the protocol counts, since views run one after another.

    Args:
      experiment: with model, batch sizes and protocol.
      size: (height, width) of training crops and, unless eval.size is set, of images to evaluate.

    Returns:
      {"train step", "eval step"}: bytes of arguments, of temporary arrays, and in total.
    """
    data = dataclasses.replace(experiment.data, crop_size=size)
    experiment = dataclasses.replace(experiment, data=data)
    mesh = make_mesh(experiment.train.rows)
    spread = batch_sharding(mesh)

    def images(batch_size: int, frame: tuple[int, int], *channels: int) -> jax.ShapeDtypeStruct:
        check_split(mesh, batch_size, frame[0])
        return jax.ShapeDtypeStruct((batch_size, *frame, *channels), jnp.uint8, sharding=spread)

    optimizer, rate = make_optimizer(experiment)
    state = jax.eval_shape(functools.partial(init_state, experiment, optimizer))
    state = with_shardings(state, mesh, shard=False)
    batch = {"image": images(data.batch_size, size, 3), "label": images(data.batch_size, size)}
    if experiment.loss.boundary:
        batch["weight"] = batch["label"].update(dtype=jnp.float32)
    train_step = jax.jit(make_train_step(experiment, optimizer, rate), donate_argnums=0)

    protocol = experiment.eval
    view = dataclasses.replace(protocol, scales=(max(protocol.scales),), flip=False)
    outputs, variables = trace_shapes(experiment.model, size)
    classes = outputs["logits"].shape[-1]
    predict = make_predictions(experiment.model, view, data.normalisation, classes)
    frame = protocol.size if any(protocol.size) else size
    compiled = {
        "train step": train_step.lower(state, batch),
        "eval step": jax.jit(predict).lower(
            with_shardings(variables, mesh, shard=False), images(protocol.batch_size, frame, 3)
        ),
    }
    return {name: _memory(lowered.compile()) for name, lowered in compiled.items()}


def _memory(compiled: Any) -> Memory:
    found = compiled.memory_analysis()
    arguments, temporary = found.argument_size_in_bytes, found.temp_size_in_bytes
    # Donated arguments are overwritten by outputs, so those bytes are in both numbers.
    new = found.output_size_in_bytes - found.alias_size_in_bytes
    return {"arguments": arguments, "temporary": temporary, "peak": arguments + temporary + new}
