"""Which Python launch/environment.sh takes; small scripts stand in for the interpreters."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SHIM = 'echo "pyenv: $(basename "$0"): command not found" >&2; exit 127'
STUB = "exit 0"  # opens an app store and ends well
OLD = "echo False"
REAL = "echo True"


def found(tmp_path, pythons, function="_find_python", **environment):
    for name, says in pythons.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{says}\n")
        path.chmod(0o755)
    (tmp_path / "none").mkdir(exist_ok=True)
    done = subprocess.run(
        ["/bin/bash", "-c", f". launch/environment.sh; {function}"],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path / "none")} | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize(
    ("pythons", "expected"),
    [
        ({"python3.14": REAL, "python3.11": REAL}, "python3.14"),
        ({"python3.14": SHIM, "python3.13": STUB, "python3.12": REAL}, "python3.12"),
        ({"python3.13": SHIM, "python3.12": SHIM, "python3.11": REAL}, "python3.11"),
        ({"python3.13": STUB, "python3": OLD, "python": REAL}, "python"),
    ],
)
def test_the_newest_that_runs_is_taken(tmp_path, pythons, expected):
    assert found(tmp_path, pythons) == (0, expected, "")


def test_a_named_one_comes_first_and_none_is_said(tmp_path):
    pythons = {"python3.14": REAL, "mine": REAL, "python3": OLD}
    assert found(tmp_path, pythons, JAXSEG_PYTHON="mine")[1] == "mine"
    status, said, error = found(tmp_path, dict.fromkeys(pythons, STUB), JAXSEG_PYTHON="mine")
    assert (status, said) == (1, "")
    assert "name one with JAXSEG_PYTHON=" in error


def test_the_newest_may_be_one_that_pyenv_keeps(tmp_path):
    kept = "versions/3.13.0/bin/python"
    pythons = {"python3.14": SHIM, "python3.13": SHIM, "python3.12": REAL, kept: REAL}
    root = {"PYENV_ROOT": str(tmp_path)}
    assert found(tmp_path, pythons, "newest_python", **root)[1] == str(tmp_path / kept)
    assert found(tmp_path, {"python3.12": SHIM}, "newest_python")[0] == 1


def test_this_interpreter_is_taken_for_what_it_is(tmp_path):
    assert found(tmp_path, {}, JAXSEG_PYTHON=sys.executable)[1] == sys.executable


@pytest.mark.parametrize("name", ["base", "cpu", "dev", "docs", "notebook"])
def test_every_requirement_is_pinned(name):
    """If this fails: the head of requirements/constraints.txt says how it is written."""
    pinned = {line.partition("==")[0] for line in _lines("constraints")}
    names = [re.split(r"[<>=;\[ ]", line)[0] for line in _lines(name) if not line.startswith("-r")]
    assert [n for n in names if n.lower().replace("_", "-") not in pinned] == []


def _lines(name: str) -> list[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]
