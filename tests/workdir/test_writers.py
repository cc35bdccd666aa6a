"""Every writer with the disk full at each moment: no half file under a final name."""

import errno
import itertools
import json
import os
import pathlib
import resource
import tarfile

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments.ablation import job_folder, output
from jaxseg import config, report, whole_file
from jaxseg.data.readers import photos
from jaxseg.evaluation import archive
from jaxseg.inference import label_files
from jaxseg.models.unet import UNet
from jaxseg.workdir import checkpoint, converted, environment, log
from tests.helpers.programs import tiny
from tests.reporting.test_run_folder import CONFUSION, LABELS, write_evaluation, write_run

_OPEN = os.open


_FILES = ("open", "fsync", "replace", "dup")
_FOLDERS = (*_FILES, "mkdir", "rename", "unlink")


class _FullDisk:
    """Lets a number of file-creating calls pass, then raises "no space left"."""

    def __init__(self, monkeypatch, passing, names=_FILES):
        self.left, self.hit = passing, False
        for name in names:
            monkeypatch.setattr(whole_file.os, name, self._wrap(getattr(os, name)))

    def _wrap(self, real):
        def call(*args, **kwargs):
            if real is _OPEN and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            if "checkpoints" in str(args[0]):  # Orbax's threads may wait for ever for each other
                return real(*args, **kwargs)
            if self.left <= 0:
                self.hit = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.left -= 1
            return real(*args, **kwargs)

        return call


def _record():
    row = {
        "name": "row",
        "paper": 70.0,
        "seeds": [0],
        "miou": [0.5],
        "mean": 0.5,
        "interval": None,
        "images_per_second": 1.0,
        "change": {},
    }
    return {
        "rows": [row],
        "title": "T",
        "size": "shapes",
        "seeds": [0],
        "unfinished": [],
        "stale": [],
        "agreement": "",
        "ablation": "x",
        "cause": "",
        "source": "",
        "environment": {"command": ""},
    }


def _prediction(folder):
    label = np.zeros((4, 5), np.uint8)
    image = np.zeros((4, 5, 3), np.uint8)
    label_files.write(folder, "sub/name", image, label, np.zeros((4, 5, 3), np.float32), LABELS)


def _submission(folder):
    (folder / "images").mkdir(exist_ok=True)
    (folder / "predictions" / "labels").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4)).save(folder / "images" / "a.png")
    Image.new("L", (5, 4)).save(folder / "predictions" / "labels" / "a.png")
    found = photos.find([folder / "images"]).photos
    archive.write("voc2012", folder / "predictions", found, folder / "out.tgz")


def _evaluation(folder):
    write_evaluation(folder, counts=np.stack([CONFUSION] * 3))


def _describe(folder):
    environment.describe_run(config.Experiment(tiny.Tiny(3)), folder, pathlib.Path(__file__), 0)


def _log(folder):
    writer = log.Writer(folder, 0)
    writer.write("train", 1, {"loss": 1.0})
    writer.close()


def _report(folder):
    report.write([folder / "run"], folder / "out")


def _job(folder):
    experiment = config.Experiment(UNet(3))  # a job holds no classes of tests
    job_folder.write_job(folder, experiment, {"row": config.Eval()}, "")


def _table(folder):
    output.write(_record(), folder)


WRITERS = (_prediction, _submission, _evaluation, _describe, _log, _report, _job, _table)


def _read_whole(path):
    """Raises unless the file is complete for the format that its name implies."""
    data = path.read_bytes()
    if path.suffix == ".json":
        json.loads(data)
    elif path.suffix in (".png", ".jpg"):
        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".npz":
        with np.load(path) as file:
            assert [file[name] for name in file.files]
    elif path.suffix == ".tgz":
        with tarfile.open(path) as file:
            assert file.getnames()
    elif path.suffix == ".html":
        assert data.rstrip().endswith(b"</html>")
    else:
        assert data or path.name in (".lock", "metrics.jsonl")


def _final(folder):
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in found if "tensorboard" not in path.parts]


def _raised_by(write, folder):
    try:
        write(folder)
    except (OSError, ValueError) as error:
        return error
    return None


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_full_disk_at_each_moment_leaves_whole_files_and_a_repeat_fixes_it(
    tmp_path, monkeypatch, write
):
    monkeypatch.setattr(report.page.figures, "plots", lambda _: [])
    monkeypatch.setattr(output, "plot", lambda _: Figure((1, 1)))
    whole = tmp_path / "whole"
    whole.mkdir()
    write_run(whole / "run")
    write(whole)
    wanted = [path.relative_to(whole) for path in _final(whole)]
    for passing in itertools.count():
        folder = tmp_path / str(passing)
        folder.mkdir()
        write_run(folder / "run")
        with monkeypatch.context() as patch:
            disk = _FullDisk(patch, passing)
            raised = _raised_by(write, folder)
        assert disk.hit == (raised is not None) or write is _log  # closing events is best effort
        assert raised is None or (raised.errno == errno.ENOSPC and raised.filename)
        for path in _final(folder):
            assert not path.name.endswith(".jaxseg-part"), path
            _read_whole(path)
        if not disk.hit:
            break
        write(folder)
        assert [path.relative_to(folder) for path in _final(folder)] == wanted
        assert passing < 60
    assert passing > 1


KERNEL = np.arange(2000, dtype=np.float32)


def _convert(folder):
    variables = {"params": {"kernel": KERNEL}, "batch_stats": {}}
    experiment = config.Experiment(tiny.Tiny(3))
    converted.save(folder / "converted", experiment, variables, {"summary": []}, LABELS)


def _assert_converted(folder):
    """The only thing there, with nothing in it but what belongs to it."""
    assert [path.name for path in folder.iterdir()] == ["converted"]
    found, step = checkpoint.restore_variables(folder / "converted")
    assert step == 0
    np.testing.assert_array_equal(found["params"]["kernel"], KERNEL)
    names = ["checkpoints", "config.json", "converted.json", "labels.json"]
    assert sorted(path.name for path in (folder / "converted").iterdir()) == names
    for path in (folder / "converted").glob("*.json"):
        _read_whole(path)


def test_a_conversion_on_a_full_disk_leaves_no_folder_and_a_repeat_fixes_it(tmp_path, monkeypatch):
    """Also where nothing can be removed any more; Orbax's own files have the test below."""
    for passing in itertools.count():
        folder = tmp_path / str(passing)
        folder.mkdir()
        with monkeypatch.context() as patch:
            disk = _FullDisk(patch, passing, _FOLDERS)
            raised = _raised_by(_convert, folder)
        if not disk.hit:
            break
        assert os.strerror(errno.ENOSPC).lower() in str(raised).lower()
        assert not (folder / "converted").exists()
        _convert(folder)
        _assert_converted(folder)
    assert passing > 8
    _assert_converted(folder)


@pytest.mark.parametrize("size", [1000])
def test_a_conversion_whose_files_cannot_grow_leaves_nothing(tmp_path, size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises((OSError, ValueError), match=r"(?i)file too large"):
            _convert(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    _convert(tmp_path)
    _assert_converted(tmp_path)


@pytest.mark.parametrize(
    "name", ["write_json", "data_identity.write_labels", "checkpoint.Checkpoints"]
)
def test_a_conversion_that_breaks_off_leaves_nothing(tmp_path, monkeypatch, name):
    with monkeypatch.context() as patch:
        patch.setattr(f"jaxseg.workdir.converted.{name}", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            _convert(tmp_path)
    assert not list(tmp_path.iterdir())
    _convert(tmp_path)
    _assert_converted(tmp_path)


def test_what_a_killed_conversion_left_is_no_part_of_the_next(tmp_path):
    left = tmp_path / "converted.incomplete"
    (left / "checkpoints" / "3").mkdir(parents=True)
    (left / "init.json").write_text("{}")
    _convert(tmp_path)
    _assert_converted(tmp_path)
