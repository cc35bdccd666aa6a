"""launch/tpu_vm.sh against a mocked gcloud that records its calls and acts as one worker."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The worker's home is HOME/worker; "states" are what is answered about the TPU VM, one by one, the
# last for ever. What makes the .venv is recorded and not run.
GCLOUD = f"""#!{sys.executable}
import json, os, pathlib, shutil, subprocess, sys
home = pathlib.Path(os.environ["FAKE_HOME"])
verb, arguments = sys.argv[4], sys.argv[5:]
with (home / "asked").open("a") as asked:
    print(json.dumps(sys.argv[1:]), file=asked)
worker = home / "worker"
worker.mkdir(exist_ok=True)
if verb == "describe":
    states = (home / "states").read_text().split()
    (home / "states").write_text(" ".join(states[1:] or states))
    if states[0] == "MISSING":
        sys.exit("ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such node")
    print(states[0])
elif verb == "scp":
    shutil.copy(arguments[0], worker / arguments[1].partition(":")[2])
elif verb == "delete":
    shutil.rmtree(worker)
elif verb == "ssh":
    (command,) = [a.partition("=")[2] for a in arguments if a.startswith("--command=")]
    if "environment_ready" not in command:
        sys.exit(subprocess.run(["bash", "-c", command], cwd=worker).returncode)
"""


class Cloud:
    """The folder that the fake gcloud works in."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        (home / "bin").mkdir()
        (home / "bin" / "gcloud").write_text(GCLOUD)
        (home / "bin" / "gcloud").chmod(0o755)

    def start(self, states: str, *arguments: str) -> subprocess.Popen:
        (self.home / "states").write_text(states)
        return subprocess.Popen(
            ["bash", str(ROOT / "launch" / "tpu_vm.sh"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PATH": f"{self.home}/bin:{os.environ['PATH']}", "FAKE_HOME": str(self.home)},
        )

    def run(self, states: str, *arguments: str) -> tuple[int, str, str]:
        process = self.start(states, "--name=seg", "--zone=z", "--wait=0", *arguments)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def asked(self) -> list[list[str]]:
        """Arguments of all calls but those that ask for the state."""
        path = self.home / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        calls = [json.loads(line) for line in lines]
        assert all(call[:3] == ["compute", "tpus", "tpu-vm"] for call in calls)
        return [call[3:] for call in calls if call[3] != "describe"]

    def verbs(self) -> list[str]:
        return [call[0] for call in self.asked()]


@pytest.fixture
def cloud(tmp_path: pathlib.Path) -> Cloud:
    return Cloud(tmp_path)


def python(program: str) -> list[str]:
    return ["--", sys.executable, "-c", program]


def test_makes_copies_and_runs_on_all_workers(cloud: Cloud) -> None:
    program = "import os, sys; print(os.getcwd(), os.path.isfile('jaxseg/main.py'), sys.argv[1:])"
    status, output, errors = cloud.run(
        "MISSING",
        "--create=v4-32",
        "--spot",
        "--project=p",
        "--setup=touch ready",
        "--delete",
        *python(program),
        "a 'b' $HOME",
        "--x=1",
    )
    assert status == 0, errors
    folder = cloud.home / "worker" / "jaxseg"
    assert output.strip() == f"""{folder} True ["a 'b' $HOME", '--x=1']"""
    calls = cloud.asked()
    assert cloud.verbs() == ["create", "scp", "ssh", "ssh", "ssh", "ssh", "delete"]
    assert all(call[-2:] == ["--zone=z", "--project=p"] for call in calls)
    assert all("--worker=all" in call for call in calls if call[0] in ("ssh", "scp"))
    assert calls[0][1:-2] == [
        "seg",
        "--accelerator-type=v4-32",
        "--version=tpu-ubuntu2204-base",
        "--spot",
    ]
    assert calls[3][3] == "--command=touch ready"
    assert "environment_ready requirements/tpu.txt" in calls[4][3]
    assert calls[-1] == ["delete", "seg", "--quiet", "--zone=z", "--project=p"]


def test_goes_on_after_preemption_on_a_new_one(cloud: Cloud) -> None:
    program = (
        "import pathlib, sys; done = pathlib.Path('../../checkpoint')\n"
        "sys.exit(0) if done.exists() else done.touch() or sys.exit(255)"
    )
    status, _, errors = cloud.run("READY PREEMPTED READY", "--create=v4-8", *python(program))
    assert status == 0, errors
    assert "seg is PREEMPTED: deleted, to be recreated" in errors
    once = ["scp", "ssh", "ssh", "ssh"]
    assert cloud.verbs() == [*once, "delete", "create", *once]


def test_a_failure_is_tried_again_and_then_given_up(cloud: Cloud) -> None:
    status, _, errors = cloud.run("READY", "--retries=2", *python("raise SystemExit(3)"))
    assert status == 1
    assert "ended with 3, 3 times in a row: given up" in errors
    assert cloud.verbs() == ["scp", "ssh", "ssh", *["ssh"] * 3]  # prepared once


def test_a_vm_that_was_made_by_others_is_not_deleted(cloud: Cloud) -> None:
    status, _, errors = cloud.run("PREEMPTED", *python("pass"))
    assert status == 1
    assert "seg is PREEMPTED in z: --create=TYPE creates it" in errors
    assert cloud.verbs() == []


def test_waits_for_repairs_and_prepares_again(cloud: Cloud) -> None:
    program = (
        "import pathlib, sys; done = pathlib.Path('../../checkpoint')\n"
        "sys.exit(0) if done.exists() else done.touch() or sys.exit(255)"
    )
    status, _, errors = cloud.run("CREATING READY REPAIRING READY", *python(program))
    assert status == 0, errors
    assert cloud.verbs() == ["scp", "ssh", "ssh", "ssh"] * 2


def test_a_signal_stops_the_workers(cloud: Cloud) -> None:
    program = (
        "import pathlib, signal, sys, time\n"
        "def stop(*_): pathlib.Path('../../saved').touch(); sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, stop); pathlib.Path('../../runs').touch(); time.sleep(60)"
    )
    process = cloud.start("READY", "--name=seg", "--zone=z", *python(program))
    while not (cloud.home / "runs").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "asking the workers to save and stop" in errors
    assert (cloud.home / "saved").exists()


def test_a_run_that_lost_its_connection_is_ended_before_the_next(cloud: Cloud) -> None:
    folder = cloud.home / "worker" / "jaxseg"
    folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], cwd=folder) as left:
        (folder / ".pid").write_text(f"{left.pid}\n")
        process = cloud.start("READY", "--name=seg", "--zone=z", *python("pass"))
        assert left.wait(timeout=30) == -signal.SIGTERM
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def test_another_process_of_the_same_number_is_left_alone(cloud: Cloud) -> None:
    """After a restart of the worker the number in the file may be anyone's."""
    folder = cloud.home / "worker" / "jaxseg"
    folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], cwd=cloud.home) as other:
        (folder / ".pid").write_text(f"{other.pid}\n")
        status, _, errors = cloud.run("READY", *python("pass"))
        assert status == 0, errors
        assert other.poll() is None
        other.kill()


def test_dry_run_only_prints(cloud: Cloud) -> None:
    status, output, _ = cloud.run("MISSING", "--create=v4-8", "--dry_run", *python("pass"))
    assert status == 0
    lines = output.splitlines()
    assert [line.split()[4] for line in lines] == ["create", "scp", "ssh", "ssh", "ssh"]
    assert all(line.startswith("gcloud compute tpus tpu-vm ") for line in lines)
    assert cloud.verbs() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--zone=z", "--", "true"], "--name and --zone are required"),
        (["--name=n;x", "--zone=z", "--", "true"], "'n;x' is not a name of Google Cloud"),
        (["--name=n", "--zone=$(z)", "--", "true"], "is not a name of Google Cloud"),
        (["--name=-n", "--zone=z", "--", "true"], "'-n' is not a name of Google Cloud"),
        (["--name=n", "--zone=z"], "a command is required after --"),
        (["--name=n", "--zone=z", "--spot", "--", "true"], "--spot and --delete need --create"),
        (["--name=n", "--zone=z", "--retries=x", "--", "true"], "x: --retries"),
        (["--name=n", "--zone=z", "true"], "true is unknown; give the command after --"),
        (["--name=n", "--zone=z", "--requirements=no.txt", "--", "true"], "no such file"),
    ],
)
def test_a_wrong_call_is_one_line(cloud: Cloud, arguments: list[str], said: str) -> None:
    process = cloud.start("READY", *arguments)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in errors
    assert len(errors.splitlines()) == 1
