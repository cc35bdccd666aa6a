"""What a user sees of a wrong command: one line that names the flag, and an exit status."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def jaxseg(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jaxseg.main", *arguments], cwd=ROOT, capture_output=True, text=True
    )


QUICKSTART = "--config=experiments/quickstart.py"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((QUICKSTART, "--config.optim.lerning_rate=1"), 2, ("no field", "optim.learning_rate")),
        (("--config=experiments/none.py",), 2, ("experiments/none.py",)),
        ((QUICKSTART,), 1, ("--workdir",)),
        (("--mode=evaluate", "--workdir=/nowhere"), 1, ("/nowhere/config.json", "--config")),
        *(
            pytest.param((QUICKSTART, argument), 2, words, marks=pytest.mark.slow)
            for argument, words in (
                ("--config.train.steps=many", ("train.steps", "many")),
                ("--config.model.backbone.rate=2", ("model.backbone.rate",)),
                ("--mode=fly", ("mode", "fly")),
                ("train", ("'train'", "not a flag")),
            )
        ),
    ],
)
def test_a_wrong_command_gets_one_line(arguments, status, words):
    done = jaxseg(*arguments)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


FAILING = """
import sys, jax
from absl import app
from jaxseg import main
from jaxseg.cli import command_line
def fail(mode):
    raise jax.errors.JaxRuntimeError(sys.argv.pop())
main.run = fail
sys.argv.insert(1, "--mode=train")
app.run(main.main, flags_parser=lambda a: command_line.parse(a[:-1]))
"""


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ("RESOURCE_EXHAUSTED: Out of memory", 1, "jaxseg: out of memory ("),
        ("INTERNAL: no kernel image is available", 1, "Traceback"),
    ],
)
def test_a_lack_of_memory_gets_one_line_and_other_faults_their_traceback(said, status, words):
    done = subprocess.run(
        [sys.executable, "-c", FAILING, said], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == status
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == (words == "Traceback")
