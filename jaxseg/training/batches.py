"""Puts training batches on the devices, each with the loader's position after it."""

from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data import class_sampling, loader
from jaxseg.data.augment import transforms
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
    data, loss = experiment.data, experiment.loss
    iterator = loader.train_iterator(
        source,
        batch_size=data.batch_size,
        transform=transforms.Transform(
            data.crop_size,
            data.augment,
            data.normalisation.mean,
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
        on_device = put_batch({name: batch[name] for name in names}, mesh)
        yield on_device, iterator.get_state()
