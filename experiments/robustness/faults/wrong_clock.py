"""Runs jaxseg.main under a clock that is a day slow and jumps back at every tenth reading.

python -m experiments.robustness.faults.wrong_clock FLAGS OF jaxseg.main
"""

import itertools
import runpy
import sys
import time
from collections.abc import Callable

_DAY, _BACK = 86_400.0, 60.0  # seconds


def wrong(true: Callable[[], float]) -> Callable[[], float]:
    """A clock that is a day slow and jumps back another minute at every tenth reading."""
    looks = itertools.count()
    return lambda: true() - _DAY - _BACK * (next(looks) // 10)


if __name__ == "__main__":
    time.time = wrong(time.time)
    sys.argv[0] = "jaxseg.main"
    runpy.run_module("jaxseg.main", run_name="__main__", alter_sys=True)
