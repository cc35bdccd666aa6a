"""The analysis programs: each writes a picture and numbers, or one line says what is wrong."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.conftest import ROOT

SMALL = (
    "--config=experiments/quickstart.py",
    "--config.model.backbone.width=4",
    "--config.train.compile_cache=",
    "--size=33,33",
)


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"experiments.analysis.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        ("theoretical_field", (), "output sees all: True"),
        ("effective_field", ("--noise", "--images=2"), "before training: 50% within"),
        ("valid_taps", (), "aspp/atrous1/conv: rate 2 on 3 x 3: "),
        ("gridding", (), "rates 2,2,2, field 13 x 13, 71.0% of it untouched"),
    ],
)
def test_each_writes_a_picture_and_numbers(tmp_path, program, arguments, said):
    done = run(program, *SMALL, *arguments, f"--output={tmp_path / 'new'}")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert json.loads((tmp_path / "new" / f"{program}.json").read_text())
    with Image.open(tmp_path / "new" / f"{program}.png") as picture:
        assert min(picture.size) > 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments", "status", "line"),
    [
        ("theoretical_field", (), 1, "jaxseg: no --config=experiments/NAME.py and no run folder"),
        ("gridding", ("--chain=2,0",), 1, "--chain=2,0: whole numbers from 1 are allowed"),
        ("valid_taps", ("--config=nowhere.py",), 2, "--config=nowhere.py: no such file"),
    ],
)
def test_what_is_wrong_is_one_line(program, arguments, status, line):
    done = run(program, *arguments)
    assert done.returncode == status
    assert line in done.stderr
    assert "Traceback" not in done.stderr
