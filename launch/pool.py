"""Runs processes on this machine, a few at a time, with one progress line and retries.

Each gets its share of the cores, or one GPU. To stop, processes receive SIGTERM, save their state
and end with 75; the same command resumes them later.
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
    folder: pathlib.Path  # progress is read from its metrics.jsonl; the output goes to its log.txt
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
      jobs: how many run at the same time.
      retries: how often a failed task is restarted.
      gpus: number of GPUs of this machine; if there are any, each slot gets its own.
    """

    def __init__(self, jobs: int, retries: int, gpus: int = 0) -> None:
        if jobs < 1 or (gpus and jobs > gpus):
            most = f"1 to {gpus}, the GPUs of this machine" if gpus else "at least 1"
            raise ValueError(f"--jobs={jobs} must be {most}")
        self._jobs, self._retries, self._gpus = jobs, retries, gpus
        self._stopping = False

    def run(self, tasks: Sequence[Task]) -> list[str]:
        """Runs all tasks; returns the names of those that failed in every attempt.

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
                start_new_session=True,  # Ctrl-C reaches only this process, which passes it on
            )


def gpus() -> int:
    """The number of GPUs that nvidia-smi lists; 0 without nvidia-smi."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    return sum(line.startswith("GPU ") for line in found.stdout.splitlines())


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def last_line(task: Task) -> str:
    """The last line of a task's output, preferably one of jaxseg's own, and the path of the log."""
    lines = (task.folder / "log.txt").read_text(errors="replace").strip().splitlines()
    said = [line for line in lines if line.startswith("jaxseg:")] or lines or ["no output"]
    return f"{said[-1]} ({task.folder / 'log.txt'})"


def step_of(task: Task) -> int:
    """The last step that a task has logged."""
    lines = log.read_lines(task.folder / "metrics.jsonl")
    return max((line["step"] for line in lines if line["kind"] == "train"), default=0)


class Line:
    """One progress line for all tasks, counted in training steps."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = len(tasks)
        self._steps = {task.name: step_of(task) for task in tasks}
        self._shown = sum(self._steps.values())
        self._done = 0
        total = sum(task.steps for task in tasks)
        self._bar = Progress(total, f"0/{len(tasks)} jobs", unit="step", done=self._shown)
        self.say, self.close = self._bar.say, self._bar.close

    def finished(self, task: Task) -> None:
        """Records that a task has succeeded."""
        self._done += 1
        self._steps[task.name] = task.steps

    def show(self, running: Sequence[Task], failed: int) -> None:
        """Shows the progress of all tasks."""
        self._steps |= {task.name: step_of(task) for task in running}
        done = sum(self._steps.values())
        self._bar.rename(
            f"{self._done}/{self._tasks} jobs" + (f", {failed} failed" if failed else "")
        )
        self._bar.advance(done - self._shown)
        self._shown = done
        self._bar.note(", ".join(task.name for task in running))
