"""A sweep as a user starts it: the plan, a stop in the middle, going on, and nothing done twice."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = "tests/helpers/programs/tiny_ablation.py"


def command(tmp_path, *more, name=PROGRAM):
    return [
        sys.executable,
        "-m",
        "launch.sweep",
        f"--ablation={name}",
        f"--workdir={tmp_path}/sweeps",
        f"--data_dir={tmp_path}/data",
        *more,
    ]


def run(tmp_path, *more, name=PROGRAM):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        command(tmp_path, *more, name=name),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.parametrize(
    ("more", "name", "message"),
    [
        ((), "nowhere", "--ablation=nowhere is unknown; known: deeplab_v1/crf"),
        *(
            pytest.param(("--backend=plan", flag), PROGRAM, message, marks=pytest.mark.slow)
            for flag, message in (
                ("--seeds=a", "--seeds=a: give whole numbers"),
                ("--change=steps", "--change=steps: give FIELD=VALUE"),
            )
        ),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, more, name, message):
    (tmp_path / "data" / "shapes" / "tiny").mkdir(parents=True)
    done = run(tmp_path, *more, name=name)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"jaxseg: {message}")


@pytest.mark.long
@pytest.mark.slow
def test_stopped_and_started_again_it_ends_in_the_same_table(tmp_path):
    prepare = [
        "-m",
        "jaxseg.data.prepare",
        "--name=shapes/tiny",
        f"--data_dir={tmp_path}/data",
        "--shapes_size=32",
        "--shapes_train=12",
        "--shapes_val=6",
    ]
    subprocess.run([sys.executable, *prepare], cwd=ROOT, check=True, capture_output=True)
    plan = run(tmp_path, "--backend=plan")
    assert plan.returncode == 0, plan.stderr
    assert "4 of 4 trainings to run" in plan.stdout

    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    first = subprocess.Popen(
        command(tmp_path), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    sweep = tmp_path / "sweeps" / "tiny_ablation_shapes"
    for _ in range(3000):
        if list(sweep.glob("*/outcome.json")):
            break
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=300)
    assert first.returncode == 75
    before = len(list(sweep.glob("*/outcome.json")))
    assert 0 < before < 4

    second = run(tmp_path, "--jobs=2")
    assert second.returncode == 0, second.stderr
    assert "Not finished" not in second.stdout
    record = json.loads((sweep / "table.json").read_text())
    assert [row["seeds"] for row in record["rows"]] == [[0, 1]] * 3

    logs = {path: path.stat().st_mtime_ns for path in sweep.glob("*/log.txt")}
    third = run(tmp_path)
    assert third.returncode == 0, third.stderr
    assert "0 of 4 trainings to run" in third.stdout
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("*/log.txt")} == logs
    again = json.loads((sweep / "table.json").read_text())
    assert again["rows"] == record["rows"]


@pytest.mark.slow
def test_detectors_are_compared_by_what_their_training_measured(tmp_path):
    prepare = [
        "-m",
        "jaxseg.data.prepare",
        "--name=shapes/instances",
        f"--data_dir={tmp_path}/data",
        "--shapes_size=32",
        "--shapes_train=4",
        "--shapes_val=3",
    ]
    subprocess.run([sys.executable, *prepare], cwd=ROOT, check=True, capture_output=True)
    done = run(tmp_path, name="tests/helpers/programs/tiny_detector_ablation.py")
    assert done.returncode == 0, done.stderr
    sweep = tmp_path / "sweeps" / "tiny_detector_ablation_shapes"
    record = json.loads((sweep / "table.json").read_text())
    assert (record["metric"], record["unfinished"]) == ("box AR@100", [])
    for row in record["rows"]:
        (value,) = row["values"]
        (folder,) = sweep.glob(f"{row['name'].replace(' ', '_')}-*")
        (line,) = [
            each
            for each in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
            if each["kind"] == "eval"
        ]
        assert value == line["box AR@100"] == row["scores"]["box AR@100"]
    assert run(tmp_path, name="tests/helpers/programs/tiny_detector_ablation.py").stdout.count(
        "0 of 2 trainings to run"
    )
