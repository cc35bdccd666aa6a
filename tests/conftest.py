"""Shared by all tests: the CPU backend, a compile cache, and the optional folders and libraries."""

import gc
import importlib.metadata
import logging
import os
import pathlib
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The programs of the tests are small: compiling them takes most of their time, by a third more with
# the emitters of fusions, and by a sixth more in parts that are spread over threads. Only these
# releases of jaxlib are known to have both flags.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + (
        " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        if importlib.metadata.version("jaxlib").startswith("0.10.")
        else ""
    ),
)

import hypothesis
import jax
import jaxtyping
import pytest
from absl import logging as absl_logging

from tests.helpers import shapes

ROOT = pathlib.Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")
shapes.check_rooms()  # before anything of these rooms is imported
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "xla-tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first: started last, they would keep one of the cores alone."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Tracing makes and drops many small objects: it is no use to look for cycles all the time."""
    gc.collect()
    gc.freeze()  # modules stay; the collector need not walk through them again
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of published data and weights beside the checkout; tests without it skip."""
    folder = pathlib.Path(os.environ.get("JAXSEG_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"needs published data and weights under {folder} (or JAXSEG_SHARED)")
    return folder


@pytest.fixture
def unchecked() -> Iterator[None]:
    """For wrong shapes and types: what a function itself says of them, not the tests' checker."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def own_log_level() -> Iterator[None]:
    """A command that is run in this process sets the level of all logging: only for its test."""
    before = absl_logging.get_verbosity(), logging.root.level, logging.root.manager.disable
    yield
    absl_logging.set_verbosity(before[0])
    logging.root.setLevel(before[1])
    logging.disable(before[2])
