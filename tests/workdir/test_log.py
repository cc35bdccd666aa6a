"""The run folder's files: strict JSON, no doubled lines after a restart, readable events."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg.workdir import environment, event_file, log
from tests.helpers.programs import tiny


def read(path):
    def refuse(text):
        raise AssertionError(f"{text} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_lines_are_strict_json(tmp_path):
    writer = log.Writer(tmp_path, 0)
    writer.write("train", 1, {"loss": jnp.float32(0.5), "learning_rate": np.float64(0.1)})
    writer.write("eval", 1, {"miou": math.nan, "iou": {"sky": np.float64(1), "sea": math.inf}})
    writer.close()
    train, evaluation = read(tmp_path / "metrics.jsonl")
    assert list(train) == ["kind", "step", "loss", "learning_rate", "time"]
    assert (train["kind"], train["step"], train["loss"]) == ("train", 1, 0.5)
    assert evaluation["miou"] is None
    assert evaluation["iou"] == {"sky": 1, "sea": None}


def test_a_restart_drops_later_lines_and_a_half_line(tmp_path):
    writer = log.Writer(tmp_path, 0)
    for step in (1, 2, 3):
        writer.write("train", step, {"loss": float(step)})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    writer = log.Writer(tmp_path, 2)
    assert writer.has("train", 2)
    assert not writer.has("eval", 2)
    assert not writer.has("train", 3)
    writer.write("train", 3, {"loss": 30.0})
    writer.close()
    assert [(line["step"], line["loss"]) for line in read(tmp_path / "metrics.jsonl")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]


def test_other_processes_write_nothing(tmp_path):
    writer = log.Writer(tmp_path, 0, main=False)
    writer.write("train", 1, {"loss": 1.0})
    writer.picture(1, "x", np.zeros((2, 2, 3), np.uint8))
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_tags_are_what_tensorboardx_would_make_of_them(tmp_path, caplog):
    """Names of numbers and classes have spaces; tensorboardX logs a line for each illegal tag."""
    from tensorboardX import summary

    caplog.set_level("INFO")
    tags = ("eval/box AP50", "eval/iou/traffic light", "eval/iou/größe (m²)", "/x", "a-b/c.d_e")
    for tag in tags:
        legal = event_file.legal(tag)
        caplog.clear()
        (value,) = summary.scalar(legal, 1.0).value
        assert not caplog.records
        assert value.tag == legal
        (value,) = summary.scalar(tag, 1.0).value
        assert value.tag == legal
    writer = log.Writer(tmp_path, 0)
    caplog.clear()
    writer.write("eval", 1, {"box AP": 0.5, "iou": {"traffic light": 0.5}})
    writer.picture(1, "eval/a picture", np.zeros((2, 2, 3), np.uint8))
    writer.close()
    assert not caplog.records


def test_events_hold_scalars_and_pictures(tmp_path):
    from tensorboardX.proto import event_pb2

    writer = log.Writer(tmp_path, 0)
    writer.write("eval", 7, {"miou": 0.25, "iou": {"sky": 0.5, "sea": math.nan}})
    writer.picture(7, "eval/0", np.zeros((4, 5, 3), np.uint8))
    writer.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    data, found = file.read_bytes(), {}
    while data:  # TFRecord: length, its checksum, record, its checksum
        length = int.from_bytes(data[:8], "little")
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        found |= {value.tag: value for value in event.summary.value}
        data = data[16 + length :]
    assert found["eval/miou"].simple_value == 0.25
    assert found["eval/iou/sky"].simple_value == 0.5
    assert "eval/iou/sea" not in found
    assert (found["eval/0"].image.height, found["eval/0"].image.width) == (4, 5)


def test_a_nan_is_found_with_its_step():
    recent = log.Recent()
    for step, loss in [(1, 1.0), (2, 3.0)]:
        recent.add(step, {"loss": jnp.float32(loss), "learning_rate": jnp.float32(step)})
        recent.wait()
    assert recent.not_finite() is None
    assert recent.mean() == {"loss": 2.0, "learning_rate": 2.0}
    for step, loss in [(3, 1.0), (4, jnp.nan), (5, jnp.nan)]:
        recent.add(step, {"loss": jnp.float32(loss), "learning_rate": jnp.float32(1)})
    step, values = recent.not_finite()
    assert step == 4
    assert math.isnan(values["loss"])


def test_the_rate_leaves_pauses_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    rate = log.Rate()
    assert math.isnan(rate.per_second())
    for seconds, act in [(2, rate.pause), (100, rate.resume), (3, lambda: None)]:
        rate.add(5)
        now[0] += seconds
        act()
    assert rate.per_second() == pytest.approx(15 / 5)


def test_progress_shows_loss_and_rate(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    progress = log.Progress(100, 20)
    for _ in range(21, 101):
        now[0] += 1
        progress.step()
        progress.report(0.5, 8.0)
    progress.close()
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 9
    assert lines[1] == "train: 30/100 steps, 1 steps/s, 0:01:10 left, loss 0.5000, 8.0 images/s"
    assert lines[-1].startswith("train: 100/100 steps")


def test_progress_of_other_processes_is_quiet(capsys):
    progress = log.Progress(1, 0, quiet=True)
    progress.say("hello")
    progress.report(0.5, 8.0)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_environment_keeps_every_start(tmp_path):
    for number in (1, 2):
        environment.write_environment(tmp_path, environment.environment() | {"step": number})
    values = json.loads((tmp_path / "environment.json").read_text())
    assert [start["step"] for start in values["starts"]] == [1, 2]
    assert values["step"] == 2
    assert values["versions"]["jax"] == jax.__version__
    assert len(values["devices"]) == jax.device_count()
    assert set(values) >= {
        "command",
        "git",
        "versions",
        "devices",
        "processes",
        "python",
        "started",
    }


def test_what_a_restart_changes_is_noted(tmp_path, capsys):
    source = tmp_path / "given.py"
    source.write_text("# one")
    experiment = config.Experiment(tiny.Tiny(3))
    environment.describe_run(experiment, tmp_path, source, 0)
    experiment.optim.learning_rate = 0.5
    source.write_text("# two")
    environment.describe_run(experiment, tmp_path, source, 10)
    changed = ["optim.learning_rate: 0.007 -> 0.5"]
    assert json.loads((tmp_path / "environment.json").read_text())["changed"] == changed
    assert json.loads((tmp_path / "config.json").read_text())["optim"]["learning_rate"] == 0.5
    assert (tmp_path / "experiment.py").read_text() == "# one"
    assert changed[0] in capsys.readouterr().err
