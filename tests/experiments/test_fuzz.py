"""A small part of experiments.robustness.fuzz: each case ends in a result or in one clear line."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.robustness.fuzz import draw, outcome
from jaxseg import config
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from jaxseg.inference.protocols import check_protocol
from jaxseg.layers.conv import Conv
from jaxseg.layers.norm import Norm, NormLayer
from tests.conftest import ROOT

FEW = {"experiments": 60, "files": 60, "photos": 50, "classes": 60, "runs": 20, "weights": 80}
MANY = {"files": 200, "photos": 100, "classes": 200, "runs": 60, "weights": 300}


@pytest.mark.parametrize(
    ("kind", "cases"),
    [*FEW.items(), *(pytest.param(*case, marks=pytest.mark.slow) for case in MANY.items())],
)
@pytest.mark.usefixtures("unchecked")  # fields of any type are what it draws
def test_no_case_is_a_fault(tmp_path, monkeypatch, kind, cases):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    found = draw.run(kind, cases, 0, tmp_path).to_json()
    assert found["faults"] == []
    assert set(found["outcomes"]) == {"result", "refused"}
    assert found["cases"] == cases
    assert len(found["refusals"]) > 1


def _raise(error):
    raise error


def test_what_counts_as_a_fault():
    """An error of a library, an empty message, another kind of error, a case without end."""
    tally = outcome.Tally()
    for error in (ValueError("of numpy, say"), TypeError("no"), OSError(), KeyError("x")):
        tally.run(lambda error=error: _raise(error), "told", str)
    tally.run(lambda: json.loads("{"), "told", str)
    tally.run(lambda: None, "told", str)
    assert tally.outcomes == {"fault": 5, "result": 1}
    assert tally.faults[0] == {
        "case": "told",
        "where": "",
        "error": "ValueError: of numpy, say",
        "times": 1,
    }


def test_a_case_without_end_is_a_fault(monkeypatch):
    monkeypatch.setattr(outcome, "_LONGEST", 0.5)
    tally = outcome.Tally()

    def forever():
        while True:
            pass

    tally.run(forever, "told", str)
    assert tally.faults[0]["error"] == "Hang: more than 0.5 s"


@pytest.mark.slow
def test_the_command_writes_its_counts(tmp_path):
    output = tmp_path / "fuzz.json"
    command = [
        sys.executable,
        "-m",
        "experiments.robustness.fuzz",
        "--cases=100",
        f"--output={output}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert {kind: part["cases"] for kind, part in found.items()} == {
        "experiments": 6,
        "files": 36,
        "photos": 14,
        "classes": 14,
        "runs": 14,
        "weights": 16,
    }


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda x: NormLayer(Norm("group", groups=0)).init(jax.random.key(0), x, train=False),
            "norm.groups=0",
        ),
        (lambda x: Conv(8, 0).init(jax.random.key(0), x), "a kernel of 0 and 8 features"),
        (lambda x: Conv(-1).init(jax.random.key(0), x), "a kernel of 3 and -1 features"),
        (
            lambda x: Transform((8, 8), Augment(scale_step=1e-12)),
            "scale_step=1e-12 must be 0, or at least",
        ),
        (lambda x: check_protocol(config.Eval(size=(0, 64))), "eval.size=.* two positive numbers"),
        (lambda x: check_protocol(config.Eval(crf="1,2,3,4,5,nan")), "eval.crf=.* six numbers"),
        (lambda x: check_protocol(config.Eval(crf="1,2,3,4,5,inf")), "eval.crf=.* six numbers"),
    ],
)
def test_what_the_fuzz_found_is_refused_by_name(build, says):
    with pytest.raises(ValueError, match=says):
        build(np.zeros((1, 8, 8, 4), np.float32))
