"""Tunes the C library's allocator for a process that computes on the CPU.

XLA's CPU client allocates the temporary memory of a program at each call and frees it at the end:
half a gigabyte per step. glibc returns such a block to the kernel at once, which clears every page
again for the next step. If the process keeps the memory, a step of
experiments/deeplab_v3_plus/camvid.py takes 1.0 instead of 1.5 CPU seconds. In pages of 2 MB instead
of 4 kB, a train step of DeepLab v3 ResNet-50 takes 1.0 instead of 1.25 s for two images of 256 x
256, 4.7 instead of 6.6 s at 512.
"""

import ctypes
import os
import pathlib
import sys

_ACCELERATORS = ("nvidiactl", "kfd", "accel0", "vfio")  # in /dev: CUDA, ROCm, TPU, newer TPU
# mallopt's numbers, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = -1  # disables trimming: all freed memory is kept
_MADV_HUGEPAGE, _HUGE = 14, 1 << 21


def keep_freed(platforms: str | None) -> bool:
    """Makes this process keep freed memory if it computes on the CPU.

    Call this before JAX starts its threads, since large blocks need the one arena, which threads
    are assigned at their first allocation. The process then never shrinks.

    Args:
      platforms: the value of JAX_PLATFORMS.

    Returns:
      Whether it was done. It is not done on accelerators, whose hosts have many threads that
      allocate at the same time, or with other C libraries.
    """
    accelerated = any((pathlib.Path("/dev") / name).exists() for name in _ACCELERATORS)
    if sys.platform != "linux" or (accelerated and platforms != "cpu"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER))
    kept = all(library.mallopt(name, value) == 1 for name, value in settings)
    if kept:
        _advise_huge_pages(library)
    return kept


def _advise_huge_pages(library: ctypes.CDLL) -> None:
    """Requests huge pages for the future heap, up to half of the machine's memory.

    The range of the heap is allocated and freed again, which costs only addresses:

    a page gets memory when it is first written.
    """
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    library.malloc.restype = ctypes.c_void_p
    start = library.malloc(ctypes.c_size_t(size))
    if not start:
        return
    first, end = -(-start // _HUGE) * _HUGE, start + size
    library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _MADV_HUGEPAGE)
    library.free(ctypes.c_void_p(start))
