"""What holds for every experiment file: it loads, its model and optimiser build, it says enough."""

import ast
import functools
import importlib

import jax
import pytest

from jaxseg import config, losses, step
from jaxseg.data.builders import camvid, shapes, voc2012
from tests.conftest import ROOT

FILES = sorted(p for p in (ROOT / "experiments").glob("*.py") if p.stem != "__init__")
LABELS = {"camvid": camvid.LABELS, "shapes": shapes.LABELS, "voc2012": voc2012.LABELS}
EACH = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)


@functools.cache
def _read(path):
    return importlib.import_module(f"experiments.{path.stem}").get_config()


def test_every_file_of_the_folder_is_an_experiment():
    assert len(FILES) >= 9
    for path in FILES:
        assert isinstance(_read(path), config.Experiment), path.name


@EACH
def test_the_docstring_says_paper_figures_and_command(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert "measured" in text.lower()
    assert f"--config=experiments/{path.name}" in text or "launch/quickstart.sh" in text
    assert "arXiv" in text


@EACH
def test_its_values_are_allowed_and_survive_the_run_folder(path):
    experiment = _read(path)
    config.check(experiment)
    assert config.from_dict(config.to_dict(experiment)) == experiment


@EACH
def test_model_loss_and_optimiser_build(path):
    """Traced only. The classes are those of the data set, where the set has its own."""
    experiment = _read(path)
    outputs, variables = jax.eval_shape(functools.partial(step.init_variables, experiment))
    height, width = experiment.data.crop_size
    assert outputs["logits"].shape[:3] == (1, height, width)
    labels = LABELS.get(experiment.data.name)
    if labels is not None:
        assert outputs["logits"].shape[3] == labels.num_classes
        assert len(experiment.loss.class_weights) in (0, labels.num_classes)
    truth = jax.ShapeDtypeStruct((1, height, width), "uint8")
    terms = jax.eval_shape(
        functools.partial(losses.segmentation, loss=experiment.loss), outputs, truth
    )
    assert {"loss", "cross_entropy"} <= set(terms)
    optimizer, rate = step.make_optimizer(experiment)
    jax.eval_shape(optimizer.init, variables["params"])
    assert float(rate(experiment.train.steps // 2)) > 0
