"""Runs the trainings of a sweep as one SLURM array: submitted once, waited for, found again.

SLURM holds all that has to be remembered. The list of folders is a file named by the hash of what
is in it, and the array bears that hash in its name; so the same command after a stop finds the
elements that are still queued or running and waits for them, and submits only what is missing.
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
_SECONDS_OF_FILES = 60.0  # after which a file of another node is seen here, with NFS's caches
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LISTING = re.compile(r"slurm-[0-9a-f]{10}\.txt")
_ELEMENT = re.compile(
    r"(?P<number>\d+_(?P<index>\d+))\|(?P<name>[^|]*)\|(?P<state>[^|]*)\|(?P<reason>.*)"
)


@dataclasses.dataclass(frozen=True)
class _Element:
    """What SLURM says of an element of an array that has not ended."""

    number: str  # "12_3", as scontrol and scancel take it
    state: str  # PENDING, RUNNING, COMPLETING, ...
    reason: str  # why it is pending


def run(
    tasks: Sequence[pool.Task], jobs: int, options: Sequence[str], retries: int = 0
) -> list[str]:
    """Submits what SLURM does not have yet, waits for all, and submits again what failed.

    Args:
      tasks: their folders, in one folder, hold the job.json of launch.job.
      jobs: elements of the array that run beside each other.
      options: more options for sbatch; one may take the place of an option of launch/slurm.sh.
      retries: how often a task that failed is submitted again; not one that was cancelled.

    Returns:
      The names of the tasks that ended without all that was wanted of them.

    Raises:
      ValueError: SLURM is not there, or refuses the array.
      SystemExit: with 75, after a signal; SLURM goes on with the array.
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
    """As `run`, each once: the tasks that failed, and whether each may be submitted again."""
    sweep = tasks[0].folder.absolute().parent
    there = _live(sweep)
    if there is None:
        raise ValueError("squeue does not answer: SLURM must, to see what is running already")
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
    """Runs a command of SLURM, which a Ctrl-C does not reach.

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
    """Submits the array; returns its number."""
    folders = [_listed(task.folder.absolute()) for task in tasks]
    content = b"".join(os.fsencode(folder) + b"\n" for folder in folders)
    listing = sweep / f"slurm-{hashlib.sha256(content).hexdigest()[:10]}.txt"
    whole_file.write_bytes(listing, content)
    done = _slurm(
        "sbatch",
        "--parsable",
        f"--array=0-{len(tasks) - 1}%{jobs}",
        f"--job-name={_name(listing)}",
        f"--output={str(sweep / 'slurm.log').replace('%', '%%')}",  # else SLURM fills %j in
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
      ValueError: a name that would shift the lines, or that SLURM takes for something else.
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
    """Run folder -> its element, of all arrays of a sweep; None when SLURM does not answer."""
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
            continue  # somebody else's array of the same name
        number, state, reason = found["number"], found["state"], found["reason"]
        elements[folders[int(found["index"])]] = _Element(number, state, reason)
    return elements


def _not_cancelled(number: str) -> bool:
    """Whether SLURM tells of an element that has left the queue that it ended by itself.

    It tells so for some minutes. An element that was cancelled before it started leaves no record.
    """
    found = _slurm("scontrol", "show", "job", number, "--oneliner").stdout
    return "JobState=" in found and "JobState=CANCELLED" not in found


class _Wait:
    """Looks at the queue and at the run folders until all tasks have ended."""

    def __init__(self, sweep: pathlib.Path, tasks: Sequence[pool.Task]) -> None:
        self._sweep = sweep
        self._waiting = {str(task.folder.absolute()): task for task in tasks}
        self._numbers: dict[str, str] = {}  # of the elements, as they were seen last
        self._gone: dict[str, float] = {}  # since when SLURM does not have it any more
        self._failed: dict[str, bool] = {}  # whether it may be submitted again
        self._told: set[str] = set()
        self._stopping = False

    def run(self) -> dict[str, bool]:
        """Returns the names of the failed, and whether each may be submitted again."""
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        line = pool.Line(list(self._waiting.values()))
        try:
            while self._waiting:
                there = _live(self._sweep)
                if there is None:
                    self._once(line, "squeue does not answer; waiting goes on")
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
