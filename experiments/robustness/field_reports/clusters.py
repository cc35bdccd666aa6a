"""Foreign connections to the heartbeat's port, and names that a cluster could misinterpret."""

import os
import pathlib
import re
import socket
import time

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg.runtime import heartbeat

_IDLE = 200


class _Store:
    """A key-value store within this process, in place of the one shared by processes."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def key_value_set(self, key: str, value: str) -> None:
        self.values[key] = value

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        return self.values[key]

    def key_value_delete(self, key: str) -> None:
        del self.values[key]


def _watch(index: int, store: _Store) -> heartbeat.Watch:
    return heartbeat.Watch(
        index, 2, "127.0.0.1", store, timeout=60.0, last_good=lambda: "no checkpoint was saved"
    )


def _listening(store: _Store) -> int:
    """The port of process 0."""
    return int(re.findall(r"(?<![\d.])\d{4,5}(?![\d.])", store.values["jaxseg/heartbeat"])[0])


def _until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def _idle(folder: pathlib.Path) -> Seen:
    store = _Store()
    before = len(os.listdir("/proc/self/fd"))
    with _watch(0, store):
        port = _listening(store)
        idle = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(_IDLE)]
        with _watch(1, store):
            joined = _until(lambda: not store.values)
        time.sleep(0.2)
        held = len(os.listdir("/proc/self/fd")) - before - _IDLE
        for one in idle:
            one.close()
    return situation.right(joined and held < 70, f"process 1 joins; {held} of {_IDLE} are held")


def _after(folder: pathlib.Path) -> Seen:
    store = _Store()
    with _watch(0, store):
        port = _listening(store)
        with _watch(1, store):
            situation.check(_until(lambda: not store.values), "process 1 does not join")
            time.sleep(0.2)
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
            except ConnectionRefusedError:
                return situation.right(True, "nothing listens any more")
    raise situation.Fault("it still listens")


def _interfaces(folder: pathlib.Path) -> Seen:
    store = _Store()
    with _watch(0, store):
        port = _listening(store)
        listing = (
            pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
        )
        found = re.findall(rf" ([0-9A-F]+):{port:04X} \S+ 0A ", listing)
    return situation.right(found == ["0100007F"], f"listens on {', '.join(found)}")


_PEERS = "tests/runtime/test_heartbeat.py::test_strangers_neither_join_nor_stop_the_watch"
_SLURM = "tests/launch/test_slurm.py::"
SITUATIONS = (
    Situation(
        "J",
        f"{_IDLE} idle connections to the watch",
        "204 connections were held",
        _PEERS,
        _idle,
    ),
    Situation(
        "J", "a connection after all processes have joined", "it still listened", _PEERS, _after
    ),
    Situation(
        "J",
        "the interfaces that the watch listens on",
        "every interface",
        "tests/runtime/test_heartbeat.py::test_it_listens_on_the_address_that_the_others_use",
        _interfaces,
    ),
    Situation(
        "J",
        "a line break in the name of a run, in a SLURM array",
        "submitted, with three lines for two runs",
        _SLURM + "test_a_name_that_would_shift_the_list_is_refused",
        situation.passing(_SLURM + "test_a_name_that_would_shift_the_list_is_refused"),
    ),
    Situation(
        "J",
        "%j in the path of a sweep, which SLURM fills in",
        "passed on as %j",
        _SLURM + "test_odd_names_stay_one_line_each",
        situation.passing(_SLURM + "test_odd_names_stay_one_line_each"),
    ),
    Situation(
        "J",
        "a Unicode line separator in the name of a run, in a SLURM array",
        "element 2 was taken for element 1",
        _SLURM + "test_odd_names_stay_one_line_each",
        situation.passing(_SLURM + "test_odd_names_stay_one_line_each"),
    ),
    Situation(
        "J",
        "$(HOME) in the name of a run, which Kubernetes fills in",
        "/root was run",
        "tests/launch/test_gke.py::test_each_index_runs_its_own_task",
        situation.passing("tests/launch/test_gke.py::test_each_index_runs_its_own_task"),
    ),
)
