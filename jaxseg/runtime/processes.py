"""The processes of a run: how they find each other, which one writes, and the heartbeat."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax._src import distributed as jax_distributed  # its key-value store has no public name

from jaxseg.runtime import heartbeat, heartbeat_links

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


def watch(timeout: float, last_good: Callable[[], str]) -> contextlib.AbstractContextManager:
    """Around a run, which ends with a line that says why when another process dies.

    Args:
      timeout: seconds without a sign of a process after which it is given up.
      last_good: what that line says of the checkpoints of the run.
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
        explained=(jax.errors.JaxRuntimeError,),
    )


def store() -> Any:
    """The key-value store of the processes of a run, with its barriers."""
    return jax_distributed.global_state.client


def is_main() -> bool:
    """Whether this process is the one that writes logs and pictures."""
    return jax.process_index() == 0
