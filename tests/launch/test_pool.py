"""The pool of processes: order, retries, what it says, and what a signal does."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from launch import pool


def task(tmp_path, name, code, steps=1):
    folder = tmp_path / name
    return pool.Task(
        name, folder, (sys.executable, "-c", textwrap.dedent(code), str(folder)), steps
    )


def test_all_are_run_and_their_output_is_kept(tmp_path):
    tasks = [task(tmp_path, name, f"print('this is {name}')") for name in ("a", "b", "c")]
    assert pool.Pool(jobs=2, retries=0).run(tasks) == []
    for one in tasks:
        assert (one.folder / "log.txt").read_text() == f"this is {one.name}\n"


def test_a_failure_is_tried_again_and_does_not_stop_the_others(tmp_path, capfd):
    fails = "import sys; sys.exit('jaxseg: no luck')"
    second_time = """
        import pathlib, sys
        marks = pathlib.Path(sys.argv[1]) / "marks"
        marks.open("a").write("x")
        sys.exit(len(marks.read_text()) < 2)
    """
    tasks = [
        task(tmp_path, "bad", fails),
        task(tmp_path, "late", second_time),
        task(tmp_path, "good", ""),
    ]
    assert pool.Pool(jobs=1, retries=1).run(tasks) == ["bad"]
    said = capfd.readouterr().err
    assert "late ended with 1; started again" in said
    assert "bad failed (1): jaxseg: no luck" in said
    assert (tmp_path / "bad" / "log.txt").read_text().count("no luck") == 2


def test_a_run_that_was_stopped_and_saved_goes_on_without_counting_as_a_failure(tmp_path):
    code = f"""
        import pathlib, sys
        marks = pathlib.Path(sys.argv[1]) / "marks"
        marks.open("a").write("x")
        sys.exit({pool.STOPPED} if len(marks.read_text()) < 4 else 0)
    """
    assert pool.Pool(jobs=1, retries=0).run([task(tmp_path, "stopped", code)]) == []
    assert len((tmp_path / "stopped" / "marks").read_text()) == 4


def test_steps_are_read_from_the_log_of_the_run(tmp_path):
    one = task(tmp_path, "one", "")
    assert pool.step_of(one) == 0
    one.folder.mkdir()
    lines = [{"kind": "train", "step": 20}, {"kind": "train", "step": 40}, {"kind": "x", "step": 9}]
    (one.folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"kind": "tr')
    assert pool.step_of(one) == 40


def test_each_slot_has_its_share_of_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    code = "import sys; print(sys.argv[2:]); import time; time.sleep(1)"
    tasks = [task(tmp_path, name, code) for name in ("a", "b")]
    pool.Pool(jobs=2, retries=0).run(tasks)
    told = [(one.folder / "log.txt").read_text() for one in tasks]
    assert "--cores=0,2" in told[0]
    assert "--cores=1,3" in told[1]
    assert f"--parent={os.getpid()}" in told[0]


@pytest.mark.parametrize(("jobs", "gpus"), [(0, 0), (3, 2)])
def test_more_jobs_than_places_are_refused(jobs, gpus):
    with pytest.raises(ValueError, match=f"--jobs={jobs} must be"):
        pool.Pool(jobs, 0, gpus)


def test_a_signal_is_passed_on_and_waited_for(tmp_path):
    program = textwrap.dedent(
        f"""
        import pathlib, sys
        from launch import pool
        folder = pathlib.Path({str(tmp_path)!r}) / "one"
        code = '''
        import pathlib, signal, sys, time
        def stop(*_):
            (pathlib.Path(sys.argv[1]) / "saved").touch()
            sys.exit({pool.STOPPED})
        signal.signal(signal.SIGTERM, stop)
        (pathlib.Path(sys.argv[1]) / "ready").touch()
        time.sleep(100)
        '''
        import textwrap
        one = (sys.executable, "-c", textwrap.dedent(code), str(folder))
        pool.Pool(1, 0).run([pool.Task("one", folder, one, 1)])
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "one" / "ready").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == pool.STOPPED, said
    assert (tmp_path / "one" / "saved").exists()
    assert "the same command resumes it" in said
