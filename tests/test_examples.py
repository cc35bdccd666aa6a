"""The examples in the docstrings of losses and metrics are run; no function lacks one."""

import doctest
import importlib
import inspect

import numpy as np
import pytest

from jaxseg import losses, metrics

MODULES = {
    **dict.fromkeys(("cross_entropy", "means", "overlap", "presence", "terms"), "losses"),
    **dict.fromkeys(
        (
            *("boundary", "confusion", "hausdorff", "image_intervals", "intervals"),
            *("probability", "rand_error", "seed_intervals", "warping_error"),
        ),
        "metrics",
    ),
}
SLOW = {"boundary", "hausdorff", "overlap"}  # to compile


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in MODULES]
)
def test_the_examples_of_a_module_hold(name):
    module = importlib.import_module(f"jaxseg.{MODULES[name]}.{name}")
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted > 0
    assert found.failed == 0


def test_every_public_function_has_an_example():
    modules = [importlib.import_module(f"jaxseg.{room}.{name}") for name, room in MODULES.items()]
    public = {
        f"{module.__name__}.{name}": function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    }
    for room in (losses, metrics):
        names = {name.rpartition(".")[2] for name in public}
        assert names.issuperset(n for n in room.__all__ if inspect.isfunction(getattr(room, n)))
    lacking = [name for name, function in public.items() if ">>>" not in (function.__doc__ or "")]
    assert not lacking
