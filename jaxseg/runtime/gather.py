"""Values of any length from all processes of a run, through arrays of one length."""

import jax
import numpy as np
from jax.experimental import multihost_utils


def bytes_of_all(data: bytes) -> list[bytes]:
    """What each process has given, in the order of the processes; all of them have to call it."""
    if jax.process_count() == 1:
        return [data]
    own = np.frombuffer(data, np.uint8)
    sizes = np.asarray(multihost_utils.process_allgather(np.array([own.size]))).reshape(-1)
    padded = np.pad(own, (0, int(sizes.max()) - own.size))
    every = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(sizes), -1)
    rows = zip(every.astype(np.uint8), sizes.tolist(), strict=True)
    return [row[:size].tobytes() for row, size in rows]
