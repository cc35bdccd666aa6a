"""Faults injected into small runs: parts of experiments.robustness.faults, or all if slow."""

import json
import os
import pathlib
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.robustness.faults import clock, ends, process, wrong_clock
from jaxseg import progress, train
from jaxseg.data.prepare import prepare
from jaxseg.data.source import open_split
from jaxseg.reporting import run_folder
from jaxseg.runtime.stop import StopRequest
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint
from tests.conftest import ROOT
from tests.helpers.programs import tiny


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder of shapes/faults, copied by each test that harms it."""
    data_dir = tmp_path_factory.mktemp("prepared")
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        flags.FLAGS(["x", "--shapes_size=32", "--shapes_train=64", "--shapes_val=2"])
        folder = prepare.prepare("shapes/faults", data_dir)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def placed(prepared, tmp_path):
    folder = tmp_path / "shapes" / "faults" / "1.0.0"
    folder.mkdir(parents=True)
    for name, data in prepared.items():
        (folder / name).write_bytes(data)
    return folder


def shard(folder, split="train"):
    (file,) = folder.glob(f"*-{split}.array_record*")
    return file


def test_a_damaged_example_is_one_line_with_its_file(prepared, tmp_path):
    file = shard(placed(prepared, tmp_path))
    data = file.read_bytes()
    middle = len(data) // 2
    file.write_bytes(data[:middle] + bytes(4096) + data[middle + 4096 :])
    source = open_split("shapes/faults", "train", tmp_path)
    with pytest.raises(ValueError, match=r"example \d+ of train cannot be read") as error:
        [source[i] for i in range(len(source))]
    assert str(file) in str(error.value)
    assert "--overwrite" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_shard_that_vanishes_or_shrinks_is_named(prepared, tmp_path):
    folder = placed(prepared, tmp_path)
    source = open_split("shapes/faults", "train", tmp_path)
    validation = open_split("shapes/faults", "val", tmp_path)
    assert source[0]["image"].shape == (32, 32, 3)
    os.truncate(shard(folder), 65536)
    shard(folder, "val").unlink()
    for opened, split in ((source, "train"), (validation, "val")):
        with pytest.raises(ValueError, match="cannot be read") as error:
            [opened[i] for i in range(len(opened))]
        assert f"shapes-{split}.array_record" in str(error.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "metadata.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_damaged_descriptions_of_a_set_are_one_line(prepared, tmp_path, name, text):
    folder = placed(prepared, tmp_path)
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=r"is damaged.*--overwrite") as error:
        open_split("shapes/faults", "train", tmp_path)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_clock_that_goes_back_changes_nothing(tmp_path, monkeypatch, capsys):
    """Half of a run; the times of its checkpoints reversed; the rest with a clock a day slow."""
    settings = {"steps": 8, "checkpoint_every": 2, "eval_every": 4}
    undisturbed = train.fit(
        tiny.experiment(**settings), tmp_path / "undisturbed", data=tiny.sources()
    )
    run = tmp_path / "run"
    stopping = tiny.experiment(**settings)
    with monkeypatch.context() as patch:
        told = iter([False, False, False, True])
        patch.setattr(StopRequest, "now", lambda *_: next(told))
        with pytest.raises(SystemExit):
            train.fit(stopping, run, data=tiny.sources())
    assert ends.steps(run) == [2, 4]
    clock.reverse_times(run)
    times = [(run / "checkpoints" / step).stat().st_mtime for step in ("2", "4")]
    assert times[0] > times[1]
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", wrong_clock.wrong(time.time))
        patch.setattr(progress, "_LEAST_SECONDS", 0.0)  # a line at each step, with the time left
        state = train.fit(tiny.experiment(**settings), run, data=tiny.sources())
    starts = json.loads((run / "environment.json").read_text())["starts"]
    assert [start["step"] for start in starts] == [0, 4]
    assert ends.compare(run, tmp_path / "undisturbed")["same_bits"]
    assert ends.logged(run) == ends.logged(tmp_path / "undisturbed")
    stamps = [line["time"] for line in run_folder.load(run).train]
    assert stamps != sorted(stamps)
    assert run_folder.load(run).seconds > 0
    left = [line for line in capsys.readouterr().err.splitlines() if " left" in line]
    assert left
    assert not [line for line in left if "day" in line or ", -" in line]
    assert int(state.step) == int(undisturbed.step) == 8


def saved_run(folder, value, statistic=0.0, loss=1.0):
    params = {"kernel": np.full((2, 3), value, np.float32)}
    opt_state = optax.sgd(0.1, momentum=0.9).init(params)
    state = TrainState(jnp.int32(4), params, {"mean": np.float32([statistic])}, opt_state)
    with checkpoint.Checkpoints(folder / "checkpoints", 1) as checkpoints:
        checkpoints.save(4, state, {"position": 8}, wait=True)
    line = {"kind": "train", "step": 4, "loss": loss, "time": time.time()}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def test_two_ends_are_compared_by_their_bits(tmp_path):
    """Runs that differ in one bit or in the log do not count as equal."""
    a = saved_run(tmp_path / "a", 1.0)
    found = ends.compare(saved_run(tmp_path / "b", 1.0), a)
    assert found == {
        "last_step": 4,
        "arrays": 4,  # kernel, its momentum, mean, step
        "values": 14,
        "arrays_that_differ": [],
        "same_bits": True,
        "same_log": True,
    }
    other = saved_run(tmp_path / "c", np.nextafter(np.float32(1), 2), -0.0, loss=2.0)
    found = ends.compare(other, a)
    assert found["arrays_that_differ"] == ["batch_stats/mean", "params/kernel"]
    assert not found["same_bits"]
    assert not found["same_log"]


def test_what_is_said_is_kept_without_machine_and_place(tmp_path):
    place = process.Place(tmp_path)
    host = process.socket.gethostname()
    text = f"jaxseg: {tmp_path}/run is in use by process 4711 on {host}: process 1 of 2"
    assert place.plain(text) == "jaxseg: DRILL/run is in use by process N on HOST: process 1 of 2"


@pytest.mark.long
@pytest.mark.slow
def test_the_whole_drill_with_few_kills(tmp_path):
    output = tmp_path / "faults.json"
    command = [
        sys.executable,
        "-m",
        "experiments.robustness.faults",
        f"--workdir={tmp_path / 'drill'}",
    ]
    done = subprocess.run(
        [*command, "--kills=3", f"--output={output}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    drills = json.loads(output.read_text())["drills"]
    assert set(drills) == {"kills", "disk", "reads", "process", "clock", "second", "older"}
    assert drills["kills"]["kills"] == 3
    assert str(pathlib.Path.home()) not in output.read_text()
