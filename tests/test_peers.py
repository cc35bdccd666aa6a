"""How a run of several processes ends when one of them does; without JAX's own means."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from jaxseg import peers
from tests.conftest import ROOT
from tests.programs.peers import Files

COUNT = 3
LIMIT = 3.0  # seconds; a busy machine has to wake a thread within them


def start(folder, process, timeout=100.0):
    settings = {"folder": str(folder), "process": process, "processes": COUNT, "timeout": timeout}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "programs" / "peers.py"), json.dumps(settings)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def trio(tmp_path, request):
    (tmp_path / "checkpoints" / "40").mkdir(parents=True)
    (tmp_path / "checkpoints" / "9").mkdir()
    (tmp_path / "checkpoints" / "60.orbax-checkpoint-tmp").mkdir()
    processes = [start(tmp_path, i, getattr(request, "param", 100.0)) for i in range(COUNT)]
    assert [p.stdout.readline() for p in processes] == ["joined\n"] * COUNT
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def end_of(process):
    status = process.wait(60)
    return status, process.stderr.read().strip().splitlines()[-1]


def assert_told(process, reason, folder):
    status, line = end_of(process)
    assert status == 1
    good = f"the last good checkpoint is {folder}/checkpoints/40"
    assert line.startswith(f"jaxseg: {reason}; {good}. The same command")


@pytest.mark.parametrize("dead", [0, 1])
def test_the_death_of_a_process_ends_the_others_with_its_name(trio, tmp_path, dead):
    """Of process 0, to which all others hold on, and of one that only process 0 sees."""
    trio[dead].kill()
    for process in trio[:dead] + trio[dead + 1 :]:
        reason = f"process {dead} of 3 has died (it was killed, or is out of memory)"
        assert_told(process, reason, tmp_path)


def test_an_error_of_one_is_the_reason_of_all(trio, tmp_path):
    trio[2].stdin.write("fail\n")
    trio[2].stdin.flush()
    for process in trio[:2]:
        assert_told(process, "process 2 of 3 failed: shard 3 cannot be read", tmp_path)
    status, line = end_of(trio[2])
    assert (status, line) == (1, "be read")  # of its own traceback


def test_those_that_are_done_leave_in_peace(trio):
    """Whoever goes first, and though the last aborts afterwards as it would have."""
    for process in (trio[0], trio[1]):
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    trio[2].communicate("abort\n", timeout=60)
    assert trio[2].returncode == -signal.SIGABRT


@pytest.mark.parametrize("trio", [LIMIT], indirect=True)
def test_a_stopped_process_is_missed(trio, tmp_path):
    trio[1].send_signal(signal.SIGSTOP)
    for process in (trio[0], trio[2]):
        reason = "process 1 of 3 has not been heard of for 3 s (its machine is lost, or it hangs)"
        assert_told(process, reason, tmp_path)


def test_a_run_goes_on_where_process_0_cannot_be_reached(tmp_path, capfd):
    store = Files(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        store.key_value_set("jaxseg/peers", f"{taken.getsockname()[1]} token")
        with peers.Watch(1, 2, "127.0.0.1", store, timeout=1.0, checkpoints=tmp_path):
            pass
    assert "jaxseg: process 0 cannot be reached at 127.0.0.1:" in capfd.readouterr().err


def test_without_a_checkpoint_the_line_says_so(tmp_path):
    assert peers.last_good(tmp_path / "checkpoints") == "no checkpoint was saved"
