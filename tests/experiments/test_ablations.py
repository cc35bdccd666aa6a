"""Every table of experiments/ablations: its plan at each size, and its networks as shapes."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import pytest

from experiments.ablation import ablation
from jaxseg import config, tasks

NAMES = ablation.names()
FIRST = {name.partition("/")[0]: name for name in reversed(NAMES)}  # of each paper
# Tracing each network of a table takes seconds: one table of a paper in the fast suite.
FAST = set(FIRST.values()) - {"panet/components"}  # whose networks are Mask R-CNNs
ONE_A_PAPER = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES
]


@functools.cache
def table(name):
    return ablation.named(name)


@functools.cache
def _outputs(model, size):
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)

    def run(images):
        network = config.from_dict(json.loads(model))
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        outputs, _ = network.init_with_output(keys, images, train=True)
        return outputs

    return {name: output.shape for name, output in jax.eval_shape(run, images).items()}


@pytest.mark.parametrize("size", ablation.SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_plan(name, size):
    jobs = ablation.plan(table(name), size)
    rows = [row.name for row in ablation.rows_of(table(name), size)]
    planned = [row for job in jobs if job.seed == jobs[0].seed for row in job.protocols]
    assert sorted(planned) == sorted(rows), "every row once a seed"
    assert len(rows) > 1
    if size == "shapes":
        assert len({job.seed for job in jobs}) >= 3
        assert all(job.experiment.data.name.startswith("shapes") for job in jobs)


@pytest.mark.parametrize("size", ablation.SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_told_apart(name, size):
    """No two rows of a table are the same training with the same evaluation."""
    jobs = ablation.plan(table(name), size, seeds=(0,))
    pairs = [(job.name, repr(protocol)) for job in jobs for protocol in job.protocols.values()]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("name", ONE_A_PAPER)
def test_networks_of_the_shapes_size_have_scores_for_each_pixel_or_find_objects(name):
    metric = table(name).metric
    for job in ablation.plan(table(name), "shapes", seeds=(0,)):
        data = job.experiment.data
        shapes = _outputs(json.dumps(config.to_dict(job.experiment.model)), data.crop_size)
        if metric == "mIoU":
            assert shapes["logits"] == (2, *data.crop_size, 7)
            continue
        assert tasks.of(job.experiment) is tasks.instance
        assert shapes["boxes"] == (2, shapes["scores"][1], 4)
        assert ("mask_logits" in shapes) == metric.startswith("mask")


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says(name):
    found = table(name)
    assert found.title
    assert found.source
    assert found.cause
    for row in found.rows:
        assert row.paper is None or (math.isfinite(row.paper) and 1 < row.paper < 100)
