"""What a training compiles before its first step."""

import functools

import jax
import numpy as np
import optax
import pytest

from jaxseg.config import Experiment
from jaxseg.models.unet import UNet
from jaxseg.training import setup
from jaxseg.training.step import init_state

LEVEL = "xla_backend_optimization_level"


@pytest.mark.slow
def test_initial_values_do_not_depend_on_how_they_are_compiled(monkeypatch):
    experiment = Experiment(UNet(3, width=8, levels=2))
    experiment.data.crop_size = (32, 32)
    make = functools.partial(init_state, experiment, optax.sgd(0.1))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    little = setup.once_on_cpu("cpu")
    assert little == {LEVEL: 1}
    one, two = (jax.jit(make, compiler_options=options)() for options in (little, {LEVEL: 3}))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_flags_of_the_user_and_other_devices_are_left_alone(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--{LEVEL}=0")
    assert setup.once_on_cpu("cpu") == {}
    monkeypatch.setenv("XLA_FLAGS", "")
    assert setup.once_on_cpu("gpu") == {}
