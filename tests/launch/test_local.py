"""launch/local.sh: processes of one run on one machine; short programs stand in for training."""

import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STOPS = """
import os, pathlib, signal, sys, time
def stop(*_):
    os.write(1, b"saving\\n")  # whole: an unbuffered print writes its line in two pieces
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1] + sys.argv[-1][-1]).touch()
time.sleep(60)
"""
# A shell cannot trap a signal that its parent ignores, as a shell does for background commands.
HEARS_SIGINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def command(*arguments: str) -> list[str]:
    return ["bash", str(ROOT / "launch" / "local.sh"), *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"} | environment,
    )


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_each_process_is_told_who_it_is() -> None:
    done = run("3", *python("import sys; print(sys.argv[1:])"), "a b")
    assert done.returncode == 0, done.stderr
    lines = sorted(done.stdout.splitlines(), key=lambda line: line[-4:])
    assert [line.partition(" ")[0] for line in lines] == ["['a", "[1]", "[2]"]
    ports = set()
    for number, line in enumerate(lines):
        arguments = eval(line[line.index("['") :])
        assert arguments[0] == "a b"
        assert arguments[2:] == ["--processes=3", f"--process={number}"]
        ports.add(arguments[1])
    (coordinator,) = ports
    host, _, port = coordinator.rpartition(":")
    assert host == "--coordinator=127.0.0.1"
    assert 1024 < int(port) < 2**16


def test_gpus_are_shared_out() -> None:
    show = python("import os, sys; print(sys.argv[-1][-1], os.environ['CUDA_VISIBLE_DEVICES'])")
    done = run("--gpus=4", "2", *show)
    assert sorted(done.stdout.replace("[1] ", "").splitlines()) == ["0 0,1", "1 2,3"]
    done = run("2", *show, CUDA_VISIBLE_DEVICES="5,GPU-1", JAX_PLATFORMS="")
    assert sorted(done.stdout.replace("[1] ", "").splitlines()) == ["0 5", "1 GPU-1"]


def test_a_failure_ends_the_others_and_gives_the_status() -> None:
    program = "import sys, time; sys.exit(3) if sys.argv[-1][-1] == '1' else time.sleep(60)"
    started = time.monotonic()
    done = run("2", *python(program))
    assert done.returncode == 3
    assert "process 1 ended with 3: the others are asked to stop" in done.stderr
    assert time.monotonic() - started < 30


def test_what_does_not_stop_after_a_failure_is_killed() -> None:
    program = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "time.sleep(1); sys.exit(1) if sys.argv[-1][-1] == '0' else time.sleep(60)"
    )
    done = run("--grace=0", "2", *python(program))
    assert done.returncode == 1
    assert "killing" in done.stderr


def test_a_stop_of_one_process_does_not_disturb_the_others() -> None:
    """As after a signal to one of them: all agree on a step, and some take longer to save."""
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "time.sleep(1.0 if sys.argv[-1][-1] == '0' else 0.0); sys.exit(75)"
    )
    assert run("2", *python(program)).returncode == 75


def test_a_failure_beside_stops_is_the_status() -> None:
    program = "import sys, time; n = int(sys.argv[-1][-1]); time.sleep(n); sys.exit((75, 4)[n])"
    assert run("2", *python(program)).returncode == 4


def test_signals_are_passed_on(tmp_path: pathlib.Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        ready = tmp_path / f"{number.name}_"
        process = subprocess.Popen(
            [*python(HEARS_SIGINT), *command("2", *python(STOPS), str(ready))],
            stdout=subprocess.PIPE,
            text=True,
        )
        while sum(1 for _ in tmp_path.glob(f"{number.name}_*")) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 75
        assert sorted(output.splitlines()) == ["[1] saving", "saving"]


def test_a_signal_while_processes_are_being_started_is_passed_on() -> None:
    program = (
        "trap 'exit 75' TERM; [ \"${@: -1}\" != --process=0 ] || kill -TERM $PPID; "
        "for _ in {1..300}; do sleep 0.1; done"
    )
    started = time.monotonic()
    done = run("12", "bash", "-c", program, "name")
    assert done.returncode in (75, 128 + signal.SIGTERM), done.stderr  # not killed itself: -SIGTERM
    assert time.monotonic() - started < 25


def test_a_wrong_call_is_one_line() -> None:
    for arguments, said in (
        (("2",), "the number of processes and a command are required"),
        (("two", "true"), "the number of processes is 'two'"),
        (("--gpus=3", "2", "true"), "3 GPUs cannot be divided equally among 2 processes"),
        (("--cpus=3", "2", "true"), "--cpus=3 is unknown"),
        (("--grace=x", "2", "true"), "--grace=x: it must be a whole number of seconds"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("local.sh: ")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
