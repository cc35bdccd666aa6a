"""Runs the commands of a drill, and keeps their output without paths and names."""

import contextlib
import dataclasses
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from experiments.robustness.faults import small

ROOT = pathlib.Path(__file__).resolve().parents[3]
_LONGEST = 900.0  # seconds that a command may take before it counts as hanging
_POLL = 0.005  # seconds
# Compile without optimisation, which would take most of the time; the same for all runs.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "PYTHONPATH": str(ROOT),
}


@dataclasses.dataclass(frozen=True)
class Ended:
    """The outcome of a command."""

    status: int
    lines: list[str]  # on stderr, without progress
    seconds: float

    @property
    def errors(self) -> list[str]:
        """The lines that give the reason for its end."""
        return [line for line in self.lines if line.startswith("jaxseg: ")]

    @property
    def one_error(self) -> bool:
        """Whether it ended with one line of error and without a traceback."""
        return (
            self.status == 1
            and len(self.errors) == 1
            and not any("Traceback" in line for line in self.lines)
        )


@dataclasses.dataclass(frozen=True)
class Place:
    """The folder of a drill: data, compilation cache, and runs."""

    folder: pathlib.Path

    @property
    def data(self) -> pathlib.Path:
        """The prepared data set."""
        return self.folder / "data"

    def shard(self, split: str, data: pathlib.Path | None = None) -> pathlib.Path:
        """The file of a split."""
        (file,) = ((data or self.data) / small.DATA).glob(f"*/*-{split}.array_record*")
        return file

    def prepare(self) -> None:
        """Draws the images."""
        program = [sys.executable, "-m", "jaxseg.data.prepare", f"--name={small.DATA}"]
        sizes = ["--shapes_size=64", "--shapes_train=24", "--shapes_val=8"]
        command = [*program, f"--data_dir={self.data}", *sizes]
        subprocess.run(
            command, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True
        )

    def training(
        self,
        run: pathlib.Path,
        *flags: str,
        program: str = "jaxseg.main",
        data: pathlib.Path | None = None,
    ) -> list[str]:
        """The command that trains the small network in a run folder, on `data` or the drill's."""
        return [
            *(sys.executable, "-m", program, "--config=experiments/robustness/faults/small.py"),
            *(f"--workdir={run}", f"--config.data.data_dir={data or self.data}"),
            f"--config.train.compile_cache={self.folder / 'cache'}",
            *flags,
        ]

    def undisturbed(self, steps: int) -> pathlib.Path:
        """A run of the given number of steps without faults, created once."""
        run = self.folder / f"undisturbed{steps}"
        if run.exists():
            return run
        ended = finish(start(self.training(run, f"--config.train.steps={steps}")), self)
        if ended.status:
            raise RuntimeError(f"the undisturbed run has failed: {ended.lines}")
        return run

    def plain(self, text: str) -> str:
        """The text without parts that differ between machines and between starts."""
        text = text.replace(str(self.folder.resolve()), "DRILL").replace(str(self.folder), "DRILL")
        text = re.sub(r"\bprocess \d{2,}", "process N", text.replace(socket.gethostname(), "HOST"))
        text = re.sub(r"(?m)^[IWE]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] ", "", text)
        return re.sub(r"0x[0-9a-f]{8,}", "0x...", text)


def environment() -> dict[str, str]:
    """The environment variables of the commands."""
    return dict(os.environ) | _ENVIRONMENT


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Starts a command in the checkout."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], place: Place) -> Ended:
    """Waits for the end.

    Raises:
      TimeoutExpired: it hangs; it is killed first.
    """
    began = time.monotonic()
    try:
        _, err = process.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    lines = [line.rpartition("\r")[2].strip() for line in place.plain(err).splitlines()]
    lines = [line for line in lines if line and not line.startswith(("evaluate: ", "train: "))]
    return Ended(process.returncode, lines, time.monotonic() - began)


def wait_until(process: subprocess.Popen[str], there: Callable[[], bool]) -> bool:
    """Waits until a condition holds; False if the process ends before."""
    until = time.monotonic() + _LONGEST
    while not there():
        if process.poll() is not None or time.monotonic() > until:
            return False
        time.sleep(_POLL)
    return True


def unfinished(run: pathlib.Path) -> list[str]:
    """The saves in progress, now or when the run was killed."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(p.name for p in (run / "checkpoints").iterdir() if not p.name.isdigit())
    return []
