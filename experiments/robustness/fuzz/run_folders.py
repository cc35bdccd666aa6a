"""Run folders with damaged files: reported, resumed, evaluated, used as a job."""

import contextlib
import io
import json
import logging
import pathlib
import random
import shutil
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ablation import job_folder
from experiments.robustness.fuzz import harm
from jaxseg import config
from jaxseg.cli import stored_config
from jaxseg.data.labels import LabelSpec
from jaxseg.evaluation import pictures
from jaxseg.evaluation.record import Evaluation, to_json
from jaxseg.reporting import figures, run_folder, text
from jaxseg.reporting import page as report_page
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint, data_identity, environment, eval_folder, log, per_image

_LABELS = LabelSpec(("sky", "road"), ((0, 0, 200), (90, 90, 90)), {0: 0, 1: 1, 255: 255})
_STEP = 20
_HARMED_MORE = ("eval/val.json", "config.json", "metrics.jsonl", "environment.json")


def make(folder: pathlib.Path, experiment: config.Experiment) -> None:
    """Creates a small run folder with all files of a run, without running it."""
    folder.mkdir(parents=True)
    environment.describe_run(experiment, folder, pathlib.Path(__file__), 0)
    writer = log.Writer(folder, 0)
    for step in range(5, _STEP + 1, 5):
        writer.write(
            "train",
            step,
            {
                "loss": 1 / step,
                "learning_rate": 0.1,
                "images_per_second": 9.5,
                "gradient_norm": 1.0,
            },
        )
        means = dict.fromkeys(("miou", "pixel_accuracy", "mean_accuracy", "fwiou"), 0.5)
        writer.write("eval", step, {**means, "iou": {"sky": 0.5, "road": None}, "absent": []})
    writer.close()
    counts = np.array([[[5, 1], [2, 7]], [[3, 0], [1, 9]]])
    images = [{"index": i, "name": f"a/{i}", "miou": 0.5, "pixel_accuracy": 0.5} for i in range(2)]
    kept = per_image.gather(("a/0", "a/1"), 2, map(per_image.entries, counts))
    found = Evaluation(counts.sum(axis=0), images, 1.5, kept)
    record = {
        "step": _STEP,
        "weights": None,
        "data": "set",
        "split": "val",
        "environment": environment.environment(),
    }
    (folder / "eval" / "val").mkdir(parents=True)
    per_image.write(folder / "eval" / "val.npz", kept)
    log.write_json(folder / "eval" / "val.json", record | to_json(found, _LABELS))
    grey, label = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    name = eval_folder.picture_name("best", 1, "a/0")
    pictures.write_picture(folder / "eval" / "val" / name, grey, label, label, _LABELS)
    (folder / "labels.json").write_text(_LABELS.to_json())
    job_folder.write_job(folder, experiment, {"row": experiment.eval}, "")
    costs = {"parameters": 1, "multiply_adds": {"row": 2}, "memory": 3}
    log.write_json(folder / job_folder.OUTCOME, {"tags": {"row": "val"}, **costs})
    with checkpoint.Checkpoints(folder / "checkpoints", keep=2) as checkpoints:
        for step in (_STEP - 5, _STEP):
            checkpoints.save(step, _state(step), {"next": step}, wait=True)


def _state(step: int) -> TrainState:
    return TrainState(jnp.int32(step), {"kernel": jnp.full((3, 2), float(step))}, {}, {})


class Harmed:
    """Copies of one run folder, each with one or two damaged files."""

    def __init__(self, scratch: pathlib.Path, experiment: config.Experiment) -> None:
        self._scratch = scratch / "runs"
        self._good = self._scratch / "good"
        make(self._good, experiment)
        self._experiment = experiment
        self._files = sorted(
            str(path.relative_to(self._good)) for path in self._good.rglob("*") if path.is_file()
        )
        logging.disable(logging.WARNING)

    def use(self, number: int) -> None:
        """Uses the copy with this number in every way that a run folder is used.

        Raises:
          ValueError, OSError: the config, the job or the checkpoints are refused.
          AssertionError: a value is wrong.
        """
        rng = random.Random(number)
        folder = self._scratch / "harmed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._good, folder)
        names = [name for name in self._files if name.startswith("checkpoints/")]
        others = [name for name in self._files if name not in names]
        chosen = rng.choice(([rng.choice(names)], rng.choices((*others, *_HARMED_MORE), k=2)))
        for name in {*chosen}:
            harm.of_file(rng, folder / name)
        with (
            mock.patch("os.fsync"),
            contextlib.redirect_stderr(io.StringIO()),
        ):  # nothing here needs to survive a power failure
            self._use(folder, rng, checkpoints=chosen[0] in names)

    def _use(self, folder: pathlib.Path, rng: random.Random, *, checkpoints: bool) -> None:
        if checkpoints:
            self._restore(folder)
            return
        self._report(folder, plots=rng.random() < 0.02)
        self._resume(folder)
        job_folder.outcome(folder, {"row": "val"})
        job_folder.is_done(folder)
        job_folder.read(folder)
        data_identity.read(folder)
        stored_config.get_config(str(folder))

    def _report(self, folder: pathlib.Path, *, plots: bool) -> None:
        loaded = [run_folder.load(folder)]
        text.markdown(loaded)
        drawn = figures.plots if plots else (lambda _: [])  # pictures take most of the time
        with mock.patch.object(figures, "plots", drawn):
            page = report_page.html(loaded)
        assert "</html>" in page

    def _resume(self, folder: pathlib.Path) -> None:
        environment.describe_run(self._experiment, folder, None, _STEP)
        writer = log.Writer(folder, _STEP)
        writer.write("train", _STEP + 1, {"loss": 1.0})
        writer.close()
        assert json.loads((folder / "environment.json").read_text())["step"] == _STEP
        assert run_folder.load(folder).train[-1]["step"] == _STEP + 1

    def _restore(self, folder: pathlib.Path) -> None:
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _state(0)
        )
        with checkpoint.Checkpoints(folder / "checkpoints", keep=2) as kept:
            found = kept.restore(abstract)
        assert found is not None
        state, place = found
        assert place["next"] in (_STEP - 5, _STEP)
        np.testing.assert_array_equal(
            state.params["kernel"], _state(place["next"]).params["kernel"]
        )
        assert int(state.step) == place["next"]
