"""Processes of one run that were started with different flags."""

import pathlib
import socket
import subprocess
import sys

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.identity import prepared
from experiments.robustness.field_reports.situation import Seen, Situation


def _other_processes(folder: pathlib.Path, *own: tuple[str, ...]) -> Seen:
    """Two processes of one run, each with its own flags; both must end with one line."""
    prepared("shapes", folder / "data", "--shapes_size=32", "--shapes_train=4", "--shapes_val=2")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    shared = (
        *("-m", "jaxseg.main", "--config=experiments/quickstart.py", f"--workdir={folder / 'run'}"),
        *(f"--config.data.data_dir={folder / 'data'}", f"--coordinator=127.0.0.1:{port}"),
        "--processes=2",
    )
    both = [
        subprocess.Popen(
            [sys.executable, *shared, f"--process={i}", *flags_of_one],
            cwd=situation.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, flags_of_one in enumerate(own)
    ]
    ended = []
    for process in both:
        out, err = process.communicate(timeout=120)
        ended.append(situation.Ended(process.returncode, out, err))
    situation.check(not (folder / "run" / "checkpoints").exists(), "they trained together")
    words = ("in process 1, optim.learning_rate is 0.5, elsewhere 0.002", "same command")
    return [situation.clear_line(one, *words) for one in ended][1]


SITUATIONS = (
    Situation(
        "J",
        "two processes of one run with other learning rates",
        "they trained together, exit 0",
        "tests/workdir/test_same_start.py::test_two_processes_with_other_flags_or_data_do_not_train",
        lambda folder: _other_processes(
            folder, ("--config.optim.learning_rate=0.002",), ("--config.optim.learning_rate=0.5",)
        ),
    ),
)
