"""Progress through a pipe is whole lines, few of them; on a terminal it is a bar."""

import ast
import io
import os
import termios

import pytest

from jaxseg import progress
from tests.conftest import ROOT


@pytest.fixture
def clock(monkeypatch):
    """Seconds that stand still until the test moves them."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def piped(monkeypatch, work):
    """What standard error received while it was a pipe."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        work()
    with os.fdopen(reading, "rb") as stream:
        return stream.read().decode()


def test_a_pipe_receives_lines_without_carriage_returns(monkeypatch, clock):
    def work():
        for _ in progress.over(range(800), "evaluate"):
            clock[0] += 0.125

    text = piped(monkeypatch, work)
    assert "\r" not in text
    assert "\x1b" not in text
    first, *between, last = text.splitlines()
    assert first == "evaluate: 800 images"
    assert between[0] == "evaluate: 80/800 images, 8 images/s, 0:01:30 left"
    assert len(between) == 9
    assert last == "evaluate: 800/800 images, 8 images/s, 0:01:40 in all"


def test_lines_of_slow_work_are_a_minute_apart(monkeypatch, clock):
    def work():
        with progress.Progress(100_000, "train", unit="step", done=40_000) as bar:
            for _ in range(600):
                clock[0] += 1
                bar.advance()

    first, *others = piped(monkeypatch, work).splitlines()
    assert first == "train: 100,000 steps, 40,000 steps done before"
    assert len(others) == 10
    assert others[0] == "train: 40,060/100,000 steps, 1 steps/s, 16:39:00 left"


def test_notes_bring_the_lines(monkeypatch, clock):
    def work():
        with progress.Progress(40, "train", unit="step") as bar:
            for step in range(1, 41):
                clock[0] += 4
                bar.advance()
                if step % 10 == 0:
                    bar.note(f"loss {step}")

    _, *lines = piped(monkeypatch, work).splitlines()
    assert lines[0] == "train: 3/40 steps, 0.25 steps/s, 0:02:28 left"  # none is noted yet
    assert [line.rpartition("loss ")[2] for line in lines[-3:]] == ["20", "30", "40"]


def test_bytes_and_work_of_unknown_length(monkeypatch, clock):
    def work():
        with progress.Progress(2_500_000, "checksum", unit="B") as bar:
            clock[0] += 1
            bar.advance(2_500_000)
        for _ in progress.over(iter("abc"), "list", unit="file"):
            clock[0] += 70

    assert piped(monkeypatch, work).splitlines() == [
        "checksum: 2 MB",
        "checksum: 2/2 MB, 2.5 MB/s, 0:00:01 in all",
        "list",
        "list: 1 file, 0.0143 files/s",
        "list: 2 files, 0.0143 files/s",
        "list: 3 files, 0.0143 files/s",
    ]


def test_hidden_progress_says_nothing(monkeypatch, clock):
    def work():
        with progress.Progress(3, "train", hidden=True) as bar:
            clock[0] += 100
            bar.advance()
            bar.note("loss 1")
            bar.say("hello")

    assert piped(monkeypatch, work) == ""


def test_a_terminal_receives_a_bar(monkeypatch):
    terminal, stream = os.openpty()
    termios.tcsetwinsize(stream, (24, 100))
    with os.fdopen(stream, "w") as written, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", written)
        with progress.Progress(5, "evaluate") as bar:
            bar.advance(5)
            bar.note("nearly")
            bar.say("a line above")
            text = ""
            while "above" not in text:
                text += os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "\revaluate: 100%" in text
    assert "\ra line above" in text


def test_the_work_is_handed_on_even_if_it_stops(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    items = progress.over(iter([1, 2, 3]), "read", total=3)
    assert [next(items), next(items)] == [1, 2]
    items.close()


def test_no_other_module_draws_bars():
    found = {
        path.relative_to(ROOT).as_posix()
        for room in ("jaxseg", "experiments", "launch")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any("tqdm" in a.name for a in node.names))
        or (isinstance(node, ast.ImportFrom) and "tqdm" in (node.module or ""))
    }
    assert found == {"jaxseg/progress.py"}
