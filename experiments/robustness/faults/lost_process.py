"""One of two processes is killed: the other ends, and both start again."""

import signal
import socket
import time
from typing import Any

from experiments.robustness.faults import ends, process
from experiments.robustness.faults.process import Place

_PROCESSES = 2


def _commands(place: Place, name: str) -> list[list[str]]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [
        place.training(
            place.folder / name,
            f"--coordinator=localhost:{port}",
            f"--processes={_PROCESSES}",
            f"--process={index}",
        )
        for index in range(_PROCESSES)
    ]


def _case(place: Place, victim: int) -> dict[str, Any]:
    name = f"peer{victim}"
    folder = place.folder / name
    both = [process.start(command) for command in _commands(place, name)]
    process.wait_until(both[0], lambda: bool(ends.steps(folder)))
    both[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    ended = process.finish(both[1 - victim], place)
    seconds = time.monotonic() - killed
    both[victim].communicate()
    good = max(ends.steps(folder), default=0)
    both = [process.start(command) for command in _commands(place, name)]
    again = [process.finish(one, place) for one in both]
    return {
        "passed": both[victim].returncode is not None
        and ended.status == 1
        and len(ended.errors) == 1
        and not [one for one in again if one.status]
        and ends.last_logged(folder) == ends.steps(folder)[-1],
        "killed": f"process {victim} of {_PROCESSES}",
        "seconds_until_the_other_ended": round(seconds, 1),
        "status": ended.status,
        "said": ended.errors,
        "good_checkpoint": good,
        "then_again": {
            "statuses": [one.status for one in again],
            "last_step": max(ends.steps(folder), default=0),
            "said": [line for one in again for line in one.errors],
        },
    }


def drill(place: Place) -> dict[str, Any]:
    """Kills the main process, then the other."""
    cases = {f"process {victim}": _case(place, victim) for victim in range(_PROCESSES)}
    return {"passed": all(case["passed"] for case in cases.values()), "cases": cases}
