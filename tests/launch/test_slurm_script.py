"""launch/slurm.sh against mocked SLURM commands."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import ROOT
from tests.launch.played import ODD_NAMES, asked, play


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
    assert "job 7_1 is requeued" in log
    assert asked(told, "squeue")[0][1] == "--jobs=7_1"
    assert asked(told, "scontrol") == [["requeue", "7_1"]]
    assert not (folders[0] / "log.txt").exists()


def test_an_element_with_an_odd_name_runs_its_own_line(checkout, told, tmp_path):
    names = [name for name in ODD_NAMES if "\n" not in name]
    folders = [tmp_path / "sweep" / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
    listing = tmp_path / "it's; a $(list).txt"
    listing.write_text("".join(f"{folder}\n" for folder in folders))
    for index, folder in enumerate(folders):
        array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index)}
        done = batch(checkout, f"--folders={listing}", **array)
        assert done.returncode == 0, done.stderr
        assert f"python -m launch.job {folder} in {checkout}" in (folder / "log.txt").read_text()
    assert not list(checkout.parent.rglob("ran"))


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
