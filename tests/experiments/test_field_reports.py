"""The drill of situations: each names its test, stands in the docs, and ends without a fault."""

import os
import subprocess
import sys

import pytest

from experiments.robustness.field_reports import every
from tests.conftest import ROOT

SITUATIONS = every.situations()


def test_each_situation_names_a_test_that_exists():
    for one in SITUATIONS:
        file, _, name = one.test.partition("::")
        text = (ROOT / file).read_text()
        assert f"def {name.partition('[')[0]}(" in text or not name, one.test


def test_each_subject_has_situations_and_each_situation_what_it_was_before():
    assert {one.letter for one in SITUATIONS} == set(every.SUBJECTS)
    assert all(one.before for one in SITUATIONS)
    names = [(one.letter, one.name) for one in SITUATIONS]
    assert len(names) == len(set(names))


def test_the_docs_show_these_situations_and_no_fault():
    page = (ROOT / "docs" / "field_reports.md").read_text()
    for one in SITUATIONS:
        shown = every.cell(one.name) + (f" ({one.source})" if one.source else "")
        assert f"| {shown} | {every.cell(one.before)} | " in page, one.name
    assert "| fault:" not in page
    assert page.count("\n| ") == len(SITUATIONS) + len(every.SUBJECTS)  # a head for each


@pytest.mark.long
@pytest.mark.slow
def test_no_situation_ends_in_a_fault(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.robustness.field_reports",
            f"--workdir={tmp_path / 'new'}",
        ],
        cwd=ROOT,
        env={**os.environ, "TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    faults = [line for line in done.stdout.splitlines() if ": fault: " in line]
    assert done.returncode == 0, "\n".join(faults) or done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == f"{len(SITUATIONS)} situations, 0 faults"
