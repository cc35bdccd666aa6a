"""A short training run of every experiment on Shapes: the loss of one batch falls."""

import functools
import importlib.resources

import jax
import numpy as np
import pytest

from jaxseg.data.builders import shapes
from jaxseg.training import step
from tests.cli.test_config import EXPERIMENTS, experiment
from tests.models.networks import QUICK

ON_SHAPES = [name for name in EXPERIMENTS if experiment(name).data.name == "shapes"]
ON_OBJECTS = [name for name in EXPERIMENTS if experiment(name).data.name == "shapes/instances"]
STEPS, IMAGES, RATE = 12, 2, 1e-3


def test_every_paper_has_an_experiment_on_shapes():
    """Each module of models is the model of one of them."""
    from jaxseg import models

    papers = {type(experiment(name).model).__module__ for name in (*ON_SHAPES, *ON_OBJECTS)}
    names = {path.stem for path in importlib.resources.files(models).iterdir()}
    there = {f"jaxseg.models.{name}" for name in names if not name.startswith("__")}
    # The benchmark's network, other libraries' variants of the papers' networks, and PANet's parts,
    # with which the model is a Mask R-CNN.
    others = ("backbone_unet", "compat", "compat_detection", "panet")
    assert there - papers == {f"jaxseg.models.{name}" for name in others}


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_SHAPES)
def test_the_loss_falls(name):
    """With the experiment's own loss and optimiser, at a rate that needs no warm-up."""
    built = experiment(name)
    built.optim.warmup_steps, built.optim.learning_rate = 0, RATE
    built.train.ema_decay = 0.0
    drawn = [shapes.draw_example(0, "train", i, 128) for i in range(IMAGES)]
    batch = {
        key: np.stack(arrays)
        for key, arrays in zip(("image", "label"), zip(*drawn, strict=True), strict=True)
    }
    optimizer, rate = step.make_optimizer(built)
    init = jax.jit(functools.partial(step.init_state, built, optimizer), compiler_options=QUICK)
    train_step = jax.jit(
        step.make_train_step(built, optimizer, rate), donate_argnums=0, compiler_options=QUICK
    )
    state, losses = init(), []
    for _ in range(STEPS):
        state, metrics = train_step(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.98 * losses[0], losses
