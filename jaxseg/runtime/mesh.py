"""The mesh of all devices, and how batches and the train state are sharded over it.

One program runs in every process and `jax.jit` splits it over the mesh. Because the program sees
whole (global) arrays, the statistics of batch norm are those of the whole batch, on any number of
devices, and so is every sum and mean: there is nothing to synchronise by hand.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxseg.types import Array

MAPS = ("image", "label", "weight")  # arrays [B, H, W, ...] of a batch
_LEAST_SPREAD = 1024  # elements; sharding smaller arrays costs more time than memory is worth


def make_mesh(rows: int = 1) -> Mesh:
    """All devices as a mesh of axes ("data", "rows"): images over data, their height over rows.

    The devices of a process are adjacent, in the order of the processes, regardless of the order
    that JAX prefers for the network: the shares of a batch are joined in the order of the
    processes.

    Raises:
      ValueError: `rows` does not divide the devices of a process.
    """
    local = jax.local_device_count()
    if rows < 1 or local % rows:
        raise ValueError(
            f"train.rows={rows} must divide the {local} device(s) of a process: "
            "the rows of an image stay within one process"
        )
    shape = (jax.device_count() // rows, rows)
    # Auto: make_mesh alone would give Explicit axes, which with_sharding_constraint refuses.
    axes, types = ("data", "rows"), (AxisType.Auto,) * 2
    devices = by_process(jax.make_mesh(shape, axes, axis_types=types).devices)
    return Mesh(devices, axes, axis_types=types)


def by_process(devices: np.ndarray) -> np.ndarray:
    """The devices of a mesh, stably sorted by process, in the same shape."""
    ordered = sorted(devices.flat, key=lambda device: device.process_index)
    result = np.empty(devices.size, object)
    result[:] = ordered
    return result.reshape(devices.shape)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array: parameters, statistics, optimiser state, counts."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of images and labels [B, H, ...]: B over "data", H over "rows"."""
    return NamedSharding(mesh, PartitionSpec("data", "rows"))


def with_shardings(abstract: Any, mesh: Mesh, *, shard: bool) -> Any:
    """Adds shardings to the arrays of a train state.

    With `shard`, an array is split equally over "data" along its longest divisible dimension (the
    last of several), as in ZeRO (Rajbhandari et al., arXiv 1910.02054) and FSDP. Arrays with fewer
    than 1024 elements, and those without such a dimension, are replicated.

    Args:
      abstract: a tree of shapes, as from `jax.eval_shape`.
      mesh: from `make_mesh`.
      shard: whether to shard arrays; otherwise all are replicated.

    Returns:
      The same tree of jax.ShapeDtypeStruct, with shardings.
    """
    parts = mesh.shape["data"] if shard else 1

    def place(leaf: Any) -> jax.ShapeDtypeStruct:
        axes: list[str | None] = [None] * leaf.ndim
        fits = [a for a, n in enumerate(leaf.shape) if n % parts == 0]
        if parts > 1 and leaf.size >= _LEAST_SPREAD and fits:
            axes[max(fits, key=lambda a: (leaf.shape[a], a))] = "data"
        sharding = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(place, abstract)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Replicates the arrays of `with_shardings` on every device; nothing is copied needlessly."""
    return jax.device_put(tree, replicated(mesh))


def check_split(mesh: Mesh, batch_size: int, height: int, *, accumulate: int = 1) -> None:
    """Checks that the mesh can split a batch into equal parts.

    Raises:
      ValueError: says which field to change, and to what.
    """
    data, rows = mesh.shape["data"], mesh.shape["rows"]
    if accumulate < 1 or batch_size < 1 or batch_size % (data * accumulate):
        parts = f"{data} device group(s)"
        if accumulate > 1:
            parts += f" x {accumulate} micro-batches"
        raise ValueError(
            f"a batch of {batch_size} cannot be split over {parts}: set the batch size "
            f"(data.batch_size or eval.batch_size) to a multiple of {data * max(accumulate, 1)}"
        )
    if height % rows:
        raise ValueError(
            f"images of {height} rows cannot be split over train.rows={rows} devices: "
            f"a height of {-(-height // rows) * rows} can"
        )


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, Array]:
    """Makes global arrays, sharded over the mesh, from the share of the batch of each process.

    Args:
      batch: arrays of this process, [B / processes, ...] each. Those of `MAPS` are split over
        "rows" too.
      mesh: from `make_mesh`.

    Returns:
      Global arrays [B, ...], under the same names.
    """
    maps, others = batch_sharding(mesh), NamedSharding(mesh, PartitionSpec("data"))
    return {
        name: jax.make_array_from_process_local_data(
            maps if name in MAPS else others, np.asarray(array)
        )
        for name, array in batch.items()
    }
