"""Files are written whole or not at all, whatever fails at whatever moment."""

import errno
import os
import pathlib

import pytest

from jaxseg import whole_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failing(monkeypatch, name, error, at=0):
    """Makes the call number `at` of os.NAME fail."""
    real, calls = getattr(os, name), [0]

    def call(*args, **kwargs):
        calls[0] += 1
        if calls[0] > at:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(whole_file.os, name, call)


@pytest.mark.parametrize("name", ["open", "fsync", "replace"])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_at_any_moment_leaves_the_old_file_or_none(tmp_path, monkeypatch, name, before):
    path = tmp_path / "file.json"
    if before:
        path.write_text(before)
    failing(monkeypatch, name, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space") as error:
        whole_file.write_text(path, "new")
    assert error.value.filename == str(path)
    monkeypatch.undo()
    assert names(tmp_path) == (["file.json"] if before else [])
    assert not before or path.read_text() == before
    whole_file.write_text(path, "new")
    assert path.read_text() == "new"


def test_a_full_disk_is_heard_of_without_sync_too(tmp_path, monkeypatch):
    path = tmp_path / "file.png"
    failing(monkeypatch, "close", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        whole_file.write_bytes(path, b"new", sync=False)
    monkeypatch.undo()
    assert names(tmp_path) == []


def test_an_error_of_the_writer_itself_passes_through(tmp_path):
    with pytest.raises(RuntimeError, match="mine"), whole_file.writing(tmp_path / "a"):
        raise RuntimeError("mine")
    other = FileNotFoundError(errno.ENOENT, "No such file", "the input")
    with pytest.raises(FileNotFoundError) as error, whole_file.writing(tmp_path / "a"):
        raise other
    assert error.value.filename == "the input"
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_swept_up_and_nothing_else(tmp_path):
    pid = os.fork()
    if not pid:
        with whole_file.writing(tmp_path / "sub.txt") as file:
            file.write(b"half")
            file.flush()
            os._exit(0)  # as SIGKILL does it: nothing is cleaned up
    os.waitpid(pid, 0)
    assert [name for name in names(tmp_path) if name.endswith(".jaxseg-part")]
    (tmp_path / ".keep").write_text("mine")
    with whole_file.writing(tmp_path / "other.txt") as file:
        file.write(b"whole")
        whole_file.sweep(tmp_path)  # leaves what is being written
    assert names(tmp_path) == [".keep", "other.txt"]
    assert (tmp_path / "other.txt").read_text() == "whole"
    whole_file.sweep(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError) as error:
        whole_file.write_text(tmp_path / "nowhere" / "a", "x")
    assert error.value.filename == str(tmp_path / "nowhere" / "a")


def test_a_link_is_replaced_and_never_written_through(tmp_path):
    target = tmp_path / "target"
    target.write_text("another's")
    link = tmp_path / "report.md"
    link.symlink_to(target)
    whole_file.write_text(link, "report")
    assert target.read_text() == "another's"
    assert not link.is_symlink()
    assert link.read_text() == "report"
    log = tmp_path / "metrics.jsonl"
    log.symlink_to(target)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is a symbolic link"):
        whole_file.appending(log)
    (tmp_path / "eval").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="eval is a symbolic link"):
        whole_file.folder_in(tmp_path, "eval", "val")
    assert not (tmp_path / "elsewhere").exists()
    assert target.read_text() == "another's"


def test_a_device_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="device or a pipe"):
        whole_file.write_text(tmp_path / "pipe", "x")
    assert names(tmp_path) == ["pipe"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        whole_file.write_text(tmp_path / "folder", "x")
    assert error.value.filename == str(tmp_path / "folder")


def test_the_mode_of_a_new_file_is_the_usual_one(tmp_path):
    whole_file.write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_appending_keeps_what_is_there(tmp_path):
    for text in (b"one\n", b"two\n"):
        with whole_file.appending(tmp_path / "log") as file:
            file.write(text)
    assert pathlib.Path(tmp_path / "log").read_bytes() == b"one\ntwo\n"
