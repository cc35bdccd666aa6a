"""The loop: what it writes, that it resumes bit for bit after any stop, and what it refuses."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxseg import config, train
from jaxseg.evaluation import split
from jaxseg.evaluation.record import Evaluation
from jaxseg.workdir import checkpoint
from tests.conftest import ROOT
from tests.helpers.programs import tiny
from tests.helpers.tags import complaints_of

# Compiled without optimisation: these processes spend their time in the compiler.
ENVIRONMENT = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "PYTHONPATH": str(ROOT),
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "xla-tests"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
}


def start_program(name, settings, **environment):
    program = ROOT / "tests" / "helpers" / "programs" / name
    command = [sys.executable, str(program), json.dumps(settings)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, status=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err


def lines_of(workdir, kind):
    path = workdir / "metrics.jsonl"
    texts = path.read_text().splitlines() if path.exists() else []
    lines = [json.loads(text) for text in texts]
    return [line for line in lines if line["kind"] == kind]


def assert_equal_bits(a, b):
    a, b = tiny.leaves(a), tiny.leaves(b)
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


@pytest.mark.newest
def test_a_run_learns_and_its_folder_tells_all(tmp_path):
    experiment = tiny.experiment(steps=60, log_every=10, eval_every=30, checkpoint_every=20, keep=2)
    state = train.fit(experiment, tmp_path, data=tiny.sources())
    assert int(state.step) == 60
    logged = lines_of(tmp_path, "train")
    assert [line["step"] for line in logged] == [10, 20, 30, 40, 50, 60]
    assert logged[-1]["loss"] < 0.6 * logged[0]["loss"]
    keys = {"loss", "cross_entropy", "learning_rate", "gradient_norm", "images_per_second", "time"}
    assert set(logged[0]) == {"kind", "step"} | keys
    assert logged[1]["learning_rate"] == pytest.approx(0.05 * (1 - 19 / 60) ** 0.9)
    scores = lines_of(tmp_path, "eval")
    assert [line["step"] for line in scores] == [30, 60]
    assert scores[-1]["miou"] > 0.5
    assert set(scores[-1]["iou"]) == {"ground", "red", "green"}
    assert complaints_of(tmp_path, tmp_path / "again") == []
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["40", "60"]
    assert json.loads((tmp_path / "config.json").read_text())["train"]["steps"] == 60
    assert json.loads((tmp_path / "environment.json").read_text())["step"] == 0
    variables, step = checkpoint.restore_variables(tmp_path)
    assert step == 60
    assert_equal_bits(variables["params"], state.params)

    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in [*logged, scores[0]])
    )  # as when the run is killed after its last checkpoint, before the evaluation
    again = train.fit(experiment, tmp_path, data=tiny.sources())
    assert_equal_bits(again, state)
    assert lines_of(tmp_path, "train") == logged
    repeated = lines_of(tmp_path, "eval")
    assert [line["step"] for line in repeated] == [30, 60]
    assert repeated[-1]["miou"] == scores[-1]["miou"]


@pytest.mark.newest
def test_killed_and_stopped_at_any_moment_ends_bit_for_bit_the_same(tmp_path):
    """SIGTERM, and SIGKILL after the run has been resumed, at random moments."""
    settings = {
        "train": {
            "steps": 60,
            "log_every": 2,
            "eval_every": 15,
            "checkpoint_every": 3,
            "ema_decay": 0.99,
        },
        "model": {"dropout": 0.3},
    }
    folders = {name: tmp_path / name for name in ("undisturbed", "disturbed")}
    runs = {
        name: settings | {"workdir": str(folder), "out": str(tmp_path / f"{name}.npz")}
        for name, folder in folders.items()
    }
    undisturbed = start_program("fit.py", runs["undisturbed"])
    chance = random.Random(0)
    disturbed = folders["disturbed"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = max((line["step"] for line in lines_of(disturbed, "train")), default=0)
        process = start_program("fit.py", runs["disturbed"] | {"pause": 0.02})
        wanted = before + chance.randint(2, 9)
        while process.poll() is None:
            if any(line["step"] >= wanted for line in lines_of(disturbed, "train")):
                break
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL, err
        else:
            assert process.returncode == train.STOPPED == 75, err
            assert "the same command resumes it" in err
            stopped = int(err.split("after step ")[1].split(",")[0])
            assert (disturbed / "checkpoints" / str(stopped)).is_dir()
    finish(start_program("fit.py", runs["disturbed"]))
    finish(undisturbed)
    ends = {name: dict(np.load(tmp_path / f"{name}.npz")) for name in folders}
    assert ends["undisturbed"]["step"] == 60
    assert_equal_bits(ends["disturbed"], ends["undisturbed"])
    assert_equal_bits(
        *(
            {str(line["step"]): np.array(line["miou"]) for line in lines_of(folder, "eval")}
            for folder in folders.values()
        )
    )
    steps = [line["step"] for line in lines_of(disturbed, "train")]
    assert steps == list(range(2, 61, 2))
    starts = json.loads((disturbed / "environment.json").read_text())["starts"]
    assert len(starts) == 3


@pytest.mark.parametrize("moment", ["while saving", "while evaluating"])
def test_a_signal_around_an_evaluation_stops_with_all_saved(tmp_path, monkeypatch, moment):
    """Told after the step boundary was passed, before the evaluation or in its midst."""
    owner, name = {
        "while saving": (checkpoint.Checkpoints, "save"),
        "while evaluating": (split, "evaluate"),
    }[moment]
    before = getattr(owner, name)

    def then_told(*args, **kwargs):
        result = before(*args, **kwargs)
        signal.raise_signal(signal.SIGTERM)
        return result

    settings = {"steps": 6, "eval_every": 3, "checkpoint_every": 3}
    undisturbed = train.fit(
        tiny.experiment(**settings), tmp_path / "undisturbed", data=tiny.sources()
    )
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, then_told)
        with pytest.raises(SystemExit) as stopped:
            train.fit(tiny.experiment(**settings), tmp_path / "run", data=tiny.sources())
    assert stopped.value.code == train.STOPPED
    assert checkpoint.restore_variables(tmp_path / "run")[1] == 3
    assert lines_of(tmp_path / "run", "eval") == []
    state = train.fit(tiny.experiment(**settings), tmp_path / "run", data=tiny.sources())
    assert_equal_bits(state, undisturbed)
    assert [line["step"] for line in lines_of(tmp_path / "run", "eval")] == [3, 6]


def test_a_run_with_every_term_of_the_loss(tmp_path):
    """The weight map comes with the batches, in micro-batches too, and counts."""
    experiment = tiny.experiment(steps=3, log_every=1, accumulate=2)
    first = {}
    for boundary in (0.0, 50.0):
        experiment.loss = config.Loss(
            focal=0.5, dice=0.5, lovasz=0.5, hardest=0.5, boundary=boundary, boundary_sigma=3.0
        )
        folder = tmp_path / str(boundary)
        train.fit(experiment, folder, data=tiny.sources())
        first[boundary] = lines_of(folder, "train")[0]
    assert {"loss", "cross_entropy", "focal", "dice", "lovasz"} <= set(first[0.0])
    assert first[50.0]["cross_entropy"] > first[0.0]["cross_entropy"] + 0.01
    assert first[50.0]["dice"] == first[0.0]["dice"]


def test_nan_stops_with_step_terms_and_last_good_checkpoint(tmp_path):
    experiment = tiny.experiment(tiny.Tiny(norm=False), steps=20, log_every=5, checkpoint_every=1)
    experiment.optim.learning_rate = 1e20
    experiment.optim.schedule = "constant"
    with pytest.raises(ValueError, match="not finite") as error:
        train.fit(experiment, tmp_path, data=tiny.sources())
    message = str(error.value)
    step = int(message.split("step ")[1].split(" ")[0])
    assert "cross_entropy" in message or "parameters" in message
    good = step - 1
    assert (str(tmp_path / "checkpoints" / str(good)) in message) == (good > 0)
    assert "no checkpoint was saved" in message or good > 0
    if good:
        variables, newest = checkpoint.restore_variables(tmp_path)
        assert newest == good
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    assert lines_of(tmp_path, "train") == []


def test_a_nan_is_never_saved_even_when_the_loss_is_finite(tmp_path):
    """An update that overflows: loss and gradient of the step itself are finite."""
    experiment = tiny.experiment(tiny.Tiny(norm=False), steps=1, log_every=1)
    experiment.optim.learning_rate = 1e38
    experiment.optim.multipliers = (("", 1e10),)
    with pytest.raises(ValueError, match=r"step 1 is not finite.*parameters.*no checkpoint"):
        train.fit(experiment, tmp_path, data=tiny.sources())


def test_collapse_raises_the_alarm(tmp_path, monkeypatch, capsys):
    confusion = np.array([[980, 0, 0], [10, 5, 0], [5, 0, 0]])
    result = Evaluation(confusion, [], 1.0)
    monkeypatch.setattr(split, "evaluate", lambda *_, **__: result)
    train.fit(tiny.experiment(steps=1, pictures=0), tmp_path, data=tiny.sources())
    err = capsys.readouterr().err
    assert "ALARM at step 1: 99.5% of all pixels are predicted as ground (in truth 98.0%)" in err
    (line,) = lines_of(tmp_path, "eval")
    assert line["collapsed"] == "ground"


def test_init_from_takes_parameters_and_statistics_or_lists_differences(tmp_path):
    first = tiny.experiment(steps=2)
    origin = train.fit(first, tmp_path / "a", data=tiny.sources())
    second = tiny.experiment(steps=2, seed=1, init_from=str(tmp_path / "a"))
    second.optim.learning_rate = 1e-30  # moves nothing
    state = train.fit(second, tmp_path / "b", data=tiny.sources())
    assert_equal_bits(state.params, origin.params)
    third = dataclasses.replace(second, model=tiny.Tiny(features=4))
    with pytest.raises(ValueError, match=r"init_from=.*step 2") as error:
        train.fit(third, tmp_path / "c", data=tiny.sources())
    assert "params/conv/kernel: expected float32 [3, 3, 3, 4], found float32 [3, 3, 3, 8]" in str(
        error.value
    )


def test_a_changed_model_is_refused_and_the_run_stays_as_it_was(tmp_path):
    train.fit(tiny.experiment(steps=2), tmp_path, data=tiny.sources())
    config = (tmp_path / "config.json").read_text()
    wider = tiny.experiment(tiny.Tiny(features=16), steps=4)
    with pytest.raises(ValueError, match="does not fit the config") as error:
        train.fit(wider, tmp_path, data=tiny.sources())
    assert "params/classifier/kernel" in str(error.value)
    assert (tmp_path / "config.json").read_text() == config
    longer = tiny.experiment(steps=4)
    longer.optim.learning_rate = 0.01
    assert int(train.fit(longer, tmp_path, data=tiny.sources()).step) == 4
    changed = json.loads((tmp_path / "environment.json").read_text())["changed"]
    assert changed == ["optim.learning_rate: 0.05 -> 0.01", "train.steps: 2 -> 4"]


def with_classes(experiment, classes):
    return dataclasses.replace(experiment, model=tiny.Tiny(num_classes=classes))


def with_fields(experiment, part, **fields):
    changed = dataclasses.replace(getattr(experiment, part), **fields)
    return dataclasses.replace(experiment, **{part: changed})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda e: with_classes(e, 21),
            "predicts 21 classes, but squares has 3: set --config.model.num_classes=3",
        ),
        (lambda e: with_fields(e, "loss", class_weights=(1.0, 2.0)), "class_weights has 2 numbers"),
        (lambda e: with_fields(e, "loss", hardest=0.0), "loss.hardest=0.0 must be above 0"),
        (lambda e: with_fields(e, "loss", cross_entropy=0.0), "the loss has no term"),
        (lambda e: with_fields(e, "loss", coarse=1.0), "needs a model with coarse logits"),
        (lambda e: with_fields(e, "eval", crf="deeplab"), "eval.crf='deeplab' must be one of"),
        (
            lambda e: with_fields(e, "loss", hardest=0.5, reduction="images"),
            "hardest=0.5 needs loss.reduction=pixels",
        ),
        (lambda e: with_fields(e, "train", accumulate=3), "batch of 4 cannot be split"),
        (lambda e: with_fields(e, "train", rows=7), "train.rows=7 must divide"),
        (lambda e: with_fields(e, "train", steps=0), "train.steps=0 must be at least 1"),
        (lambda e: with_fields(e, "train", keep=0), "train.keep=0"),
        (lambda e: with_fields(e, "train", ema_decay=1.0), "ema_decay=1.0"),
        (lambda e: with_fields(e, "optim", name="lamb"), "one of sgd, adamw"),
        (lambda e: with_fields(e, "train", init_from="/nowhere"), "/nowhere is missing"),
    ],
)
def test_bad_settings_are_one_line(tmp_path, change, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says) as error:
        train.fit(change(tiny.experiment()), tmp_path / "run", data=tiny.sources())
    assert "\n" not in str(error.value)


def test_splits_with_different_labels_are_refused(tmp_path):
    training, evaluation = tiny.sources()
    evaluation.labels = dataclasses.replace(evaluation.labels, names=("ground", "green", "red"))
    with pytest.raises(ValueError, match="train and val differ in labels"):
        train.fit(tiny.experiment(), tmp_path, data=(training, evaluation))
