"""docs/bad_input.md shows the current messages of the commands, one message each."""

import os
import subprocess
import sys

import pytest

from experiments.readme_tables import bad_input, bad_input_cases
from tests.conftest import ROOT


def test_each_command_stands_once_on_the_page():
    """If this fails: python -m experiments.readme_tables.bad_input."""
    text = bad_input.PAGE.read_text()
    for command in bad_input_cases.commands():
        assert text.count(f"$ {command}\n") == 1, command
    assert text.count("\n$ ") == len(list(bad_input_cases.commands()))
    assert "Unknown command line flag" not in text, "the overrides were not read"
    assert "Traceback" not in text


def test_a_message_is_shown_from_its_first_line_and_wrapped():
    said = (
        "step 1\njaxseg: 2 settings cannot be used:\n"
        + "word " * 30
        + "\n(--traceback shows where)"
    )
    lines = bad_input.shown("jaxseg train", 1, said).splitlines()
    assert lines[:2] == ["$ jaxseg train", "jaxseg: 2 settings cannot be used:"]
    assert lines[-1] == "[exit 1]"
    assert max(map(len, lines)) <= 100


@pytest.mark.long
@pytest.mark.slow
def test_the_page_is_what_is_said():
    """In a separate process: it forks, which the threads of this one would not survive."""
    program = "from experiments.readme_tables import bad_input as b; print(b.page(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stdout
    assert done.stdout == bad_input.PAGE.read_text()
