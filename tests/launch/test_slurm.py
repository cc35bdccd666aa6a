"""launch/slurm.sh and launch.slurm against commands of SLURM that a test plays; and the proof.

tests/slurm_proof.sh is the proof: it starts a real SLURM. Here SLURM's commands are small scripts
on PATH that note what they are asked, and answer what the test has written for them.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from launch import job_folder, pool, slurm
from tests.conftest import ROOT

NOTE = """#!/bin/sh
{{ printf '%s\\n' "{name}" "$@"; echo --; }} >>"$TOLD/asked"
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The folder in which the played commands keep their notes; they are first on PATH."""
    folder = tmp_path / "told"
    (folder / "bin").mkdir(parents=True)
    monkeypatch.setenv("TOLD", str(folder))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return folder


def play(told, name, script):
    """A command that notes its arguments, then runs `script`."""
    path = told / "bin" / name
    path.write_text(NOTE.format(name=name) + script)
    path.chmod(0o755)


def asked(told, name):
    """The arguments of each call of a command."""
    text = (told / "asked").read_text() if (told / "asked").exists() else ""
    calls = [call.strip("\n").split("\n") for call in text.split("--\n") if call.strip()]
    return [call[1:] for call in calls if call[0] == name]


# launch/slurm.sh


@pytest.fixture
def checkout(tmp_path, told):
    """A root with what launch/slurm.sh needs of it: .venv/bin/python says where it is called."""
    root = tmp_path / "checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "launch").mkdir()
    shutil.copy(ROOT / "launch" / "environment.sh", root / "launch")
    python = root / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "python $* in $PWD"\nexit ${STATUS:-0}\n')
    python.chmod(0o755)
    play(told, "srun", 'echo "devices ${JAX_LOCAL_DEVICE_IDS-unset}"\nshift\nexec "$@"')
    play(told, "squeue", "echo RUNNING")
    play(told, "scontrol", "")
    return root


def batch(checkout, *arguments, **environment):
    """Runs the script as SLURM does: from elsewhere, with SLURM's variables."""
    given = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(checkout), "SLURM_TASKS_PER_NODE": "1"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return subprocess.run(
        ["bash", str(ROOT / "launch" / "slurm.sh"), *arguments],
        cwd=checkout.parent,
        env=clean | given | environment,
        capture_output=True,
        text=True,
    )


def test_the_command_runs_in_the_environment_of_the_checkout(checkout, told):
    done = batch(checkout, "python", "-m", "a module", "--flag=a b")
    assert done.returncode == 0, done.stderr
    assert f"python -m a module --flag=a b in {checkout}" in done.stdout
    (call,) = asked(told, "srun")
    assert call[0] == "--kill-on-bad-exit=1"
    assert asked(told, "scontrol") == []


@pytest.mark.parametrize(
    ("status", "state", "ends", "requeued"),
    [
        ("75", "RUNNING", 75, True),
        ("143", "RUNNING", 143, True),
        ("75", "COMPLETING", 75, False),  # scancel, or SLURM requeues it itself
        ("75", "CANCELLED", 75, False),
        ("1", "RUNNING", 255, False),  # above the 143 of the others, which were ended for it
        ("137", "RUNNING", 255, False),
    ],
)
def test_only_what_a_signal_stopped_is_queued_again(checkout, told, status, state, ends, requeued):
    play(told, "squeue", f"echo {state}")
    done = batch(checkout, "python", "-m", "x", STATUS=status)
    assert done.returncode == ends, done.stderr
    assert asked(told, "scontrol") == [["requeue", "7"]] * requeued


def test_an_element_of_an_array_runs_its_line_and_requeues_only_itself(checkout, told, tmp_path):
    folders = [tmp_path / name for name in ("first", "the second")]
    for folder in folders:
        folder.mkdir()
    (tmp_path / "list.txt").write_text("".join(f"{folder}\n" for folder in folders))
    done = batch(
        checkout,
        f"--folders={tmp_path / 'list.txt'}",
        SLURM_ARRAY_JOB_ID="7",  # also the number of one of its elements
        SLURM_ARRAY_TASK_ID="1",
        STATUS="75",
    )
    assert (done.returncode, done.stdout) == (75, "")
    log = (folders[1] / "log.txt").read_text()
    assert f"python -m launch.job {folders[1]} in {checkout}" in log
    assert "job 7_1 is queued again" in log
    assert asked(told, "squeue")[0][1] == "--jobs=7_1"
    assert asked(told, "scontrol") == [["requeue", "7_1"]]
    assert not (folders[0] / "log.txt").exists()


@pytest.mark.parametrize(
    ("tasks", "gpus", "per_task", "devices"),
    [
        ("1(x2)", "", "", "unset"),
        ("1(x2)", "8", "", "0,1,2,3,4,5,6,7"),  # a process a node
        ("8(x2)", "8", "", "unset"),  # a process a GPU: JAX's own choice
        ("8", "8", "1", "0"),
        ("2,1", "8", "h100:4", "0,1,2,3"),
    ],
)
def test_each_process_has_its_gpus(checkout, tasks, gpus, per_task, devices):
    environment = {"SLURM_TASKS_PER_NODE": tasks}
    environment |= {"SLURM_GPUS_ON_NODE": gpus} if gpus else {}
    environment |= {"SLURM_GPUS_PER_TASK": per_task} if per_task else {}
    done = batch(checkout, "python", **environment)
    assert f"devices {devices}\n" in done.stdout, done.stderr


def test_what_cannot_run_is_refused_in_a_line(checkout, tmp_path):
    (tmp_path / "list.txt").write_text("nowhere\n")
    (tmp_path / "empty").mkdir()
    listed = f"--folders={tmp_path / 'list.txt'}"
    for arguments, environment, text in (
        ([], {}, "no command"),
        (["python"], {"SLURM_JOB_ID": ""}, "is for sbatch"),
        (["python"], {"SLURM_SUBMIT_DIR": str(tmp_path / "empty")}, "is not the root"),
        (["python"], {"SLURM_TASKS_PER_NODE": "2", "SLURM_GPUS_ON_NODE": "8"}, "2 processes and 8"),
        ([listed], {}, "--array=0-N"),
        ([listed], {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "line 1 of"),
    ):
        done = batch(checkout, *arguments, **environment)
        assert done.returncode == 1, text
        assert text in done.stderr
        assert done.stderr.startswith("jaxseg: ")
        assert done.stderr.count("\n") == 1
    shutil.rmtree(checkout / ".venv")
    assert "there is no .venv" in batch(checkout, "python").stderr


# launch.slurm

# A queue that moves by one at each look. `plan` has a line for each look: what is in the queue, as
# INDEX:STATE:REASON, and what ends, as INDEX=done or INDEX=failed. The last line stays.
SQUEUE = f"""exec "{sys.executable}" - "$@" <<'PYTHON'
import json, os, pathlib, sys
told = pathlib.Path(os.environ["TOLD"])
names = [a.partition("=")[2].split(",") for a in sys.argv if a.startswith("--name=")][0]
submitted = [line for line in (told / "submitted").read_text().splitlines()]
plan = (told / "plan").read_text().splitlines()
if len(plan) > 1:
    (told / "plan").write_text("\\n".join(plan[1:]))
for word in plan[0].split():
    if "=" in word:
        index, _, how = word.partition("=")
        folder = pathlib.Path(submitted[int(index)])
        folder.mkdir(exist_ok=True)
        if how == "done":
            wanted = json.loads((folder / "job.json").read_text())
            (folder / "outcome.json").write_text(json.dumps(wanted))
        else:
            (folder / "log.txt").write_text("x\\njaxseg: a reason\\n")
    elif word == "silent":
        sys.exit(1)
    else:
        index, state, reason = word.split(":")
        print(f"12_{{index}}|{{names[0]}}|{{state}}|{{reason}}")
PYTHON
"""
SBATCH = """for last; do :; done
cp "${last#--folders=}" "$TOLD/submitted"
echo "12;cluster"
"""


@pytest.fixture
def sweep(tmp_path, told, monkeypatch):
    """Three tasks with their job.json; SLURM is played."""
    monkeypatch.setattr(slurm, "_SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(slurm, "_SECONDS_OF_FILES", 0.0)
    folder = tmp_path / "a sweep"
    tasks = []
    for name in ("a", "b", "c"):
        (folder / name).mkdir(parents=True)
        (folder / name / "job.json").write_text(json.dumps({"tags": {"row": "tag"}}))
        tasks.append(pool.Task(name, folder / name, ("unused",), 10))
    play(told, "squeue", SQUEUE)
    play(told, "sbatch", SBATCH)
    return tasks


def test_one_array_is_submitted_and_waited_for(sweep, told, capsys):
    (told / "plan").write_text(
        "0:RUNNING:None 1:RUNNING:None 2:PENDING:Resources\n"
        "0=done 1:RUNNING:None 2:PENDING:JobHeldAdmin\n"
        "1=failed silent\n"  # an answer that does not come changes nothing
        "2:RUNNING:None\n"
        "2=done"
    )
    assert slurm.run(sweep, 2, ["--time=60", "--partition=gpu"]) == ["b"]
    (options,) = asked(told, "sbatch")
    listing = pathlib.Path(options[-1].removeprefix("--folders="))
    assert listing.read_text().split("\n") == [*(str(task.folder) for task in sweep), ""]
    assert options[:3] == ["--parsable", "--array=0-2%2", f"--job-name=jaxseg-{listing.stem}"]
    assert options[-4:-1] == ["--time=60", "--partition=gpu", "launch/slurm.sh"]
    assert all(f"--name=jaxseg-{listing.stem}" in call for call in asked(told, "squeue"))
    said = capsys.readouterr().err
    assert "array 12 of 3 jobs is submitted" in said
    assert "c is held (JobHeldAdmin): scontrol release 12_2" in said
    assert "squeue does not answer" in said
    assert "b failed: jaxseg: a reason" in said


def test_a_stop_leaves_the_array_and_the_same_command_finds_it(sweep, told, capsys):
    (told / "plan").write_text("0:RUNNING:None 1:PENDING:None 2:PENDING:None\n")
    play(told, "squeue", f'[ -f "$TOLD/on" ] || kill -TERM {os.getpid()}\n' + SQUEUE)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        slurm.run(sweep, 1, [])
    assert stopped.value.code == 75
    said = capsys.readouterr().err
    assert "SLURM goes on with 3 jobs. The same command waits for them again; scancel 12" in said
    assert signal.getsignal(signal.SIGTERM) is before

    (told / "on").touch()
    (told / "plan").write_text("0:RUNNING:None 1:PENDING:None 2:PENDING:None\n0=done 1=done 2=done")
    assert slurm.run(sweep, 1, []) == []
    assert len(asked(told, "sbatch")) == 1
    assert "all 3 jobs are in the queue already" in capsys.readouterr().err


def test_what_the_queue_lost_is_submitted_anew_beside_the_rest(sweep, told):
    (told / "plan").write_text("0=done 1=failed 2=failed")
    assert slurm.run(sweep, 1, []) == ["b", "c"]
    (told / "plan").write_text("1:RUNNING:None\n1=done 2=done")  # b of the first array is back
    first = (told / "submitted").read_text()
    play(told, "sbatch", 'for last; do :; done; cp "${last#--folders=}" "$TOLD/second"; echo 13')
    assert slurm.run(sweep[1:], 1, []) == []
    assert (told / "submitted").read_text() == first
    assert (told / "second").read_text() == f"{sweep[2].folder}\n"


def test_an_outcome_with_fewer_rows_than_wanted_is_none(sweep):
    folder = sweep[0].folder
    assert not job_folder.is_done(folder)
    (folder / "outcome.json").write_text(json.dumps({"tags": {"row": "tag"}}))
    assert job_folder.is_done(folder)
    (folder / "job.json").write_text(json.dumps({"tags": {"row": "tag", "other": "tag"}}))
    assert not job_folder.is_done(folder)


def test_slurm_that_is_not_there_or_refuses_is_told_in_a_line(sweep, told, monkeypatch):
    play(told, "sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    with pytest.raises(ValueError, match=r"sbatch --partition=x: invalid partition specified: x"):
        slurm.run(sweep, 1, ["--partition=x"])
    (told / "plan").write_text("silent")
    (told / "submitted").write_text("")
    with pytest.raises(ValueError, match="squeue does not answer"):
        slurm.run(sweep, 1, [])  # the list of the refused array is there: is it running?
    monkeypatch.setenv("PATH", str(told))
    with pytest.raises(ValueError, match="squeue is not on PATH: start the sweep where"):
        slurm.run(sweep, 1, [])


# The proof


@pytest.mark.slow
def test_a_real_slurm_preempts_requeues_and_sweeps(tmp_path):
    """Training in two processes and an ablation as an array, on a SLURM of one node."""
    if not shutil.which("slurmctld") or not shutil.which("slurmd") or not shutil.which("munged"):
        pytest.skip("needs slurmctld, slurmd and munged: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons are started by root")
    done = subprocess.run(
        ["bash", str(ROOT / "tests" / "slurm_proof.sh"), str(tmp_path / "proof")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "the proof is complete" in done.stdout
