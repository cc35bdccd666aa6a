"""A run folder of earlier names of classes and fields opens: old_run.zip, made by commit 63b8f92.

It holds run/, of a small DeepLab v3+ in which nearly every field has another value than its
default, and data/, the prepared set of ten pictures. An archive, so that no later renaming in this
repository changes it.
"""

import collections
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxseg import config, evaluate, predict, report, train
from jaxseg.cli import stored_config

ARCHIVE = pathlib.Path(__file__).parent / "old_run.zip"
STEPS = 160
PIXELS = 3 * 28 * 36


@pytest.fixture
def folder(tmp_path):
    shutil.unpack_archive(ARCHIVE, tmp_path)
    return tmp_path / "run"


def opened(folder):
    """The experiment of the folder, with the data beside it."""
    experiment = stored_config.get_config(str(folder))
    experiment.data.data_dir = str(folder.parent / "data")
    return experiment


def leaves(values):
    """The values of a config as JSON, without its classes."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from leaves(value) if name != "class" else ()
    else:
        yield json.dumps(values)


def test_no_value_of_the_config_is_lost(folder):
    before = json.loads((folder / "config.json").read_text())
    after = collections.Counter(leaves(config.to_dict(stored_config.get_config(str(folder)))))
    assert {"0.9125", "0.8875", "0.0003", '"plain"', '"bfloat16"'} <= set(leaves(before))
    unlike_defaults = {
        value for value in leaves(before) if value.startswith(("0.", "[")) or len(value) > 8
    }
    assert len(unlike_defaults) > 40
    assert unlike_defaults <= set(after)


def test_evaluation_and_prediction_are_those_that_are_recorded(folder, tmp_path):
    recorded = json.loads((folder / "eval" / "val_flip.json").read_text())
    experiment = opened(folder)
    experiment.eval.boundary = experiment.eval.calibration = False  # would take long to compile
    found = evaluate.run(experiment, folder, progress=False)
    # On the processor that made the folder they are equal; bfloat16 rounds otherwise elsewhere.
    moved = np.abs(found.confusion - np.array(recorded["confusion"])).sum() / 2
    assert found.confusion.sum() == PIXELS
    assert moved <= 0.005 * PIXELS
    again = json.loads((folder / "eval" / "val_flip.json").read_text())
    assert again["step"] == recorded["step"] == STEPS
    assert again["images"][0]["name"] == recorded["images"][0]["name"]

    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((28, 36, 3), 60, np.uint8)).save(photo)
    assert predict.main(experiment, folder, [photo], tmp_path / "out") == 0
    label = np.asarray(Image.open(tmp_path / "out" / "labels" / "photo.png"))
    assert (label == 0).mean() > 0.9, "grey is ground"
    assert "DeepLabV3Plus" in report.write([folder])


@pytest.mark.slow
def test_training_goes_on(folder):
    experiment = opened(folder)
    experiment.train.steps = STEPS + 1
    experiment.eval = config.Eval(examples=1)
    state = train.fit(experiment, folder)
    assert int(state.step) == STEPS + 1
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    of_steps = {line["step"]: line["loss"] for line in lines if line["kind"] == "train"}
    assert of_steps[STEPS + 1] < 1.5 * of_steps[STEPS]
    assert (folder / "checkpoints" / str(STEPS + 1)).is_dir()
