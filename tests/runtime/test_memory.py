"""Freed memory stays with the process, as shown by the pages that the kernel has to clear."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Each call needs a block of 64 MB for its result.
PROGRAM = """
import resource, sys
import jax, jax.numpy as jnp
from jaxseg.runtime import memory

kept = memory.keep_freed("cpu") if sys.argv[1] == "keep" else False
f = jax.jit(lambda x: x + 1)
x = jnp.ones((1 << 20, 16))
for _ in range(10):
    f(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
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
@pytest.mark.slow
def test_the_memory_of_a_program_is_cleared_once():
    kept, count = faults("keep")
    if not kept:
        pytest.skip("this C library is not glibc")
    assert count < faults("leave")[1] / 2
