"""The record of an evaluation: tags, the table, pictures."""

import numpy as np
from PIL import Image

from jaxseg import config
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.evaluation import pictures
from jaxseg.inference import overlay
from jaxseg.reporting import tables
from jaxseg.workdir import eval_folder

LABELS = LabelSpec(("sky", "road", "car"), voc_palette(3), {0: 0, 1: 1, 2: 2, 255: 255})


def test_tags_distinguish_protocols():
    several = [
        config.Eval(),
        config.Eval(output_stride=8),
        config.Eval(scales=(0.5, 1.0)),
        config.Eval(scales=(0.5, 1.0), flip=True),
        config.Eval(sliding=True),
        config.Eval(sliding=True, stride=0.5),
        config.Eval(size=(513, 513)),
        config.Eval(examples=9),
        config.Eval(use_ema=False),
    ]
    tags = [eval_folder.tag("val", protocol) for protocol in several]
    assert len(set(tags)) == len(tags)
    assert tags[0] == "val"
    assert tags[3] == "val_ms0.5-1_flip"
    assert eval_folder.tag("val", config.Eval(batch_size=3)) == "val"  # without influence


def test_the_table_is_aligned_and_shows_what_is_undefined():
    confusion = np.array([[90, 10, 0], [0, 0, 0], [5, 0, 95]])
    lines = tables.evaluation(confusion, ("road", "a long name of a class", "car")).splitlines()
    assert [len(line) for line in lines[:5]] == [len(lines[0])] * 5
    assert lines[2].split() == ["road", "85.71", "92.31", "94.74", "90.00", "50.00"]
    assert lines[3].split()[-3:] == ["0.00", "–", "0.00"]
    assert lines[-1] == "absent from the truth: a long name of a class"


def test_the_table_shows_the_interval_next_to_miou():
    confusion = np.array([[90, 10], [5, 95]])
    printed = tables.evaluation(confusion, ("a", "b"), (0.70123, 0.74449))
    assert " 86.04  [70.1, 74.4] (95 %, over images)\n" in printed
    assert printed.count("over images") == 1
    plain = tables.evaluation(confusion, ("a", "b"))
    assert "over images" not in plain
    for label, value in (
        ("mean Dice", 92.5),
        ("Cohen's kappa", 85.0),
    ):
        line = next(line for line in plain.splitlines() if line.startswith(label))
        assert abs(float(line.removeprefix(label)) - value) < 0.02


def test_a_mean_that_is_the_same_by_every_rule_is_shown_once():
    same = "equal to mIoU here: mIoU of the truth's classes; mIoU, absent as 0; mIoU, absent as 1"
    printed = tables.evaluation(np.array([[90, 10], [5, 95]]), ("a", "b"))
    assert same in printed
    assert [line for line in printed.splitlines() if line.startswith("mIoU")][1:] == []
    one_absent = tables.evaluation(np.array([[90, 10, 0], [5, 95, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert "equal to mIoU here: mIoU of the truth's classes\n" in one_absent
    assert "mIoU, absent as 0       57.36" in one_absent


def test_pictures_show_image_truth_prediction_and_errors(tmp_path):
    path = tmp_path / eval_folder.picture_name("best", 1, "a/b c.png")
    assert eval_folder.picture_parts(path) == ("best", 1, "a_b_c.png")
    shape = (60, 80)
    image = np.full((*shape, 3), 77, np.uint8)
    truth, prediction = np.full(shape, 1, np.uint8), np.full(shape, 2, np.uint8)
    pictures.write_picture(path, image, truth, prediction, LABELS)
    drawn = np.asarray(Image.open(path))
    seen = {tuple(colour) for colour in drawn.reshape(-1, 3)}
    wrong = overlay.ERRORS.palette[1]
    assert {(77, 77, 77), LABELS.palette[1], LABELS.palette[2], wrong} <= seen
    assert drawn.shape[1] >= 2 * 80
    assert drawn.shape[0] >= 2 * 60
