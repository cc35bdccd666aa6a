"""Processes, the device mesh, how arrays lie on it, and how a run of several comes to its end.

One program runs in every process and `jax.jit` splits it over the mesh. Because the program sees
whole (global) arrays, the statistics of batch norm are those of the whole batch, on any number of
devices, and so is every sum and mean: there is nothing to synchronise by hand.
"""

import contextlib
import os
import pathlib
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import jax
import numpy as np
from jax._src import distributed as jax_distributed  # its key-value store has no public name
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxseg.runtime import heartbeat, heartbeat_links
from jaxseg.types import Array

_LEAST_SPREAD = 1024  # numbers of an array: to send for less takes longer than it saves memory
_PATIENCE = 30.0  # seconds of waiting for the others after which it is said
AUTO = "auto"  # as coordinator: JAX finds it by itself (TPU pods, Kubernetes, MPI)


def initialize(coordinator: str | None = None, processes: int = 1, process: int = 0) -> None:
    """Joins the processes of a run; does nothing for a single process.

    Under `srun` with several tasks, and on TPU slices that say so in the environment, all is found
    out. Elsewhere the coordinator is named, or "auto" leaves the search to JAX (a TPU VM pod).

    Args:
      coordinator: host:port of process 0, "auto", or None.
      processes: how many there are; only with host:port.
      process: which one this is; only with host:port.

    Raises:
      ValueError: numbers that do not fit together.
    """
    if jax.distributed.is_initialized():
        return
    if coordinator == AUTO:
        with waiting("the processes that JAX finds"):
            jax.distributed.initialize()
    elif coordinator:
        if not 0 <= process < processes:
            raise ValueError(f"--process={process} must be from 0 to below --processes={processes}")
        with waiting(f"all {processes} processes to meet at {coordinator}"):
            bound = "JAX_COORDINATOR_BIND_ADDRESS" in os.environ or process != 0
            jax.distributed.initialize(
                *(coordinator, processes, process),
                coordinator_bind_address=None
                if bound
                else heartbeat_links.bind_address(coordinator),
            )
    elif processes > 1:
        raise ValueError(f"--processes={processes} needs --coordinator=HOST:PORT of process 0")
    elif _launched_together(os.environ):
        with waiting("the tasks that the launcher started"):
            jax.distributed.initialize()


@contextlib.contextmanager
def waiting(whom: str) -> Iterator[None]:
    """Says after a while what is waited for: JAX, which aborts at last, does not."""
    line = f"jaxseg: waiting for {whom}; JAX gives up after 5 minutes"
    timer = threading.Timer(_PATIENCE, print, [line], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _launched_together(environment: Mapping[str, str]) -> bool:
    """Whether a launcher started this process as one of several.

    sbatch and salloc set SLURM_NTASKS also for a program that is started once, without srun; only
    a step has SLURM_STEP_NUM_TASKS, and waiting for tasks that nobody starts would hang.
    """
    slurm = int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in environment
    mpi = int(environment.get("OMPI_COMM_WORLD_SIZE", "1")) > 1
    tpu = "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    return slurm or mpi or tpu or "MEGASCALE_COORDINATOR_ADDRESS" in environment


def watch(timeout: float, checkpoints: pathlib.Path) -> contextlib.AbstractContextManager:
    """Around a run: it ends with a line that says why when another process dies (`Watch`).

    Args:
      timeout: seconds without a sign of a process after which it is given up.
      checkpoints: the folder of those of the run, to name the newest.
    """
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return contextlib.nullcontext()
    state = jax_distributed.global_state
    assert state.client is not None
    assert state.coordinator_address is not None
    return heartbeat.Watch(
        jax.process_index(),
        jax.process_count(),
        state.coordinator_address.rpartition(":")[0].strip("[]"),
        state.client,
        timeout=timeout,
        checkpoints=checkpoints,
        explained=(jax.errors.JaxRuntimeError,),
    )


def store() -> Any:
    """The key-value store of the processes of a run, with its barriers."""
    return jax_distributed.global_state.client


def is_main() -> bool:
    """Whether this process is the one that writes logs and pictures."""
    return jax.process_index() == 0


def make_mesh(rows: int = 1) -> Mesh:
    """All devices as a mesh of axes ("data", "rows"): images over data, their height over rows.

    Those of a process lie side by side, the first process's first, whatever order JAX finds best
    for the network between them: the shares of a batch are joined in the order of the processes.

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
    """The devices of a mesh sorted by their process, else in their order; of the same shape."""
    ordered = sorted(devices.flat, key=lambda device: device.process_index)
    result = np.empty(devices.size, object)
    result[:] = ordered
    return result.reshape(devices.shape)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds all of it: parameters, statistics, optimiser state, counts."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Of images and labels [B, H, ...]: B over "data", H over "rows"."""
    return NamedSharding(mesh, PartitionSpec("data", "rows"))


def placed(abstract: Any, mesh: Mesh, *, shard: bool) -> Any:
    """Where each array of a train state lies.

    With `shard` an array lies in equal parts over "data", along the longest of its dimensions that
    can be so divided (the last of several), as in ZeRO (Rajbhandari et al., arXiv 1910.02054) and
    FSDP. Arrays below 1024 numbers, and those without such a dimension, stay whole on every device.

    Args:
      abstract: a tree of shapes, as of `jax.eval_shape`.
      mesh: of `make_mesh`.
      shard: whether arrays are spread; else all are whole on every device.

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


def whole(tree: Any, mesh: Mesh) -> Any:
    """The arrays of `placed` on every device; nothing is copied that is there already."""
    return jax.device_put(tree, replicated(mesh))


def check_split(mesh: Mesh, batch_size: int, height: int, *, accumulate: int = 1) -> None:
    """Refuses a batch that the mesh cannot hold in equal parts.

    Raises:
      ValueError: says which field to change, and to what.
    """
    data, rows = mesh.shape["data"], mesh.shape["rows"]
    if accumulate < 1 or batch_size < 1 or batch_size % (data * accumulate):
        parts = f"{data} device group(s)" + (f" x {accumulate} micro-batches" * (accumulate > 1))
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
    """Global arrays spread over the mesh, from the share of the batch that each process read.

    Args:
      batch: arrays of this process, [B / processes, H, ...] each.
      mesh: of `make_mesh`.

    Returns:
      Global arrays [B, H, ...], under the same names.
    """
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, np.asarray(array))
        for name, array in batch.items()
    }


class StopRequest:
    """Whether a signal asked this run to stop; a context manager around the loop.

    In one process SIGTERM and SIGINT are noted, and `now(step)` tells at the next step boundary; a
    second signal acts as it did before. With `jax.distributed` JAX's own notifier listens for
    SIGTERM, and `now` lets all processes agree on the step at which they stop, even when only one
    of them was told; so every process must call it at every step.
    """

    def __init__(self) -> None:
        self._shared = jax.distributed.is_initialized()
        self._told = False
        self._interrupt = False
        self._before: dict[int, Callable | int | None] = {}

    def __enter__(self) -> Self:
        if not self._shared and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self._told = True
        self._restore()
        if self._interrupt:
            raise KeyboardInterrupt

    def now(self, step: int) -> bool:
        """Whether to stop after `step` updates."""
        if self._shared:
            return bool(multihost_utils.reached_preemption_sync_point(step))
        return self._told

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raises KeyboardInterrupt, at once if already told, within: for work that can be lost.

        To be caught around the `with`, since a signal may come as it is entered or left. Only in
        one process; several stop together, and so wait for the next step boundary.
        """
        self._interrupt = True
        try:
            if self._told:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupt = False
