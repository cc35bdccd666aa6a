"""A. A run knows its classes and its data."""

import contextlib
import io
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg import config, evaluate, predict, train
from jaxseg.data.builders import shapes_variants
from jaxseg.data.prepare import prepare

NAMES = ("ground", "red", "blue")
PALETTE: tuple[tuple[int, int, int], ...] = ((9, 9, 9), (200, 0, 0), (0, 0, 200))
_TESTS = "tests/workdir/test_same_data.py::"


class Pixelwise(nn.Module):
    """A linear classifier of single pixels: the smallest trainable model."""

    num_classes: int = len(NAMES)

    @nn.compact
    def __call__(self, images: Any, *, train: bool) -> dict[str, Any]:
        """{"logits" [B, H, W, K]} of images [B, H, W, 3]."""
        return {"logits": nn.Conv(self.num_classes, (1, 1), name="classifier")(images)}


def write_files(root: pathlib.Path, order: tuple[int, ...] = (0, 1, 2), count: int = 6) -> None:
    """Writes images whose colour is their class, masks of ids 0, 1, 2, and a class file."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        ids = np.random.default_rng(i).integers(0, 3, (4, 5)).repeat(4, 0).repeat(4, 1)
        Image.fromarray(np.array(PALETTE, np.uint8)[ids]).save(root / "images" / f"{i}.png")
        Image.fromarray(ids.astype(np.uint8)).save(root / "masks" / f"{i}.png")
    lines = (f"{k} {NAMES[k]} {' '.join(map(str, PALETTE[k]))}\n" for k in order)
    (root / "classes.txt").write_text("".join(lines))


def prepared(name: str, data_dir: pathlib.Path, *arguments: str) -> str:
    """Prepares data in this process; returns the output."""
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(), contextlib.redirect_stdout(io.StringIO()) as out:
        flags.FLAGS(["prepare", *arguments])
        prepare.prepare(name, data_dir, overwrite="--overwrite" in arguments)
    return out.getvalue()


def given(root: pathlib.Path) -> tuple[str, ...]:
    """The flags for a folder written by `write_files`."""
    return (
        f"--images={root / 'images'}",
        f"--masks={root / 'masks'}",
        f"--classes={root / 'classes.txt'}",
        "--val_share=0.34",
    )


def experiment(folder: pathlib.Path, name: str = "folder/own", steps: int = 1) -> config.Experiment:
    """The experiment of one step on a data set below `folder`."""
    classes = len(shapes_variants.shapes.LABELS.names) if name.startswith("shapes") else len(NAMES)
    return config.Experiment(
        model=Pixelwise(classes),
        data=config.Data(
            name=name, data_dir=str(folder / "data"), batch_size=2, crop_size=(16, 16), threads=1
        ),
        train=config.Train(steps=steps, pictures=0),
        eval=config.Eval(batch_size=2),
    )


def trained(folder: pathlib.Path) -> config.Experiment:
    """Prepares folder/own in `folder`, and runs one step on it in folder/run."""
    write_files(folder / "files")
    prepared("folder/own", folder / "data", *given(folder / "files"))
    train.fit(experiment(folder), folder / "run")
    return experiment(folder)


def turned(folder: pathlib.Path) -> config.Experiment:
    """Like `trained`, but then prepares the data set again with its classes in another order."""
    one = trained(folder)
    write_files(folder / "files", (2, 1, 0))
    prepared("folder/own", folder / "data", *given(folder / "files"), "--overwrite")
    return one


_FIRST = 'class 0 is "ground" in the run and "blue" in the data'


def _evaluate(folder: pathlib.Path) -> Seen:
    one = turned(folder)
    return situation.refusal(
        lambda: evaluate.run(one, folder / "run", progress=False), _FIRST, "labels.json"
    )


def _resume(folder: pathlib.Path) -> Seen:
    turned(folder)
    longer = experiment(folder, steps=2)
    return situation.refusal(lambda: train.fit(longer, folder / "run"), _FIRST, "--workdir")


def _predict(folder: pathlib.Path) -> Seen:
    one = turned(folder)
    inputs = [folder / "files" / "images"]
    return situation.refusal(
        lambda: predict.main(one, folder / "run", inputs, folder / "out"), _FIRST, "--changed_data"
    )


def _start_from(folder: pathlib.Path) -> Seen:
    one = turned(folder)
    one.train.init_from = str(folder / "run")
    return situation.refusal(
        lambda: train.fit(one, folder / "new"), 'class 0 is "ground"', "init_partial"
    )


def _other_examples(folder: pathlib.Path) -> Seen:
    one = trained(folder)
    write_files(folder / "files", count=9)
    prepared("folder/own", folder / "data", *given(folder / "files"), "--overwrite")
    return situation.refusal(
        lambda: evaluate.run(one, folder / "run", progress=False),
        "val has 2 examples in the run and 3 in the data",
        "--changed_data",
    )


def _cross(folder: pathlib.Path) -> Seen:
    trained(folder)
    prepared("folder/other", folder / "data", *given(folder / "files"))
    one = experiment(folder, "folder/other")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluate.run(one, folder / "run", progress=False)
    record = json.loads((folder / "run" / "eval" / "val.json").read_text())
    return situation.right("another set" in record["compared"], record["compared"])


def _without_data(name: str) -> Callable[[pathlib.Path], Seen]:
    def run(folder: pathlib.Path) -> Seen:
        if name == "folder/own":
            trained(folder)
            palette = PALETTE
        else:
            prepared(
                name, folder / "data", "--shapes_size=32", "--shapes_train=2", "--shapes_val=1"
            )
            train.fit(experiment(folder, name), folder / "run")
            write_files(folder / "files", count=1)
            palette = shapes_variants.shapes.LABELS.palette
        shutil.rmtree(folder / "data")
        with contextlib.redirect_stdout(io.StringIO()):
            inputs = [folder / "files" / "images" / "0.png"]
            status = predict.main(experiment(folder, name), folder / "run", inputs, folder / "out")
        with Image.open(folder / "out" / "labels" / "0.png") as label:
            colours = label.getpalette() or []
        flat = [channel for colour in palette for channel in colour]
        good = status == 0 and colours[: len(flat)] == flat
        return situation.right(good, "predicted under the run's own names and colours")

    return run


SITUATIONS = (
    Situation(
        "A",
        "evaluation after the classes were given in another order",
        "exit 0, the mIoU of other classes",
        f"{_TESTS}test_other_classes_are_refused_by_every_mode_with_the_first_that_differs",
        _evaluate,
    ),
    Situation(
        "A",
        "a run resumes after the classes were given in another order",
        "it continued with the other classes",
        f"{_TESTS}test_other_classes_are_refused_by_every_mode_with_the_first_that_differs",
        _resume,
    ),
    Situation(
        "A",
        "prediction after the classes were given in another order",
        "exit 0, the old ids under the new names",
        f"{_TESTS}test_other_classes_are_refused_by_every_mode_with_the_first_that_differs",
        _predict,
    ),
    Situation(
        "A",
        "a run that starts from one of as many other classes",
        "the head was taken over silently",
        "tests/training/test_start.py::test_a_head_of_other_classes_is_refused_or_left_aside",
        _start_from,
    ),
    Situation(
        "A",
        "evaluation after the data set was prepared again with more images",
        "exit 0, images that were trained on among those of val",
        f"{_TESTS}test_other_examples_are_refused_unless_they_are_accepted",
        _other_examples,
    ),
    Situation(
        "A",
        "evaluation on another set of the same classes",
        "right, but the record did not say it",
        f"{_TESTS}test_another_set_of_the_same_classes_is_no_fault_and_is_said",
        _cross,
    ),
    Situation(
        "A",
        "prediction with the run folder alone, data of folder/NAME gone",
        "refused: folder/own is not prepared",
        f"{_TESTS}test_a_run_predicts_when_its_data_is_gone",
        _without_data("folder/own"),
    ),
    Situation(
        "A",
        "prediction with the run folder alone, data of shapes/thin gone",
        "refused: shapes/thin is not prepared",
        f"{_TESTS}test_a_run_predicts_when_its_data_is_gone",
        _without_data("shapes/thin"),
    ),
)
