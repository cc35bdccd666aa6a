"""The processes of a run: initialisation, which one writes, and the heartbeat."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax._src import distributed as jax_distributed  # its key-value store has no public name

from jaxseg.runtime import heartbeat, heartbeat_links

_PATIENCE = 30.0  # seconds of waiting after which a message is printed
AUTO = "auto"  # as coordinator: JAX detects it (TPU pods, Kubernetes, MPI)


def initialize(coordinator: str | None = None, processes: int = 1, process: int = 0) -> None:
    """Joins the processes of a run; does nothing for a single process.

    Under `srun` with several tasks, and on TPU slices that are described in the environment,
    everything is detected. Elsewhere, name the coordinator, or let JAX detect it by "auto" (a TPU
    VM pod).

    Args:
      coordinator: host:port of process 0, "auto", or None.
      processes: number of processes; only with host:port.
      process: index of this process; only with host:port.

    Raises:
      ValueError: the arguments are inconsistent.
    """
    if jax.distributed.is_initialized():
        return
    if coordinator == AUTO:
        with waiting("the processes that JAX finds"):
            jax.distributed.initialize()
    elif coordinator:
        if not 0 <= process < processes:
            raise ValueError(
                f"--process={process} must be at least 0 and below --processes={processes}"
            )
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
    """Prints after a while what the process is waiting for; JAX aborts without saying so."""
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

    sbatch and salloc set SLURM_NTASKS even for a program that is started once, without srun. Only a
    step has SLURM_STEP_NUM_TASKS; waiting for tasks that are never started would hang.
    """
    slurm = int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in environment
    mpi = int(environment.get("OMPI_COMM_WORLD_SIZE", "1")) > 1
    tpu = "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    return slurm or mpi or tpu or "MEGASCALE_COORDINATOR_ADDRESS" in environment


def watch(timeout: float, last_good: Callable[[], str]) -> contextlib.AbstractContextManager:
    """A context for a run, which ends it with an explanatory line if another process dies.

    Args:
      timeout: seconds of silence after which a process counts as lost.
      last_good: returns the text about checkpoints for that line.
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
        last_good=last_good,
    )


def store() -> Any:
    """The key-value store of the processes of a run, with its barriers."""
    return jax_distributed.global_state.client


def is_main() -> bool:
    """Whether this is the process that writes logs and pictures."""
    return jax.process_index() == 0
