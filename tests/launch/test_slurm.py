"""launch.slurm against mocked SLURM commands, and once against a real SLURM.

tests/cluster/slurm_proof.sh starts a real SLURM. Here SLURM's commands are small scripts on PATH
that record their arguments and print what the test has prepared.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from experiments.ablation import job_folder
from launch import pool, slurm
from tests.conftest import ROOT
from tests.launch.played import ODD_NAMES, asked, play

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
    """Three tasks with their job.json; SLURM is mocked."""
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
    play(told, "scontrol", "echo JobId=15 JobState=FAILED Reason=NonZeroExitCode")
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


def test_odd_names_stay_one_line_each(sweep, told):
    names = [name for name in ODD_NAMES if "\n" not in name]
    folder = sweep[0].folder.parent.with_name("100%j of $(it)")
    tasks = []
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "job.json").write_text(json.dumps({"tags": {"row": "tag"}}))
        tasks.append(pool.Task(name, folder / name, ("unused",), 10))
    (folder / "slurm-notes.txt").write_bytes(b"\xff, not a list")
    last = len(names) - 1
    (told / "plan").write_text(
        " ".join(f"{i}:RUNNING:None" for i in range(last + 5))  # of another array some
        + "\n"
        + " ".join(f"{i}=done" for i in range(last))
        + f" {last}=failed"
    )
    play(
        told,
        "squeue",
        "echo 'nobody|knows|what'\n" + SQUEUE.replace(".splitlines()]", ".split('\\n')]"),
    )
    assert slurm.run(tasks, 2, []) == [names[-1]]
    (options,) = asked(told, "sbatch")
    assert options[3] == f"--output={folder.parent}/100%%j of $(it)/slurm.log"
    listing = pathlib.Path(options[-1].removeprefix("--folders="))
    assert listing.read_text().split("\n") == [*(str(task.folder) for task in tasks), ""]


@pytest.mark.parametrize("name", ["two\nlines", "two\rlines", "back\\slash"])
def test_a_name_that_would_shift_the_list_is_refused(sweep, told, tmp_path, name):
    (told / "plan").write_text("")
    for folder in (sweep[0].folder.parent / name, tmp_path / name / "a"):
        task = pool.Task("a", folder, ("unused",), 10)
        folder.mkdir(parents=True)
        with pytest.raises(ValueError, match="choose another --workdir"):
            slurm.run([sweep[0], task][-1:], 1, [])
    assert asked(told, "sbatch") == []


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


def test_what_the_queue_lost_is_resubmitted_beside_the_rest(sweep, told):
    (told / "plan").write_text("0=done 1=failed 2=failed")
    assert slurm.run(sweep, 1, []) == ["b", "c"]
    (told / "plan").write_text("1:RUNNING:None\n1=done 2=done")  # b of the first array is back
    first = (told / "submitted").read_text()
    play(told, "sbatch", 'for last; do :; done; cp "${last#--folders=}" "$TOLD/second"; echo 13')
    assert slurm.run(sweep[1:], 1, []) == []
    assert (told / "submitted").read_text() == first
    assert (told / "second").read_text() == f"{sweep[2].folder}\n"


@pytest.mark.parametrize(
    "scontrol",
    [
        "[ $3 = 12_1 ] && echo JobState=CANCELLED || echo JobState=FAILED",
        "[ $3 != 12_1 ] && echo JobState=FAILED",  # it had not started, and left no record
    ],
)
def test_what_failed_is_submitted_again_but_not_what_was_cancelled(sweep, told, capsys, scontrol):
    play(told, "scontrol", scontrol)
    (told / "plan").write_text(
        "0:RUNNING:None 1:RUNNING:None 2:RUNNING:None\n"
        "0=done 1=failed 2=failed\n"
        "0=failed\n"  # the second array has c alone
        "0=failed"
    )
    assert slurm.run(sweep, 2, [], retries=1) == ["b", "c"]
    arrays = [call[1] for call in asked(told, "sbatch")]
    assert arrays == ["--array=0-2%2", "--array=0-0%2"]
    said = capsys.readouterr().err
    assert "b was cancelled" in said
    assert said.count("c failed") == 2


def test_an_outcome_with_fewer_rows_than_wanted_is_none(sweep):
    folder = sweep[0].folder
    assert not job_folder.is_done(folder)
    (folder / "outcome.json").write_text(json.dumps({"tags": {"row": "tag"}}))
    assert job_folder.is_done(folder)
    (folder / "job.json").write_text(json.dumps({"tags": {"row": "tag", "other": "tag"}}))
    assert not job_folder.is_done(folder)


def test_a_missing_or_refusing_slurm_is_one_line(sweep, told, monkeypatch):
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
        ["bash", str(ROOT / "tests" / "cluster" / "slurm_proof.sh"), str(tmp_path / "proof")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "the proof is complete" in done.stdout
