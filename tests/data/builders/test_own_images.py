"""docs/own_images.md: each layout is made and its command run, each class file is read."""

import pathlib
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import source
from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare
from jaxseg.data.readers.class_file import read_classes
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "own_images.md").read_text()
LAYOUTS, CLASSES = TEXT.split("## The class file\n")
_BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
BY_COLOUR = {"colours.txt", "hex.txt", "label_colors.txt", "labelmap.txt", "class_dict.csv"}
SECTIONS = {
    title: body
    for title, body in re.findall(r"^### (.*)\n((?:(?!^### ).*\n)*)", LAYOUTS, re.MULTILINE)
    if "```" in body
}


def save(path, seed, mask):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 2, (8, 8)) if mask else rng.integers(0, 256, (8, 8, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def make(root, section):
    """The files of a section, and its command."""
    (root / "classes.txt").write_text("road\ncar\n")
    listed, command = [], ""
    for kind, title, text in _BLOCK.findall(section):
        if title:
            (root / title).parent.mkdir(parents=True, exist_ok=True)
            (root / title).write_text(text)
        elif kind == "text":
            listed = [line.split() for line in text.splitlines()]
        else:
            command = text.replace("\\\n", " ")
    for seed, (image, mask) in enumerate(listed):
        save(root / image, seed, mask=False)
        save(root / mask, seed, mask=True)
    return listed, command


@pytest.mark.parametrize("title", SECTIONS)
def test_each_layout_is_prepared_by_its_command(tmp_path, monkeypatch, command, title):
    monkeypatch.chdir(tmp_path)
    listed, line = make(tmp_path, SECTIONS[title])
    name, program, *flags = shlex.split(line)
    assert (name, program) == ("jaxseg", "prepare")
    status, _, err = command(prepare.main, *flags, "--data_dir=prepared")
    assert (status, err.count("jaxseg:")) == (0, 0), err
    folder = source.prepared_folder("folder/roads", pathlib.Path("prepared"))
    by_split = {
        split: source.Source("folder/roads", split, folder) for split in source.splits(folder)
    }
    assert {split: len(examples) for split, examples in by_split.items()} == {"train": 2, "val": 1}
    masks = {np.asarray(Image.open(mask)).tobytes() for _, mask in listed}
    read = [examples[i]["label"] for examples in by_split.values() for i in range(len(examples))]
    assert {np.asarray(label).tobytes() for label in read} == masks


def test_the_doctor_looks_at_what_was_prepared(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    first, *_ = re.findall(r"```bash\n(.*?)```", LAYOUTS, re.DOTALL)
    make(tmp_path, SECTIONS["A folder for each split, with images and labels in it"])
    for line, program in zip(first.splitlines(), (prepare.main, doctor.main), strict=True):
        status, out, err = command(program, *shlex.split(line)[2:], "--data_dir=d")
        assert status == 0, err
    assert "No problems were found." in out


def test_every_file_of_classes_is_read(tmp_path):
    files = [(title, text) for kind, title, text in _BLOCK.findall(CLASSES) if title]
    assert len(files) == 16
    for title, text in files:
        (tmp_path / title).write_text(text)
        found = read_classes(tmp_path / title)
        assert found.labels.names == ("road", "car"), title
        ids = [raw for raw, train in found.labels.raw_to_train.items() if train < 2]
        assert ids == ([7, 26] if "7" in text else [0, 1]), title
        if "128" in text or "#8" in text:
            assert found.labels.palette[0] == (128, 64, 128), title
        assert (found.colours is not None) == (title in BY_COLOUR), title
