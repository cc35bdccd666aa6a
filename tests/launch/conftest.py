"""Fixtures of the tests of launch files."""

import os

import pytest


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The folder in which the mock commands record their calls; they are first on PATH."""
    folder = tmp_path / "told"
    (folder / "bin").mkdir(parents=True)
    monkeypatch.setenv("TOLD", str(folder))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return folder
