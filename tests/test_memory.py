"""That freed memory stays with the process is seen by the pages that the kernel has to clear."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Each call needs two blocks of 64 MB beside its argument.
PROGRAM = """
import resource, sys
import jax, jax.numpy as jnp
from jaxseg import memory

kept = memory.keep_freed("cpu") if sys.argv[1] == "keep" else False
barrier = jax.lax.optimization_barrier
f = jax.jit(lambda x: (barrier(barrier(x + 1) * 2) - x).sum())
x = jnp.zeros((16, 1 << 20))
for _ in range(3):
    f(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    f(x).block_until_ready()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, check=True
    )
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_the_memory_of_a_program_is_cleared_once():
    kept, count = faults("keep")
    if not kept:
        pytest.skip("this C library is not glibc")
    assert count < faults("leave")[1] / 10
