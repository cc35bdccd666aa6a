"""The program of the EM errors, on two drawn slices: numbers, table, picture, missing files."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from experiments.studies import em_errors
from jaxseg.data.labels import LabelSpec
from jaxseg.metrics import rand_error, warping_error

SPEC = LabelSpec(
    names=("membrane", "cell"), palette=((0, 0, 0), (255, 255, 255)), raw_to_train={0: 0, 255: 1}
)


class Slices(list):
    """What `loader.open_split` gives, of two slices of 12 x 16."""

    name, split, labels = "isbi_em", "val", SPEC

    def __init__(self):
        truth = np.ones((12, 16), np.uint8)
        truth[:, 7:9] = 0
        grey = np.repeat((100 * truth + 50)[..., None], 3, axis=-1)
        super().__init__({"image": grey, "label": truth, "name": name} for name in ("28", "29"))


@pytest.fixture
def source(monkeypatch):
    opened = Slices()
    monkeypatch.setattr(em_errors.loader, "open_split", lambda *_: opened)
    return opened


@pytest.fixture
def predictions(tmp_path):
    """Right at 0.5, except for a gap in the border of the second slice, up to 0.7."""
    (tmp_path / "probabilities").mkdir()
    for example in Slices():
        score = np.where(example["label"] == 1, 0.95, 0.25)
        if example["name"] == "29":
            score[4:6, 7:9] = 0.72
        both = np.stack([1 - score, score], axis=-1).astype(np.float16)
        path = tmp_path / "probabilities" / f"{example['name']}.npz"
        np.savez_compressed(path, probabilities=both, names=np.asarray(SPEC.names))
    return tmp_path


def test_numbers_table_and_picture(source, predictions, capsys, tmp_path):
    files = {"output": tmp_path / "errors.json", "picture": tmp_path / "errors.png"}
    flags = [f"--{key}={value}" for key, value in files.items()]
    assert em_errors.main([f"--predictions={predictions}", "--width=64", *flags]) == 0
    errors = json.loads(files["output"].read_text())["errors"]
    scores, truth, names = em_errors.read(predictions, source)
    assert names == ["28", "29"]
    assert errors["Rand error"]["all"] == rand_error.rand_error(scores, truth) == 0
    assert errors["Rand error"]["threshold"] == 0.75
    warping = errors["warping error, splits and mergers"]
    assert warping["all"] == warping_error.warping_error(scores, truth) == 0
    assert warping["threshold"] == 0.8
    assert errors["pixel error"]["slices"] == {"28": 0, "29": 0}
    squared = rand_error.squared_error(scores, truth)
    assert errors["squared error"]["all"] == pytest.approx(squared)
    assert errors["area under the ROC curve"]["all"] == 1
    expected = (0.05 * 336 + 0.25 * 44 + 4 * (0.72 - 0)) / 384
    assert errors["calibration error"]["all"] == pytest.approx(expected, abs=1e-3)
    out = re.sub(" +", " ", capsys.readouterr().out)  # without what aligns the columns
    assert "isbi_em val, 2 slices, class cell" in out
    assert "| Rand error | 0.75 | 0.000000 | 0.000000 | 0.000000 |" in out
    assert "| | threshold | all | 28 | 29 |" in out
    drawn = np.asarray(Image.open(files["picture"]))
    assert drawn.shape[1] == 4 * 64 + 3 * 6
    assert drawn.shape[0] > 2 * 48
    few = [*flags, "--width=64", "--without_data", "--shown=1"]
    assert em_errors.main([f"--predictions={predictions}", "--pixels_only", *few]) == 0
    less = np.asarray(Image.open(files["picture"]))
    assert less.shape == (drawn.shape[0] // 2, 2 * 64 + 6, 3)


def test_a_merged_cell_has_the_colour_of_the_larger_and_a_new_one_is_grey():
    truth = np.zeros((4, 9), int)
    truth[:2, :3], truth[:2, 4:] = 1, 2
    merged = np.zeros_like(truth)
    merged[:2], merged[3] = 1, 2
    own, found = em_errors.coloured(truth, truth), em_errors.coloured(merged, truth)
    assert (own[0, 0] != own[0, 8]).any()
    np.testing.assert_array_equal(found[0], np.broadcast_to(own[0, 8], (9, 3)))
    assert (found[3] == 128).all()
    assert not found[2].any()


def test_pixels_only_leaves_cells_out(source, predictions, capsys):
    assert em_errors.main([f"--predictions={predictions}", "--pixels_only"]) == 0
    out = capsys.readouterr().out
    assert "ROC" in out
    assert "Rand" not in out


def test_bad_input_is_one_line(source, predictions, capsys):
    def line(*flags):
        assert em_errors.main([f"--predictions={predictions}", *flags]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    assert "--shown=0" in line("--shown=0")
    path = predictions / "probabilities" / "29.npz"
    both = np.zeros((12, 16, 2), np.float16)
    np.savez(path, probabilities=both, names=np.asarray(["background", "vessel"]))
    assert "29.npz is of the classes background, vessel" in line()
    np.savez(path, probabilities=both[1:], names=np.asarray(SPEC.names))
    assert "29.npz is (11, 16), its slice (12, 16)" in line()
    path.unlink()
    missing = line()
    assert "29.npz is missing, 1 of 2 are: python -m jaxseg.main --mode=predict" in missing
    source.labels = LabelSpec(names=("a",), palette=((0, 0, 0),), raw_to_train={0: 0})
    assert "isbi_em has 1 classes" in line()
