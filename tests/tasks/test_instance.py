"""A detector in the training loop: objective, evaluation, resumption, refusals."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from jaxseg import tasks, train
from jaxseg.data.source import InstanceSource, open_instances
from jaxseg.evaluation import instance_split
from jaxseg.tasks import instance, semantic
from jaxseg.tasks.instance_evaluation import transform_of
from jaxseg.training import batches
from jaxseg.training import step as steps
from tests.helpers import detectors
from tests.helpers.detectors import experiment
from tests.helpers.programs import tiny
from tests.helpers.tags import complaints_of
from tests.training.test_train import assert_equal_bits, lines_of


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return detectors.prepared(tmp_path_factory.mktemp("prepared"))


def test_the_model_decides_the_task(data_dir):
    assert tasks.of(experiment(data_dir)) is instance
    assert tasks.of(tiny.experiment(tiny.Tiny())) is semantic

    class Other(tiny.Tiny):
        task = "depth"

    with pytest.raises(ValueError, match=r"Other\.task is 'depth'"):
        tasks.of(tiny.experiment(Other()))


def test_both_tasks_have_the_functions_of_a_task():
    for name in (name for name in vars(tasks.Task) if not name.startswith("_")):
        assert callable(getattr(semantic, name)), name
        assert callable(getattr(instance, name)), name


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """A run of two steps with an evaluation, and its state."""
    folder = tmp_path_factory.mktemp("run")
    return folder, train.fit(experiment(data_dir), folder)


def test_a_run_logs_each_term_and_cocos_numbers(trained, data_dir, tmp_path):
    folder, _ = trained
    lines = lines_of(folder, "train")
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        terms = [line[name] for name in ("objectness", "rpn_box", "class", "box", "mask")]
        assert line["loss"] == pytest.approx(sum(terms), rel=1e-5)
        assert all(np.isfinite(terms))
    (line,) = lines_of(folder, "eval")
    assert {"box AP", "box AP50", "box AR100", "mask AP", "mask ARs"} <= line.keys()
    assert {"PQ things", "SQ things", "RQ things"} <= line.keys()
    assert "PQ" not in line  # stuff is not judged
    assert set(line["classes"]["segm"]) == {"disc", "square", "triangle", "ring", "bar"}
    assert complaints_of(folder, tmp_path) == []


def test_a_resumed_run_ends_like_one_that_was_not_stopped(trained, data_dir, tmp_path):
    once = experiment(data_dir)
    train.fit(dataclasses.replace(once, train=dataclasses.replace(once.train, steps=1)), tmp_path)
    again = train.fit(once, tmp_path)  # from the stored state and the loader's position
    assert_equal_bits(again, trained[1])


@pytest.mark.slow
def test_the_losses_of_micro_batches_are_weighted_by_their_images(data_dir):
    built = experiment(data_dir)
    source = open_instances("shapes/instances", "train", data_dir)
    objective = instance.objective(built)
    optimizer, _ = steps.make_optimizer(built)
    state = jax.jit(functools.partial(steps.init_state, built, optimizer))()
    iterator = instance.iterator(built, source, instance.plan(built, source), 0, 1)
    batch = {name: next(iterator)[name] for name in instance.on_device(built)}
    arguments = state.params, state.batch_stats
    key = jax.random.key(0)
    part = {name: array[:1] for name, array in batch.items()}
    half, (terms, _) = jax.jit(objective)(*arguments, part, key, batch)
    alone, _ = jax.jit(objective)(*arguments, part, key, part)
    assert float(half) == pytest.approx(float(alone) / 2, rel=1e-5)
    assert set(terms) == {"loss", "objectness", "rpn_box", "class", "box", "mask"}


def test_an_evaluation_does_not_depend_on_the_batch(trained, data_dir):
    built = experiment(data_dir)
    variables = {"params": trained[1].params, "batch_stats": trained[1].batch_stats}
    source = open_instances("shapes/instances", "val", data_dir)

    def evaluated(batch_size):
        return instance_split.evaluate(
            built.model,
            variables,
            source,
            transform=transform_of(built.data),
            normalisation=built.data.normalisation,
            batch_size=batch_size,
            threads=0,
            progress=False,
        )

    one, three = evaluated(1), evaluated(3)
    assert len(one.detections) == len(source) == 4  # also images in which nothing is found
    assert one.detections.results()
    for a, b in zip(one.detections.results(), three.detections.results(), strict=True):
        assert (a["image_id"], a["category_id"]) == (b["image_id"], b["category_id"])
        np.testing.assert_allclose(a["bbox"], b["bbox"], rtol=1e-4, atol=1e-3)
    assert one.summary() == pytest.approx(three.summary(), abs=1e-6, nan_ok=True)


def test_scores_that_are_not_finite_are_refused(trained, data_dir):
    built = experiment(data_dir)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, trained[1].params)
    source = open_instances("shapes/instances", "val", data_dir)
    with pytest.raises(ValueError, match="image 0 of the split has scores that are not finite"):
        instance_split.evaluate(
            built.model,
            {"params": broken, "batch_stats": trained[1].batch_stats},
            source,
            transform=transform_of(built.data),
            normalisation=built.data.normalisation,
            batch_size=1,
            threads=0,
            progress=False,
        )


def test_data_and_model_of_different_tasks_are_refused(data_dir, tmp_path):
    semantic_model = dataclasses.replace(experiment(data_dir), model=tiny.Tiny(5))
    with pytest.raises(ValueError, match="holds objects, not a class for each pixel"):
        train.fit(semantic_model, tmp_path / "run")
    with pytest.raises(ValueError, match="holds a class for each pixel, not objects"):
        train.fit(experiment(data_dir), tmp_path / "run", data=tiny.sources())
    wrong = dataclasses.replace(
        experiment(data_dir), model=experiment(data_dir).model.clone(num_classes=4)
    )
    with pytest.raises(ValueError, match="predicts 4 classes, but shapes/instances has 5"):
        train.fit(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_batches_on_devices_hold_what_the_step_needs(data_dir):
    built = experiment(data_dir)
    source = open_instances("shapes/instances", "train", data_dir)
    assert isinstance(source, InstanceSource)
    from jaxseg.runtime.mesh import make_mesh

    plan = instance.plan(built, source)
    batch, position = next(batches.on_devices(built, source, plan, make_mesh(), None))
    assert batch["image"].shape == (2, 64, 64, 3)
    assert batch["masks"].shape == (2, 6, 64, 8)
    assert position == {"position": 2}
