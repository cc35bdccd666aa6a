"""What is special in the tables of DeepLab v1 and v2: shared trainings, frozen trunks, starts."""

import jax
import jax.numpy as jnp
import pytest

from experiments.ablation import ablation
from experiments.deeplab_v1 import multi_scale
from experiments.deeplab_v2 import resnet
from jaxseg.training import optim


def plan(name: str, size: str = "paper") -> list[ablation.Job]:
    return ablation.plan(ablation.named(name), size, seeds=(0,))


@pytest.mark.parametrize(
    ("name", "trainings", "rows"),
    [
        ("deeplab_v1/field_of_view", 4, 8),
        ("deeplab_v1/multi_scale", 4, 8),
        ("deeplab_v2/aspp", 3, 6),
        ("deeplab_v2/resnet", 7, 8),
        ("deeplab_v2/schedule", 5, 5),
        ("deeplab_v1/crf", 3, 11),
    ],
)
def test_rows_before_and_after_a_crf_share_a_training(name: str, trainings: int, rows: int) -> None:
    jobs = plan(name)
    assert len(jobs) == trainings
    assert sum(len(job.protocols) for job in jobs) == rows
    for job in jobs:
        plain = {row for row, protocol in job.protocols.items() if not protocol.crf}
        assert len(plain) == 1, job.protocols


def test_multi_scale_features_learn_on_a_frozen_trunk() -> None:
    (job,) = [job for job in plan("deeplab_v1/multi_scale", "shapes") if job.start]
    experiment = job.experiment
    images = jnp.zeros((1, *experiment.data.crop_size, 3))
    params = jax.eval_shape(
        lambda: experiment.model.init(jax.random.key(0), images, train=False)["params"]
    )
    factors = optim.learning_rate_factors(params, experiment.optim.multipliers)
    learning = {part for part, tree in factors.items() if any(jax.tree.leaves(tree))}
    assert learning == {part for part in params if part.startswith("direct_")}
    assert len(learning) == 5
    assert experiment.train.init_partial  # from a network that has no direct paths


def test_the_first_networks_classifier_learns_on() -> None:
    jobs = {row: job for job in plan("deeplab_v1/multi_scale") for row in job.protocols}
    first = jobs[multi_scale.FIRST_MSC].experiment
    frozen = [pattern for pattern, factor in first.optim.multipliers if not factor]
    assert frozen == [r"^(backbone|head)/"]


def test_what_comes_after_coco_starts_from_the_row_that_trains_on_it() -> None:
    jobs = {row: job for job in plan("deeplab_v2/resnet") for row in job.protocols}
    coco = jobs[resnet.COCO]
    assert coco.experiment.data.name == "coco_voc"
    assert min(coco.experiment.eval.size) >= 640
    for row, job in jobs.items():
        assert job.start == (coco.name if "MSC, COCO" in row else "")
        assert job.experiment.data.name == ("coco_voc" if job is coco else "voc2012")
