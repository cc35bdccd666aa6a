"""How a run of several processes ends when one of them dies; without JAX's own means."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from jaxseg.runtime import heartbeat, heartbeat_links
from jaxseg.workdir import saved_steps
from tests.conftest import ROOT
from tests.helpers.programs.heartbeat import Files

PROGRAM = ROOT / "tests" / "helpers" / "programs" / "heartbeat.py"
COUNT = 3
LIMIT = 3.0  # seconds; a busy machine has to wake a thread within them


def start(folder, process, timeout=100.0):
    settings = {"folder": str(folder), "process": process, "processes": COUNT, "timeout": timeout}
    return subprocess.Popen(
        [
            sys.executable,
            str(PROGRAM),
            json.dumps(settings),
        ],
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


def test_an_error_of_any_kind_that_a_death_caused_is_named_by_the_death(trio, tmp_path):
    """The kernel stops a process at once; what it leaves undone fails in the others, often first.

    An OSError without a cause, such as a checkpoint that cannot be saved after the death.
    """
    trio[1].stdin.write("fail\n")
    trio[1].stdin.flush()
    assert trio[1].stdout.readline() == "failing\n"
    trio[0].kill()
    assert_told(trio[1], "process 0 of 3 has died (it was killed, or is out of memory)", tmp_path)


def test_an_error_of_one_is_the_reason_of_all(trio, tmp_path):
    trio[2].stdin.write("fail\n")
    trio[2].stdin.flush()
    for process in trio[:2]:
        assert_told(process, "process 2 of 3 failed: shard 3 cannot be read", tmp_path)
    status, line = end_of(trio[2])
    assert (status, line) == (1, "be read")  # of its own traceback


def test_those_that_are_done_leave_in_peace(trio):
    """Whichever process leaves first, even if the last one aborts afterwards."""
    for process in (trio[0], trio[1]):
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    trio[2].communicate("abort\n", timeout=60)
    assert trio[2].returncode == -signal.SIGABRT


@pytest.mark.parametrize("trio", [LIMIT], indirect=True)
def test_a_stopped_process_is_missed(trio, tmp_path):
    trio[1].send_signal(signal.SIGSTOP)
    for process in (trio[0], trio[2]):
        reason = "process 1 of 3 has not been heard from for 3 s (its machine is lost, or it hangs)"
        assert_told(process, reason, tmp_path)


def test_a_run_goes_on_where_process_0_cannot_be_reached(tmp_path, capfd):
    store = Files(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        store.key_value_set("jaxseg/heartbeat", f"127.0.0.1 {taken.getsockname()[1]} secret")
        with heartbeat.Watch(1, 2, "127.0.0.1", store, timeout=1.0, last_good=_none_saved):
            pass
    assert (
        "jaxseg: process 0 cannot be reached at 127.0.0.1 (connection refused)"
        in capfd.readouterr().err
    )


def _is_refused(address):
    try:
        socket.create_connection(address, 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_strangers_neither_join_nor_stop_the_watch(tmp_path, capfd):
    """Two hundred connections that send nothing, and some that send too much or the wrong data."""
    store = Files(tmp_path)
    rest = {"timeout": 30.0, "last_good": _none_saved}
    with heartbeat.Watch(0, 2, "127.0.0.1", store, **rest) as first:
        host, port, _ = store.blocking_key_value_get("jaxseg/heartbeat", 1000).split()
        address = (host, int(port))
        idle = [socket.create_connection(address, 10) for _ in range(200)]
        said = b"\n", b"x" * 10_000, b"1 00\n", b"1 \xff\n", b"done\nprocess 1 failed\n"
        for line in said:
            other = socket.create_connection(address, 10)
            other.sendall(line)
            idle.append(other)
        assert len(first._door._waiting) <= 64 + len(said)
        with heartbeat.Watch(1, 2, "127.0.0.1", store, **rest) as second:
            end = time.monotonic() + 20
            while first._door is not None and time.monotonic() < end:
                time.sleep(0.01)
            assert first._door is None
            assert _is_refused(address)  # nothing listens any more
            assert [link.index for link in first._links] == [1]
            assert second._thread.is_alive()
        assert first._thread.is_alive()
        for one in idle:
            one.settimeout(10)
            with one, contextlib.suppress(ConnectionResetError):
                while one.recv(4096):  # a number that is used once; then it is closed
                    pass
    assert capfd.readouterr().err == ""


def test_a_process_joins_with_the_secret_and_once(tmp_path):
    door = heartbeat_links.Door("127.0.0.1", 3)
    assert door.socket.getsockname()[0] == "127.0.0.1"
    host, port, secret = door.address.split()

    def answer(index, secret):
        with socket.create_connection((host, int(port)), 10) as one:
            link = door.accept()
            number = one.recv(100).decode().strip()
            return door.admit(link, f"{index} {heartbeat_links._code(secret, number, str(index))}")

    assert not answer(1, "0" * 64)
    assert not answer(0, secret)
    assert not answer(3, secret)
    assert not answer("1 ", secret)
    assert answer(1, secret)
    assert not answer(1, secret)
    assert not door.is_done
    assert answer(2, secret)
    assert door.is_done
    door.close()


def test_a_line_without_end_is_given_up():
    one, other = socket.socketpair()
    link = heartbeat_links.Link(one)
    for _ in range(3):
        other.sendall(b"x" * 2000)
        lines = link.lines()
    assert lines is None
    one.close()
    other.close()


def test_it_listens_on_the_address_that_the_others_use():
    assert heartbeat_links._addresses("127.0.0.1")[0] == "127.0.0.1"
    assert heartbeat_links._addresses("localhost")[0] in ("127.0.0.1", "::1")
    assert "0.0.0.0" not in heartbeat_links._addresses(socket.gethostname())
    with heartbeat_links._listener("192.0.2.7", 2) as listener:  # an address of no machine here
        assert listener.getsockname()[0] not in ("0.0.0.0", "::")


@pytest.mark.parametrize(
    ("coordinator", "bound"),
    [
        ("127.0.0.1:9", "127.0.0.1:9"),
        ("localhost:9", "127.0.0.1:9"),
        ("192.0.2.7:9", None),  # not of this machine: JAX listens everywhere, as it does by itself
        ("no-such-host.invalid:9", None),
    ],
)
def test_the_service_of_jax_listens_where_the_others_come_from(coordinator, bound):
    assert heartbeat_links.bind_address(coordinator) == bound


def _none_saved():
    return "no checkpoint was saved"


def test_a_failure_of_the_watch_itself_is_said(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(heartbeat.Watch, "_beat", lambda self: 1 / 0)
    with heartbeat.Watch(
        0, 2, "127.0.0.1", Files(tmp_path), timeout=1.0, last_good=_none_saved
    ) as one:
        one._thread.join(10)
    assert "the heartbeat has failed (ZeroDivisionError" in (capfd.readouterr().err)


def test_without_a_checkpoint_the_line_says_so(tmp_path):
    assert saved_steps.last_good(tmp_path / "checkpoints") == "no checkpoint was saved"
