"""A small part of experiments/fuzz.py: each case ends in a result or in one clear line."""

import json
import subprocess
import sys

import pytest

from experiments.fuzzing import fuzz, outcome
from tests.conftest import ROOT


@pytest.mark.parametrize(("kind", "cases"), [("experiments", 60), ("files", 200), ("photos", 100)])
def test_no_case_is_a_fault(tmp_path, monkeypatch, kind, cases):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    found = fuzz.run(kind, cases, 0, tmp_path).to_json()
    assert found["faults"] == []
    assert set(found["outcomes"]) == {"result", "refused"}
    assert found["cases"] == cases
    assert len(found["refusals"]) > 3


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
        "case": "told", "where": "", "error": "ValueError: of numpy, say", "times": 1,
    }  # fmt: skip


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
    command = [sys.executable, "-m", "experiments.fuzz", "--cases=100", f"--output={output}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert {kind: part["cases"] for kind, part in found.items()} == {
        "experiments": 10,
        "files": 70,
        "photos": 20,
    }
