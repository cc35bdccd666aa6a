"""How a lack of memory is recognised, and what the user is told to lower."""

import jax
import pytest

from jaxseg import errors

WORDS = (
    "RESOURCE_EXHAUSTED: Out of memory allocating 3023656977248 bytes.",
    "INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    "INTERNAL: cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "INTERNAL: Failed to allocate 8589934592 bytes for new constant",
    "Ran out of memory in memory space hbm. Used 20.1G of 15.7G hbm.",
    "std::bad_alloc",
)


@pytest.mark.parametrize(
    ("mode", "field"), [("train", "data.batch_size"), ("evaluate", "eval.batch_size")]
)
@pytest.mark.parametrize("said", WORDS)
def test_a_lack_of_memory_is_one_line_with_what_to_lower(mode, field, said):
    error = jax.errors.JaxRuntimeError(said + "\nand a page of buffers")
    line = errors.too_little_memory(error, mode)
    assert line.startswith(f"out of memory ({said})")
    assert f"--config.{field}" in line
    assert "\n" not in line


def test_numpys_and_pythons_own_are_one_too_and_other_faults_are_none():
    assert errors.too_little_memory(MemoryError(), "predict").endswith("change the input")
    assert not errors.too_little_memory(ValueError("a shape"), "train")
    assert not errors.no_memory(jax.errors.JaxRuntimeError("INTERNAL: no kernel image"))
