"""A data set that is prepared again: what is compared, and that no kill loses either version."""

import os
import pathlib
import random
import resource
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from jaxseg import whole_file
from jaxseg.data import builders, fingerprint, loader, source
from jaxseg.data.pairing import inspection
from jaxseg.data.prepare import prepare, prepared_from, replace
from tests.data.conftest import save_pair
from tests.training.test_train import start_program

VERSION = builders.VERSIONS["folder"]
CLASSES = "0 ground\n1 red\n2 blue\n"


@pytest.fixture
def own(tmp_path):
    """The flags of a set of six pairs, val_share so that two are drawn for val."""
    for i in range(6):
        save_pair(tmp_path / "images" / f"{i}.png", tmp_path / "masks" / f"{i}.png", i)
    (tmp_path / "classes.txt").write_text(CLASSES)
    return [
        "--name=folder/own",
        f"--images={tmp_path / 'images'}",
        f"--masks={tmp_path / 'masks'}",
        f"--classes={tmp_path / 'classes.txt'}",
        f"--data_dir={tmp_path / 'd'}",
        "--val_share=0.34",
    ]


def entries(tmp_path):
    return sorted(path.name for path in (tmp_path / "d" / "folder" / "own").iterdir())


def test_the_same_again_is_left_alone(command, own, tmp_path):
    """Also copied to another place, with other times of change."""
    assert command(prepare.main, *own)[0] == 0
    for path in (tmp_path / "images").iterdir():
        os.utime(path, (1, 1))
    (tmp_path / "masks").rename(tmp_path / "moved")
    again = [flag.replace("/masks", "/moved") for flag in own]
    for arguments in (own[:1] + own[4:5], again):
        status, out, _ = command(prepare.main, *arguments)
        assert status == 0
        assert out.startswith("Already prepared: folder/own: train 4")
    shutil.rmtree(tmp_path / "images")
    status, out, _ = command(prepare.main, *own)
    assert status == 0
    assert "its files are not compared" in out
    assert entries(tmp_path) == [VERSION]


def change_classes(root):
    (root / "classes.txt").write_text("0 blue\n1 red\n2 ground\n")


def change_colour(root):
    (root / "classes.txt").write_text("0 ground\n1 red 1 2 3\n2 blue\n")


def add_void(root):
    (root / "classes.txt").write_text(CLASSES + "255 void\n")


def add_pair(root):
    save_pair(root / "images" / "new.png", root / "masks" / "new.png", 9)


def drop_pair(root):
    for kind in ("images", "masks"):
        (root / kind / "3.png").unlink()


def repaint(root):
    path = root / "masks" / "2.png"
    before = path.stat()
    ids = np.array(Image.open(path))
    Image.fromarray(ids[::-1]).save(path)
    path.write_bytes(path.read_bytes().ljust(before.st_size, b"\0")[: before.st_size])


def other_size(root):
    save_pair(root / "images" / "2.png", root / "masks" / "2.png", 2, size=(30, 40))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_classes, ('class 0 is "ground" in the prepared set and "blue"',)),
        (change_colour, ('class 1 "red" had the colour',)),
        (add_void, ("id 255 of the masks is unknown in the prepared set and void",)),
        (add_pair, ("new is new in",)),
        (drop_pair, ("3 is no longer in train",)),
        (repaint, ("masks/2.png has different bytes, but the same size",)),
        (other_size, ("images/2.png has", "bytes instead of")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_has_changed_is_said_and_replaced_by_overwrite(command, own, tmp_path, change, words):
    assert command(prepare.main, *own)[0] == 0
    change(tmp_path)
    status, _, err = command(prepare.main, *own)
    assert status == 1
    for word in (*words, "--overwrite"):
        assert word in err
    assert len(err.splitlines()) == 1
    assert len(loader.open_split("folder/own", "train", tmp_path / "d")) == 4  # left as it was
    if change is not repaint:  # whose mask is not whole
        assert command(prepare.main, *own, "--overwrite")[0] == 0
        assert command(prepare.main, *own)[0] == 0


def test_other_flags_are_said(command, own, tmp_path):
    assert command(prepare.main, *own)[0] == 0
    status, _, err = command(prepare.main, *own[:-1], "--val_share=0.5")
    assert status == 1
    assert "val_share was 0.34 and is 0.5; " in err
    drawn = [
        "--name=shapes/a",
        f"--data_dir={tmp_path}",
        "--shapes_size=32",
        "--shapes_train=2",
        "--shapes_val=1",
    ]
    assert command(prepare.main, *drawn)[0] == 0
    assert command(prepare.main, *drawn[:2])[0] == 0  # nothing else is asked for
    status, _, err = command(prepare.main, *drawn[:-1], "--shapes_val=2", "--data_seed=1")
    assert status == 1
    assert "shapes_val was 1 and is 2; data_seed was 0 and is 1" in err


def test_a_set_of_an_earlier_version_is_compared_by_classes_and_counts(command, own, tmp_path):
    assert command(prepare.main, *own)[0] == 0
    folder = source.prepared_folder("folder/own", tmp_path / "d")
    for name in ("prepared_from.json", fingerprint.FILE):
        (folder / name).unlink()
    status, out, _ = command(prepare.main, *own)
    assert status == 0
    assert "only classes and counts are compared" in out
    add_pair(tmp_path)
    assert "train had 4 examples and has 5" in command(prepare.main, *own)[2]
    change_classes(tmp_path)
    assert 'class 0 is "ground"' in command(prepare.main, *own)[2]


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def test_a_kill_at_any_call_loses_no_set(command, own, tmp_path, monkeypatch):
    """Each renaming, deletion and writing of the exchange is the last thing that is done, once.

    After a kill nothing is tidied up, so what is raised is caught outside all handlers: by a copy
    of the folder made at that moment.
    """
    assert command(prepare.main, *own)[0] == 0
    whole = tmp_path / "d"
    folder = source.prepared_folder("folder/own", whole)
    old = (folder / fingerprint.FILE).read_bytes()
    change_classes(tmp_path)
    moments: list[pathlib.Path] = []

    def noting(function):
        def noted(*arguments, **options):
            for _ in range(2):  # before and after
                moments.append(tmp_path / f"moment{len(moments)}")
                shutil.copytree(whole, moments[-1])
                if len(moments) % 2:
                    result = function(*arguments, **options)
            return result

        return noted

    for owner, name in ((pathlib.Path, "rename"), (pathlib.Path, "write_text"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, noting(getattr(owner, name)))
    assert command(prepare.main, *own, "--overwrite")[0] == 0
    monkeypatch.undo()
    new = (folder / fingerprint.FILE).read_bytes()
    assert old != new
    assert len(moments) > 12
    ended = set()
    for moment in moments:
        there = source.prepared_folder("folder/own", moment)
        if there.exists():
            assert (there / fingerprint.FILE).read_bytes() in (old, new)
        with replace.lock(there):
            replace.recover(there, source.is_prepared)
        left = {path.name for path in there.parent.iterdir()}
        assert left <= {VERSION, f".{VERSION}.preparing"}  # of which the journal alone may be left
        for path in (there.parent / f".{VERSION}.preparing").rglob("*"):
            assert path.is_dir() or path.name == replace.JOURNAL
        assert (there / fingerprint.FILE).read_bytes() in (old, new)
        ended.add((there / fingerprint.FILE).read_bytes() == new)
        assert len(loader.open_split("folder/own", "val", moment)) == 2
    assert ended == {False, True}


def test_the_next_start_says_what_it_brought_back(command, own, tmp_path):
    assert command(prepare.main, *own)[0] == 0
    folder = source.prepared_folder("folder/own", tmp_path / "d")
    folder.rename(folder.with_name(f"{VERSION}.before"))  # as earlier versions left it
    (folder.parent / f"incomplete.ABC123_{VERSION}").mkdir()
    (folder.parent / f".{VERSION}.preparing" / "folder").mkdir(parents=True)
    status, out, _ = command(prepare.main, *own)
    assert status == 0
    assert f"restored the set from before an interrupted preparation: {folder}" in out
    assert entries(tmp_path) == [VERSION]
    folder.rename(folder.with_name(f".{VERSION}.ready"))
    assert "completed an interrupted preparation" in command(prepare.main, *own)[1]


def test_a_preparation_that_goes_on_is_left_alone(command, own, tmp_path):
    assert command(prepare.main, *own)[0] == 0
    folder = source.prepared_folder("folder/own", tmp_path / "d")
    scratch = folder.with_name(f".{VERSION}.preparing")
    with replace.lock(folder):
        (scratch / "folder").mkdir(parents=True)
        assert command(prepare.main, *own)[0] == 0  # the set that is there may be used
        status, _, err = command(prepare.main, *own, "--overwrite")
        assert status == 1
        assert f"is being prepared by process {os.getpid()} on" in err
        assert (scratch / "folder").is_dir()
    assert command(prepare.main, *own)[0] == 0
    assert entries(tmp_path) == [VERSION]


def test_a_set_that_cannot_be_written_beside_is_still_there(command, own, tmp_path, monkeypatch):
    """As on a read-only medium."""
    assert command(prepare.main, *own)[0] == 0

    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(replace.pathlib.Path, "mkdir", refuse)
    assert command(prepare.main, *own)[0] == 0


@pytest.mark.parametrize("limit", [3_000, 60_000, 100_000])
def test_a_disk_that_fills_up_while_examples_are_written(command, tmp_path, limit):
    """A limit on the size of a file stands for it; of the set, about 110 kB, a part is written."""
    arguments = [
        "--name=shapes/a",
        f"--data_dir={tmp_path}",
        "--shapes_size=32",
        "--shapes_train=40",
        "--shapes_val=2",
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        status, _, err = command(prepare.main, *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 1
    assert "jaxseg: the examples of shapes/a cannot be written: file too large" in err
    assert "run the same command again" in err
    assert not list((tmp_path / "shapes" / "a").iterdir())
    assert command(prepare.main, *arguments)[0] == 0


@pytest.mark.parametrize(
    ("owner", "moment"), [(whole_file, "write_text"), (pathlib.Path, "rename")]
)
def test_a_full_disk_leaves_the_old_set(command, own, tmp_path, monkeypatch, owner, moment):
    assert command(prepare.main, *own)[0] == 0
    folder = source.prepared_folder("folder/own", tmp_path / "d")
    before = (folder / fingerprint.FILE).read_bytes()
    change_classes(tmp_path)
    real = getattr(owner, moment)

    def full(path, *arguments, **options):
        if path.name in (fingerprint.FILE, f".{VERSION}.ready"):
            raise OSError(28, "No space left on device", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(owner, moment, full)
    status, _, err = command(prepare.main, *own, "--overwrite")
    assert status == 1
    assert "no space left on device" in err
    monkeypatch.undo()
    assert (folder / fingerprint.FILE).read_bytes() == before
    assert command(prepare.main, *own, "--overwrite")[0] == 0
    assert entries(tmp_path) == [VERSION]


@pytest.mark.slow
def test_killed_at_random_moments_it_always_has_a_set(command, own, tmp_path):
    """SIGKILL, eight times, while one set takes the place of the other some times a second."""
    for number, text in enumerate((CLASSES, CLASSES.replace("ground", "other"))):
        (tmp_path / f"classes{number}.txt").write_text(text)
    assert command(prepare.main, *own)[0] == 0
    chance, seen = random.Random(15), set()
    for _ in range(8):
        process = start_program(
            "prepare_again.py", {"folder": str(tmp_path), "data_dir": str(tmp_path / "d")}
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 1.5))
        process.kill()
        process.communicate()
        command(prepare.main, *own)  # restores or finishes, whatever it says of the classes
        assert entries(tmp_path) in ([VERSION], [f".{VERSION}.preparing", VERSION])
        opened = loader.open_split("folder/own", "train", tmp_path / "d")
        assert fingerprint.is_whole(opened.fingerprint, "train")
        assert all(opened[i]["label"].shape == (24, 32) for i in range(4))
        seen.add(opened.labels.names[0])
    assert seen <= {"ground", "other"}


def test_the_digest_of_each_file_is_of_its_own_bytes(command, own, tmp_path, monkeypatch):
    """Images that are kept as published are hashed while they are read back, and never again."""
    with Image.open(tmp_path / "images" / "0.png") as image:
        image.save(tmp_path / "images" / "0.bmp")
    (tmp_path / "images" / "0.png").unlink()
    again, real = [], prepared_from._digest
    monkeypatch.setattr(prepared_from, "_digest", lambda path: again.append(path) or real(path))
    assert command(prepare.main, *own)[0] == 0
    files = [*(tmp_path / "images").iterdir(), *(tmp_path / "masks").iterdir()]
    kept = prepared_from.read(tmp_path / "d" / "folder" / "own" / VERSION)
    assert sorted(digest for *_, digest in kept["files"]) == sorted(map(real, files))
    assert len(again) == 7  # one image that was converted, and six masks


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_ids_are_counted_as_bincount_counts_them(kind):
    raw = np.random.default_rng(0).integers(0, 256, (37, 41)).astype(kind)
    raw[:20] = 255
    counts = np.bincount(raw.ravel())
    assert inspection.count_ids(raw) == {k: n for k, n in enumerate(counts.tolist()) if n}
