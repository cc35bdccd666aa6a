"""Runs processes on this machine, a few at a time, with one progress line and retries.

Each gets its share of the cores, or one GPU. Whoever is told to stop is told by SIGTERM, saves what
it has and ends with 75; the same command goes on later.
"""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from collections.abc import Sequence

from jaxseg import whole_file
from jaxseg.progress import Progress
from jaxseg.train import STOPPED
from jaxseg.workdir import log

_SECONDS_BETWEEN_LOOKS = 0.5


@dataclasses.dataclass(frozen=True)
class Task:
    """One process to be run."""

    name: str
    folder: pathlib.Path  # its metrics.jsonl tells how far it is; its output goes to log.txt there
    command: tuple[str, ...]
    steps: int


@dataclasses.dataclass
class _Running:
    task: Task
    process: subprocess.Popen
    slot: int
    step: int = 0


class Pool:
    """Runs tasks, at most `jobs` at a time.

    Args:
      jobs: how many run beside each other.
      retries: how often a task that fails is started again.
      gpus: of this machine; with some, each slot has one to itself.
    """

    def __init__(self, jobs: int, retries: int, gpus: int = 0) -> None:
        if jobs < 1 or (gpus and jobs > gpus):
            most = f"1 to {gpus}, the GPUs of this machine" if gpus else "at least 1"
            raise ValueError(f"--jobs={jobs} must be {most}")
        self._jobs, self._retries, self._gpus = jobs, retries, gpus
        self._stopping = False

    def run(self, tasks: Sequence[Task]) -> list[str]:
        """Runs all; returns the names of those that failed as often as they were tried.

        Raises:
          SystemExit: with 75, when a signal asked for a stop and all processes have ended.
        """
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            return self._run(list(tasks))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run(self, waiting: list[Task]) -> list[str]:
        tries = {task.name: 0 for task in waiting}
        failed: list[str] = []
        running: list[_Running] = []
        line = Line(waiting)
        while running or (waiting and not self._stopping):
            while waiting and len(running) < self._jobs and not self._stopping:
                task = waiting.pop(0)
                tries[task.name] += 1
                slot = min(set(range(self._jobs)) - {other.slot for other in running})
                running.append(_Running(task, self._start(task, slot), slot))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            for one in list(running):
                status = one.process.poll()
                if status is None:
                    continue
                running.remove(one)
                if status == 0:
                    line.finished(one.task)
                elif self._stopping:
                    continue
                elif status == STOPPED or tries[one.task.name] <= self._retries:
                    line.say(f"{one.task.name} ended with {status}; started again")
                    waiting.append(one.task)
                else:
                    line.say(f"{one.task.name} failed ({status}): {last_line(one.task)}")
                    failed.append(one.task.name)
            line.show([one.task for one in running], len(failed))
            if self._stopping:
                for one in running:
                    one.process.send_signal(signal.SIGTERM)
                    one.process.wait()
        line.close()
        if self._stopping:
            print("stopped by a signal, all saved; the same command resumes it", file=sys.stderr)
            sys.exit(STOPPED)
        return failed

    def _stop(self, number: int, frame: types.FrameType | None) -> None:
        self._stopping = True

    def _start(self, task: Task, slot: int) -> subprocess.Popen:
        task.folder.mkdir(parents=True, exist_ok=True)
        command = [*task.command, f"--parent={os.getpid()}"]
        environment = dict(os.environ)
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot)
        elif self._jobs > 1:
            cores = sorted(os.sched_getaffinity(0))
            share = cores[slot % len(cores) :: self._jobs]
            command.append(f"--cores={','.join(map(str, share))}")
        with whole_file.appending(task.folder / "log.txt") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C comes to this process, which passes it on
            )


def gpus() -> int:
    """How many GPUs this machine has, as nvidia-smi lists them; 0 without it."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    return sum(line.startswith("GPU ") for line in found.stdout.splitlines())


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def last_line(task: Task) -> str:
    """What a task has said last, jaxseg's own lines first, and where the rest is."""
    lines = (task.folder / "log.txt").read_text(errors="replace").strip().splitlines()
    said = [line for line in lines if line.startswith("jaxseg:")] or lines or ["no output"]
    return f"{said[-1]} ({task.folder / 'log.txt'})"


def step_of(task: Task) -> int:
    """The last step that a task has logged."""
    lines = log.read_lines(task.folder / "metrics.jsonl")
    return max((line["step"] for line in lines if line["kind"] == "train"), default=0)


class Line:
    """One line of progress for all tasks, counted in steps of training."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = len(tasks)
        self._steps = {task.name: step_of(task) for task in tasks}
        self._shown = sum(self._steps.values())
        self._done = 0
        total = sum(task.steps for task in tasks)
        self._bar = Progress(total, f"0/{len(tasks)} jobs", unit="step", done=self._shown)
        self.say, self.close = self._bar.say, self._bar.close

    def finished(self, task: Task) -> None:
        """A task has ended well."""
        self._done += 1
        self._steps[task.name] = task.steps

    def show(self, running: Sequence[Task], failed: int) -> None:
        """How far all are."""
        self._steps |= {task.name: step_of(task) for task in running}
        done = sum(self._steps.values())
        self._bar.rename(
            f"{self._done}/{self._tasks} jobs" + (f", {failed} failed" if failed else "")
        )
        self._bar.advance(done - self._shown)
        self._shown = done
        self._bar.note(", ".join(task.name for task in running))
