"""One run per folder: the lock, the end of its owner, and file systems without locks."""

import errno
import fcntl
import logging
import signal
import subprocess
import sys

import pytest

from jaxseg.workdir import lock
from tests.conftest import ROOT

CODE = (
    "import sys, pathlib; from jaxseg.workdir import lock\n"
    "try:\n"
    "  with lock.lock(pathlib.Path(sys.argv[1])):\n"
    "    print('taken', flush=True)\n"
    "    sys.stdin.read()\n"
    "except ValueError as error: print(error, flush=True)"
)


def other(folder):
    """Another process that takes the lock and holds it until its input ends; its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline()


def said_by_other(folder):
    process, line = other(folder)
    process.communicate(timeout=60)
    return line


def test_a_second_run_in_a_folder_is_refused_by_name(tmp_path):
    with lock.lock(tmp_path):
        message = said_by_other(tmp_path)
        assert "in use by process" in message
        assert "--workdir" in message
    assert said_by_other(tmp_path) == "taken\n"


def test_a_killed_owner_is_no_obstacle(tmp_path):
    process, line = other(tmp_path)
    assert line == "taken\n"
    with (
        pytest.raises(ValueError, match=f"in use by process {process.pid} on "),
        lock.lock(tmp_path),
    ):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert (tmp_path / ".lock").read_text().startswith(f"process {process.pid} on ")
    with lock.lock(tmp_path):
        assert "in use by process" in said_by_other(tmp_path)


def test_where_nothing_can_be_locked_a_warning_says_so(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), lock.lock(tmp_path):
        (record,) = caplog.records
    assert f"{tmp_path} cannot be locked" in record.getMessage()


def test_a_file_is_not_a_run_folder(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    with (
        pytest.raises(ValueError, match=r"notes.txt cannot be a run folder: it is a file"),
        lock.lock(file),
    ):
        pass
