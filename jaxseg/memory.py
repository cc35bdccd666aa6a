"""How the C library keeps the memory of a process that computes on the CPU.

XLA's CPU client asks for the temporary memory of a program at each call and gives it back at its
end: half a gigabyte a step. glibc hands such a block to the kernel at once, which clears every page
anew for the next step. Kept by the process, a step of experiments/deeplab_v3_plus_camvid.py takes
1.0 instead of 1.5 CPU seconds.
"""

import ctypes
import pathlib
import sys

_ACCELERATORS = ("nvidiactl", "kfd", "accel0", "vfio")  # in /dev: CUDA, ROCm, TPU, newer TPU
# mallopt's numbers, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1  # bytes at the top of the heap before it is given back


def keep_freed(platforms: str | None) -> bool:
    """Lets this process keep the memory that it frees, where it computes on the CPU.

    To be called before JAX starts its threads: the one arena, which large blocks need, is given to
    threads at their first allocation. The process then stays as large as it once was.

    Args:
      platforms: what JAX_PLATFORMS is set to.

    Returns:
      Whether it was done; not so on accelerators, whose hosts have many threads that allocate at
      the same time, and with other C libraries.
    """
    accelerated = any((pathlib.Path("/dev") / name).exists() for name in _ACCELERATORS)
    if sys.platform != "linux" or (accelerated and platforms != "cpu"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER))
    return all(mallopt(name, value) == 1 for name, value in settings)
