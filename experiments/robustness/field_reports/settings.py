"""G. Settings without effect, and commands that would not do what they say."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from absl import flags

from experiments.ablation import ablation
from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg import config
from jaxseg.backbones import resnet
from jaxseg.checks import effect
from jaxseg.checks import experiment as checks
from jaxseg.cli import flag_check
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.layers.compute import Compute
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3
from jaxseg.training import drift, preflight

TESTS = "tests/training/test_preflight.py::"
ALONE = f"{TESTS}test_a_setting_without_meaning_is_refused_alone"
FLAGS = "tests/cli/test_flag_check.py::test_what_absl_would_take_otherwise_is_refused"


class _Images:
    """Six grey images of 40 x 48 with the given number of classes."""

    def __init__(self, classes: int) -> None:
        names = ("ground", "red", "green", "blue")[:classes]
        identity = {i: i for i in range(classes)} | {255: 255}
        self.labels, self.largest = LabelSpec(names, voc_palette(classes), identity), (40, 48)

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Any]:
        blank = np.zeros(self.largest, np.uint8)
        return {"image": np.stack([blank] * 3, -1), "label": blank, "name": str(index)}


def _experiment(classes: int = 3, **fields: Any) -> config.Experiment:
    """A small experiment with changed fields, such as optim__learning_rate=0.0."""
    backbone = resnet.ResNet(depth=18, width=8, output_stride=16)
    model = deeplab_v3.DeepLabV3(classes, backbone, atrous_rates=(2, 4), aspp_features=8)
    data = config.Data(name="folder/own", batch_size=4, crop_size=(33, 33))
    built = config.Experiment(model, data, train=config.Train(steps=6))
    for path, value in fields.items():
        built = ablation.with_change(built, {path.replace("__", "."): value})
    return built


def _refused(*words: str, classes: int = 3, of_data: int = 3, **fields: Any) -> Seen:
    split = _Images(of_data)
    built = _experiment(classes, **fields)
    return situation.refusal(lambda: preflight.ready(built, (split, split)), *words)  # type: ignore[arg-type]


def _one_class(folder: pathlib.Path) -> Seen:
    return _refused(
        "one class", "the background must be a class", "--classes", of_data=1, classes=2
    )


def _pixels_of_one(folder: pathlib.Path) -> Seen:
    return _refused(
        "--config.data.normalisation.mean=123.675,116.28,103.53",
        "--config.data.normalisation.std=58.395,57.12,57.375",
        data__normalisation__mean=(0.485, 0.456, 0.406),
        data__normalisation__std=(0.229, 0.224, 0.225),
    )


def _decay_twice(folder: pathlib.Path) -> Seen:
    return _refused(
        "optim.decay_steps=2,2 must be strictly increasing",
        "--config.optim.decay_steps=2",
        optim__schedule="step",
        optim__decay_steps=(2, 2),
    )


def _decay_too_late(folder: pathlib.Path) -> Seen:
    return _refused("train.steps", optim__schedule="step", optim__decay_steps=(2, 60))


def _all_at_once(folder: pathlib.Path) -> Seen:
    return _refused(
        "6 settings cannot be used",
        "--config.loss.class_weights",
        "--config.model.num_classes=3",
        "--config.eval.examples=0",
        "--config.data.augment.scale_range=0.5,2.0",
        "--config.train.keep=3",
        "multiple of 3",
        classes=4,
        loss__class_weights=(1.0,) * 11,
        data__augment__scale_range=(2.0, 0.5),
        train__keep=0,
        train__accumulate=3,
        eval__examples=9,
    )


def _any_class_count(folder: pathlib.Path) -> Seen:
    from experiments.deeplab_v3_plus import folder as deeplab_v3_plus_folder

    found = []
    for classes in (2, 3, 4):
        built = deeplab_v3_plus_folder.get_config()
        built.data.crop_size = (33, 33)
        split = _Images(classes)
        ready = preflight.ready(built, (split, split))  # type: ignore[arg-type]
        found.append(ready.experiment.model.num_classes)
    return situation.right(
        found == [2, 3, 4], f"networks of {found} classes for data sets of 2, 3, 4"
    )


def _frozen_parameters(folder: pathlib.Path) -> Seen:
    lines = drift.notices(_experiment(optim__multipliers=(("^backbone/", 0.0),)))
    situation.check(len(lines) == 1, f"{len(lines)} lines")
    return situation.clear_message(
        lines[0], "batch statistics", "--config.model.backbone.norm.kind=frozen"
    )


def _frozen_norms(folder: pathlib.Path) -> Seen:
    built = _experiment(optim__multipliers=(("^backbone/", 0.0),))
    backbone = built.model.backbone.clone(norm=Norm("frozen"))
    built = dataclasses.replace(built, model=built.model.clone(backbone=backbone))
    lines, moving = drift.notices(built), drift.updated(built)
    still = not any(path.startswith("backbone/") for path in moving)
    return situation.right(not lines and still, "no line, and no statistic of the backbone changes")


def _one_image(folder: pathlib.Path) -> Seen:
    (line,) = drift.notices(_experiment(data__batch_size=1))
    return situation.clear_message(line, "one image", "norm.kind=frozen", "norm.kind=group")


def _void_crops(folder: pathlib.Path) -> Seen:
    return _refused("--config.data.crop_size=", "mostly void", data__crop_size=(513, 513))


def _float16(folder: pathlib.Path) -> Seen:
    built = _experiment()
    model = built.model.clone(compute=Compute("float16"))
    split = _Images(3)
    half = dataclasses.replace(built, model=model)
    return situation.refusal(
        lambda: preflight.ready(half, (split, split)),  # type: ignore[arg-type]
        "needs loss scaling",
        "--config.model.compute.dtype=bfloat16",
    )


def _command(line: str, *words: str) -> Seen:
    known = flags.FlagValues()
    for name in ("workdir", "mode", "config"):
        flags.DEFINE_string(name, None, "", flag_values=known)
    found = flag_check.faults(["main", *line.split()], known, {"data.augment.flip"})
    situation.check(len(found) == 1, f"{len(found)} lines for {line}")
    return situation.clear_message(found[0], *words)


def _no_effect(folder: pathlib.Path) -> Seen:
    built = _experiment(eval__crop_size=(33, 33))
    (line,) = effect.without_effect(
        built, {"eval.crop_size": (33, 33)}, config.Experiment(built.model)
    )
    return situation.clear_message(line, "has no effect", "--config.eval.sliding=True")


def _reversed(folder: pathlib.Path) -> Seen:
    faults, _ = checks.examine(_experiment(data__augment__scale_range=(2.0, 0.5)), "train")
    return situation.clear_message(faults[0], "--config.data.augment.scale_range=0.5,2.0")


def _uneven(folder: pathlib.Path) -> Seen:
    built = _experiment(data__augment__scale_range=(0.5, 1.1), data__augment__scale_step=0.25)
    return situation.clear_message(
        checks.examine(built, "train")[0][0], "--config.data.augment.scale_step="
    )


def _of(letter: str, name: str, before: str, test: str, run: Any) -> Situation:
    return Situation(letter, name, before, test, run)


SITUATIONS: tuple[Situation, ...] = (
    _of(
        "G",
        "a data set of one class",
        "trained to loss 0, mIoU 1.0, exit 0",
        f"{TESTS}test_one_class_is_refused_before_the_first_step",
        _one_class,
    ),
    _of(
        "G",
        "data.normalisation.mean=0.485,... and data.normalisation.std=0.229,...",
        "white became 1111; trained, exit 0",
        f"{TESTS}test_mean_and_deviation_are_of_pixels_from_0_to_255",
        _pixels_of_one,
    ),
    _of("G", "decay_steps=2,2", "the rate fell once, exit 0", ALONE, _decay_twice),
    _of("G", "decay_steps beyond train.steps", "never fell, exit 0", ALONE, _decay_too_late),
    _of(
        "G",
        "six faults in one configuration",
        "the first one; the next at the next start",
        f"{TESTS}test_every_fault_is_told_in_one_go_with_its_flag",
        _all_at_once,
    ),
    _of(
        "G",
        "README's experiment for your own images, with 2, 3 and 4 classes",
        "refused: loss.class_weights has 11 numbers, folder/b has 4 classes",
        f"{TESTS}test_the_number_of_classes_can_be_left_to_the_data",
        _any_class_count,
    ),
    _of(
        "G",
        "a multiplier of 0 over batch norms",
        "batch statistics drifted silently",
        f"{TESTS}test_frozen_parameters_with_drifting_statistics_are_said_at_the_start",
        _frozen_parameters,
    ),
    _of(
        "G",
        "a multiplier of 0 over frozen norms",
        "right",
        f"{TESTS}test_what_the_line_points_to_keeps_both_parameters_and_statistics",
        _frozen_norms,
    ),
    _of(
        "G",
        "batch norm with a batch of one image",
        "trained silently",
        f"{TESTS}test_batch_norm_over_one_image_is_said_at_the_start",
        _one_image,
    ),
    _of(
        "G",
        "crops of 513 of images of 40 x 48",
        "trained on crops that are 97 % void, exit 0",
        ALONE,
        _void_crops,
    ),
    _of("G", "training in float16", "trained with vanishing gradients, exit 0", ALONE, _float16),
    _of("G", "scale_range=2,0.5", "refused when the loader began", ALONE, _reversed),
    _of("G", "a scale_step that does not fill its range", "another step, exit 0", ALONE, _uneven),
    _of(
        "G",
        "--config.data.augment.flip False",
        "'False' is not a flag; see --help",
        FLAGS,
        lambda folder: _command(
            "--config.data.augment.flip False", "--config.data.augment.flip=False"
        ),
    ),
    _of(
        "G",
        "--workdir --mode=evaluate",
        "trained into a folder named --mode=evaluate",
        FLAGS,
        lambda folder: _command("--workdir --mode=evaluate", "--workdir=VALUE"),
    ),
    _of(
        "G",
        "a field given twice",
        "the last value counted; of a tuple both did",
        FLAGS,
        lambda folder: _command(
            "--config.train.steps=5 --config.train.steps=50", "given 2 times", "5 and 50"
        ),
    ),
    _of(
        "G",
        "--config.eval.crop_size without eval.sliding",
        "whole images, exit 0",
        "tests/cli/test_flag_check.py::"
        "test_a_field_that_another_one_switches_off_is_refused_where_it_is_given",
        _no_effect,
    ),
)
