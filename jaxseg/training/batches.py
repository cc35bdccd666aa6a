"""Puts training batches on the devices, each with the loader's position after it."""

from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from jaxseg import config, tasks
from jaxseg.data import class_sampling, loader
from jaxseg.runtime.mesh import put_batch
from jaxseg.types import Array


def on_devices(
    experiment: config.Experiment,
    source: loader.Source,
    plan: class_sampling.Plan,
    mesh: Mesh,
    position: Any,
) -> Iterator[tuple[dict[str, Array], Any]]:
    """An endless iterator of batches, from the share that `loader.train_iterator` reads here.

    Args:
      experiment: provides the data settings, the seed, and whether the loss weights pixels.
      source: the split.
      plan: the order of its examples.
      mesh: over which each batch is sharded.
      position: the loader's position to continue from; None: the beginning.
    """
    task = tasks.of(experiment)
    processes = jax.process_index(), jax.process_count()
    iterator = task.iterator(experiment, source, plan, *processes)
    if position is not None:
        iterator.set_state(position)
    names = task.on_device(experiment)
    for batch in iterator:
        on_device = put_batch({name: batch[name] for name in names}, mesh)
        yield on_device, iterator.get_state()
