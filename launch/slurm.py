"""Runs the trainings of a sweep as one SLURM array, which the same command finds again.

SLURM keeps all the state. The list of folders is a file named after the hash of its contents, and
the name of the array contains that hash. After an interruption, the same command therefore finds
the elements that are still queued or running, waits for them, and submits only what is missing.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Sequence

from experiments.ablation import job_folder
from jaxseg import whole_file
from jaxseg.errors import counted
from jaxseg.train import STOPPED
from launch import pool

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_OF_FILES = 60.0  # delay until files of another node are visible here, due to NFS caches
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LISTING = re.compile(r"slurm-[0-9a-f]{10}\.txt")
_ELEMENT = re.compile(
    r"(?P<number>\d+_(?P<index>\d+))\|(?P<name>[^|]*)\|(?P<state>[^|]*)\|(?P<reason>.*)"
)


@dataclasses.dataclass(frozen=True)
class _Element:
    """The state of an unfinished array element, as reported by SLURM."""

    number: str  # "12_3", as scontrol and scancel expect it
    state: str  # PENDING, RUNNING, COMPLETING, ...
    reason: str  # why it is pending


def run(
    tasks: Sequence[pool.Task], jobs: int, options: Sequence[str], retries: int = 0
) -> list[str]:
    """Submits tasks that SLURM does not have yet, waits for all, and resubmits failed ones.

    Args:
      tasks: their folders, all in one folder, hold the job.json of launch.job.
      jobs: number of array elements that run at the same time.
      options: additional options for sbatch, which override those of launch/slurm.sh.
      retries: how often a failed task is resubmitted; cancelled tasks are not.

    Returns:
      The names of the tasks that ended without a complete outcome.

    Raises:
      ValueError: SLURM is not available, or refuses the array.
      SystemExit: with 75, after a signal; SLURM continues with the array.
    """
    failed = _once(tasks, jobs, options)
    for _ in range(retries):
        again = [task for task in tasks if failed.get(task.name)]
        if not again:
            break
        for task in again:
            del failed[task.name]
        failed |= _once(again, jobs, options)
    return list(failed)


def _once(tasks: Sequence[pool.Task], jobs: int, options: Sequence[str]) -> dict[str, bool]:
    """Like `run`, without retries: the failed tasks, and whether each may be resubmitted."""
    sweep = tasks[0].folder.absolute().parent
    there = _live(sweep)
    if there is None:
        raise ValueError("squeue does not answer, so it is unknown what is already running")
    missing = [task for task in tasks if str(task.folder.absolute()) not in there]
    if missing:
        array = _submit(sweep, missing, jobs, options)
        found = f", {counted(len(there), 'job')} in the queue before" if there else ""
        _say(f"array {array} of {counted(len(missing), 'job')} is submitted{found}")
    else:
        _say(f"all {len(tasks)} jobs are in the queue already")
    return _Wait(sweep, tasks).run()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    """Runs a SLURM command, shielded from Ctrl-C.

    Raises:
      ValueError: it is not installed.
    """
    try:
        return subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, start_new_session=True
        )
    except FileNotFoundError:
        raise ValueError(
            f"{command[0]} is not on PATH: start the sweep where jobs are submitted to SLURM, "
            "or with --backend=local"
        ) from None


def _submit(
    sweep: pathlib.Path, tasks: Sequence[pool.Task], jobs: int, options: Sequence[str]
) -> str:
    """Submits the array; returns its job number."""
    folders = [_listed(task.folder.absolute()) for task in tasks]
    content = b"".join(os.fsencode(folder) + b"\n" for folder in folders)
    listing = sweep / f"slurm-{hashlib.sha256(content).hexdigest()[:10]}.txt"
    whole_file.write_bytes(listing, content)
    done = _slurm(
        "sbatch",
        "--parsable",
        f"--array=0-{len(tasks) - 1}%{jobs}",
        f"--job-name={_name(listing)}",
        f"--output={str(sweep / 'slurm.log').replace('%', '%%')}",  # or SLURM would expand %j
        *options,
        "launch/slurm.sh",
        f"--folders={listing}",
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ends with {done.returncode}"]
        raise ValueError(f"sbatch {' '.join(options)}: {lines[-1].removeprefix('sbatch: error: ')}")
    return done.stdout.strip().partition(";")[0]


def _listed(folder: pathlib.Path) -> str:
    """A folder as a line of the list.

    Raises:
      ValueError: the name would shift the lines, or has a meaning to SLURM.
    """
    text = str(folder)
    if "\n" in text or "\r" in text or "\\" in text:
        raise ValueError(
            f"{text!r} has a line break or a backslash in its name, and the list for SLURM has one "
            "folder a line: choose another --workdir"
        )
    return text


def _name(listing: pathlib.Path) -> str:
    return f"jaxseg-{listing.stem}"


def _live(sweep: pathlib.Path) -> dict[str, _Element] | None:
    """Run folder -> its element, over all arrays of a sweep; None if SLURM does not answer."""
    lists = {
        _name(path): os.fsdecode(path.read_bytes()).split("\n")[:-1]
        for path in sweep.glob("slurm-*.txt")
        if _LISTING.fullmatch(path.name)
    }
    if not lists:
        return {}
    form = "%i|%j|%T|%r"
    done = _slurm(
        "squeue", "--noheader", "--array", f"--name={','.join(lists)}", f"--format={form}"
    )
    if done.returncode:
        return None
    elements = {}
    for line in done.stdout.splitlines():
        found = _ELEMENT.fullmatch(line.strip())
        folders = lists.get(found["name"], []) if found else []
        if found is None or int(found["index"]) >= len(folders):
            continue  # another user's array with the same name
        number, state, reason = found["number"], found["state"], found["reason"]
        elements[folders[int(found["index"])]] = _Element(number, state, reason)
    return elements


def _not_cancelled(number: str) -> bool:
    """Whether SLURM reports that an element which has left the queue ended by itself.

    SLURM keeps this record for some minutes. An element cancelled before it started leaves none.
    """
    found = _slurm("scontrol", "show", "job", number, "--oneliner").stdout
    return "JobState=" in found and "JobState=CANCELLED" not in found


class _Wait:
    """Polls the queue and the run folders until all tasks have ended."""

    def __init__(self, sweep: pathlib.Path, tasks: Sequence[pool.Task]) -> None:
        self._sweep = sweep
        self._waiting = {str(task.folder.absolute()): task for task in tasks}
        self._numbers: dict[str, str] = {}  # of the elements, as last seen
        self._gone: dict[str, float] = {}  # time at which it left the queue
        self._failed: dict[str, bool] = {}  # whether it may be resubmitted
        self._told: set[str] = set()
        self._stopping = False

    def run(self) -> dict[str, bool]:
        """Returns the names of the failed tasks, and whether each may be resubmitted."""
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        line = pool.Line(list(self._waiting.values()))
        try:
            while self._waiting:
                there = _live(self._sweep)
                if there is None:
                    self._once(line, "squeue does not answer; still waiting")
                else:
                    self._look(line, there)
                until = time.monotonic() + _SECONDS_BETWEEN_LOOKS
                while self._waiting and not self._stopping and time.monotonic() < until:
                    time.sleep(min(0.2, _SECONDS_BETWEEN_LOOKS))
                if self._stopping:
                    self._leave(line, there or {})
        finally:
            line.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._failed

    def _stop(self, number: int, frame: types.FrameType | None) -> None:
        self._stopping = True

    def _once(self, line: pool.Line, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            line.say(text)

    def _look(self, line: pool.Line, there: dict[str, _Element]) -> None:
        running = []
        for folder, task in list(self._waiting.items()):
            element = there.get(folder)
            if element is not None:
                self._gone.pop(folder, None)
                self._numbers[folder] = element.number
                if element.state != "PENDING":
                    running.append(task)
                elif "held" in element.reason.lower():
                    self._once(
                        line,
                        f"{task.name} is held ({element.reason}): scontrol release "
                        f"{element.number} lets it run, scancel {element.number} gives it up",
                    )
            elif job_folder.is_done(task.folder):
                del self._waiting[folder]
                line.finished(task)
            elif time.monotonic() - self._gone.setdefault(folder, time.monotonic()) >= (
                _SECONDS_OF_FILES
            ):
                del self._waiting[folder]
                seen = self._numbers.get(folder)
                again = seen is None or _not_cancelled(seen)
                self._failed[task.name] = again
                how = "failed" if again else "was cancelled, or SLURM has forgotten it"
                line.say(f"{task.name} {how}: {self._reason(task)}")
        line.show(running, len(self._failed))

    def _reason(self, task: pool.Task) -> str:
        if (task.folder / "log.txt").is_file():
            return pool.last_line(task)
        return f"it did not start; see {self._sweep / 'slurm.log'}"

    def _leave(self, line: pool.Line, there: dict[str, _Element]) -> None:
        arrays = sorted({element.number.partition("_")[0] for element in there.values()})
        ending = f"; scancel {' '.join(arrays)} ends them" if arrays else ""
        line.say(
            f"stopped waiting; SLURM goes on with {counted(len(there), 'job')}. The same command "
            f"waits for them again{ending}"
        )
        sys.exit(STOPPED)
