"""Flags that absl would accept silently."""

import pytest
from absl import flags

from experiments.ablation.ablation import with_change
from jaxseg import config
from jaxseg.checks import effect
from jaxseg.cli import flag_check
from tests.helpers.programs import tiny


@pytest.fixture
def known():
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    flags.DEFINE_string("mode", "train", "", flag_values=values)
    flags.DEFINE_string("config", None, "", flag_values=values)
    flags.DEFINE_bool("memory", False, "", flag_values=values)
    flags.DEFINE_multi_string("chain", [], "", flag_values=values)
    return values


BOOLEANS = {"data.augment.flip"}


@pytest.mark.parametrize(
    "line",
    [
        "--workdir=a --mode=evaluate",
        "--workdir a -mode evaluate",
        "--memory --workdir=a",
        "--nomemory",
        "--config.data.augment.flip --config.train.steps 5",
        "--noconfig.data.augment.flip",
        "--chain=1,2 --chain=3,4",
        "--mode=train --mode=train",
        "photo.jpg -- --wrong",
        "--config.optim.learning_rate -1",
    ],
)
def test_what_means_what_it_says_is_left_alone(known, line):
    assert flag_check.faults(["main", *line.split()], known, BOOLEANS) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "--memory False",
            "--memory False: a boolean flag takes its value after =: --memory=False",
        ),
        (
            "--config.data.augment.flip False",
            "--config.data.augment.flip False: a boolean flag takes its value after =: "
            "--config.data.augment.flip=False",
        ),
        ("--workdir --mode=evaluate", "--workdir has no value: --workdir=VALUE (before --mode"),
        ("--workdir", "--workdir has no value: --workdir=VALUE"),
        ("--mode=train --mode=predict", "--mode is given 2 times, as train and predict: give it"),
        (
            "--config.data.crop_size=3,3 --config.data.crop_size=3,3",
            "--config.data.crop_size is given 2 times, as 3,3 and 3,3",
        ),
        ("--memory --nomemory", "--memory is given 2 times, as True and False"),
        ("--wrokdir=a", "--wrokdir is not a flag: did you mean --workdir?"),
        ("--noworkdir", "--noworkdir is not a flag"),
    ],
)
def test_what_absl_would_take_otherwise_is_refused(known, line, says):
    (found,) = flag_check.faults(["main", *line.split()], known, BOOLEANS)
    assert found.startswith(says)


def test_all_are_told_together(known):
    line = "--wrokdir=a --memory False --mode=a --mode=b --workdir"
    assert len(flag_check.faults(["main", *line.split()], known)) == 4


@pytest.mark.parametrize(
    ("path", "value", "way"),
    [
        ("eval.crop_size", (8, 8), "--config.eval.sliding=True"),
        ("eval.stride", 0.5, "--config.eval.sliding=True"),
        ("eval.crf_filter", "exact", "--config.eval.crf="),
        ("eval.hausdorff", True, "--config.eval.boundary=True"),
        ("optim.decay_factor", 0.5, "--config.optim.schedule=step"),
        ("optim.b2", 0.9, "--config.optim.name=adamw"),
        ("loss.focal_gamma", 1.0, "--config.loss.focal=1"),
        ("loss.per_image", True, "--config.loss.dice=1 or --config.loss.lovasz=1"),
        ("data.augment.rotation_probability", 0.5, "--config.data.augment.rotation=10"),
        ("data.augment.class_limit_draws", 5, "--config.data.augment.class_limit=0.75"),
        ("train.init_partial", True, "--config.train.init_from=FOLDER"),
    ],
)
def test_a_field_that_another_one_switches_off_is_refused_where_it_is_given(path, value, way):
    experiment = with_change(tiny.experiment(), {path: value})
    default = config.Experiment(experiment.model)
    (found,) = effect.without_effect(experiment, {path: value}, default)
    assert found == f"--config.{path} has no effect by itself: set {way} as well" or way in found
    assert effect.without_effect(experiment, {}, default) == []
    switch, _, on = way.removeprefix("--config.").partition(" ")[0].partition("=")
    kinds = {"True": True, "": "deeplab_v2", "10": 10.0, "1": 1.0, "0.75": 0.75}
    experiment = with_change(experiment, {switch: kinds.get(on, on)})
    assert effect.without_effect(experiment, {path: value}, default) == []


@pytest.mark.parametrize(
    ("path", "value", "task"),
    [
        ("detection.mask", 2.0, "instance"),
        ("data.instances.objects", 7, "instance"),
        ("loss.dice", 1.0, "semantic"),
        ("data.augment.flip", False, "semantic"),
        ("eval.crf", "deeplab_v2", "semantic"),
    ],
)
def test_a_field_of_another_task_is_refused_where_it_is_given(path, value, task):
    class Detector(tiny.Tiny):
        task = "instance"

    for model, refused in ((tiny.Tiny(), task == "instance"), (Detector(), task == "semantic")):
        experiment = with_change(tiny.experiment(model), {path: value})
        found = effect.without_effect(experiment, {path: value}, config.Experiment(model))
        assert len(found) == refused
        for line in found:
            assert line.startswith(f"--config.{path} has no effect: only models of {task}")


def test_a_field_given_at_its_default_is_left_alone():
    experiment = tiny.experiment()
    default = config.Experiment(experiment.model)
    given = {"eval.hausdorff": False, "optim.b2": 0.999}
    assert effect.without_effect(experiment, given, default) == []
