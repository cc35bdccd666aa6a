"""What a user sees of a wrong command: one line that names the flag, and an exit status."""

import subprocess
import sys

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from jaxseg import main
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
        ((QUICKSTART, "--config.train.steps=many"), 2, ("train.steps", "many")),
        ((QUICKSTART, "--config.model.backbone.rate=2"), 2, ("model.backbone.rate",)),
        (("--config=experiments/none.py",), 2, ("experiments/none.py",)),
        ((QUICKSTART, "--mode=fly"), 2, ("mode", "fly")),
        ((QUICKSTART,), 1, ("--workdir",)),
        (("--mode=evaluate", "--workdir=/nowhere"), 1, ("/nowhere/config.json", "--config")),
        ((QUICKSTART, "train"), 2, ("'train'", "not a flag")),
    ],
)
def test_a_wrong_command_gets_one_line(arguments, status, words):
    done = jaxseg(*arguments)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("mode", "field"), [("train", "data.batch_size"), ("evaluate", "eval.batch_size")]
)
@pytest.mark.parametrize(
    "said",
    [
        "RESOURCE_EXHAUSTED: Out of memory allocating 3023656977248 bytes.",
        "INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "Ran out of memory in memory space hbm. Used 20.1G of 15.7G hbm.",
    ],
)
def test_a_lack_of_memory_gets_one_line_with_what_to_lower(monkeypatch, capsys, mode, field, said):
    def fail(mode):
        raise jax.errors.JaxRuntimeError(said + "\nand a page of buffers")

    monkeypatch.setattr(main, "run", fail)
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(mode=mode, traceback=False):
        assert main.main(["jaxseg"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"jaxseg: the memory is too small ({said})")
    assert f"--config.{field}" in error.splitlines()[0]


def test_another_fault_of_the_device_keeps_its_traceback(monkeypatch):
    def fail(mode):
        raise jax.errors.JaxRuntimeError("INTERNAL: no kernel image is available")

    monkeypatch.setattr(main, "run", fail)
    flags.FLAGS.mark_as_parsed()
    with pytest.raises(jax.errors.JaxRuntimeError):
        main.main(["jaxseg"])
