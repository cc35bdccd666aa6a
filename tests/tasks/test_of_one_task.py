"""Flags and fields of one task are refused for the other: a new one has to be classified here."""

import functools
import re
import subprocess
import sys

import pytest

from experiments.readme_tables import reference
from jaxseg import config, evaluate, predict, tasks
from jaxseg.backbones.resnet import ResNet
from jaxseg.checks import effect
from jaxseg.models.fpn import BoxProposals
from jaxseg.models.unet import UNet
from jaxseg.training import preflight
from jaxseg.workdir import restore
from tests.conftest import ROOT
from tests.helpers import detectors

# The flags that one task alone reads, and of which task the refused model or data are.
OF_ONE = {
    ("train", "protocol"): "instance",
    ("evaluate", "protocol"): "instance",
    ("predict", "protocol"): "instance",
    ("summary", "protocol"): "instance",
    ("predict", "probabilities"): "instance",
    ("predict", "score"): "semantic",
    ("doctor", "objects"): "semantic",
    **{
        ("submission", flag): "instance"  # the whole command is for label maps
        for flag in ("server", "predictions", "images", "list", "output", "competition")
    },
    # They say of which task the set folder/NAME is.
    **{(command, "annotations"): "either" for command in ("prepare", "doctor")},
    **{(command, "instances"): "either" for command in ("prepare", "doctor")},
}
_RUN = "config workdir max_image_pixels coordinator processes process traceback changed_data"
_SET = (
    "name data_dir manual_dir images masks classes table lists image_suffix mask_suffix val_share "
    "data_seed max_image_pixels"
)
OF_BOTH = {
    "train": _RUN,
    "evaluate": f"{_RUN} weights",
    "predict": f"{_RUN} weights inputs output",
    "summary": "config workdir coordinator processes process traceback size memory",
    "report": "output help",
    "prepare": f"{_SET} shapes_size shapes_train shapes_val overwrite export export_split examples",
    "doctor": f"{_SET} split picture preview views augment",  # augment: a field of either task
    "convert": "config output leave only any_mean thin input_channels verbose traceback",
    "submission": "max_image_pixels",
}
# The fields that both tasks read; of "PART.*" all of the part.
FIELDS_OF_BOTH = (
    *("data.name", "data.data_dir", "data.manual_dir", "data.train_split", "data.eval_split"),
    *("data.batch_size", "data.crop_size", "data.normalisation.*", "data.threads"),
    *("data.prefetch", "optim.*", "eval.batch_size", "eval.scales", "eval.flip", "eval.use_ema"),
    *("eval.examples", "train.steps", "train.seed", "train.log_every", "train.eval_every"),
    *("train.checkpoint_every", "train.keep", "train.accumulate", "train.ema_decay"),
    *("train.init_from", "train.init_partial", "train.shard_params", "train.heartbeat_timeout"),
    *("train.pictures", "train.compile_cache"),
)


def flags_of_commands() -> set[tuple[str, str]]:
    """(command, flag) of docs/reference/flags.md, which a test compares with the programs."""
    found = set()
    for section in reference.FLAGS.read_text().split("\n## jaxseg ")[1:]:
        command = section.partition("\n")[0]
        for name in re.findall(r"^  (?:-h, )?--(?:\[no\])?(\w+)", section, re.MULTILINE):
            found.add((command, name))
    return found - {(command, "config") for command in ("report",)}


def test_each_flag_is_of_one_task_or_of_both():
    both = {(command, flag) for command, flags in OF_BOTH.items() for flag in flags.split()}
    assert not both & OF_ONE.keys()
    assert flags_of_commands() == both | OF_ONE.keys()


def model_of(task):
    return UNet(2) if task == "semantic" else detectors.experiment("").model


def of_both(path):
    return any(
        path == each or (each.endswith("*") and path.startswith(each[:-1]))
        for each in FIELDS_OF_BOTH
    )


PATHS = [
    path for path, _ in config.flatten(config.Experiment(UNet(2))) if not path.startswith("model")
]


def refusals(path, task):
    """What is said if the field has another value, with a model of the task."""
    experiment = config.Experiment(model_of(task))
    *parts, last = path.split(".")
    value = object()  # it is only compared with the default
    object.__setattr__(functools.reduce(getattr, parts, experiment), last, value)
    found = effect.without_effect(experiment, {path: value}, config.Experiment(experiment.model))
    start = f"--config.{path} has no effect: only models of"
    return [line for line in found if line.startswith(start)]


def test_each_field_is_of_both_tasks_or_refused_for_exactly_one():
    assert len(PATHS) > 80
    for path in PATHS:
        refused = [len(refusals(path, task)) for task in ("semantic", "instance")]
        assert sorted(refused) == ([0, 0] if of_both(path) else [0, 1]), (path, refused)


@pytest.fixture
def unread(monkeypatch):
    """Fails where weights would be read."""

    def read(*_, **__):
        pytest.fail("weights are read")

    monkeypatch.setattr(restore, "restore", read)


@pytest.mark.usefixtures("unread")
def test_a_protocol_that_the_detector_does_not_have_is_refused_before_weights_are_read(tmp_path):
    """There is neither a run nor data."""
    boxes = BoxProposals(ResNet(18))
    panoptic = detectors.panoptic_experiment("").model
    for model, changes, words in (
        (boxes, {"flip": True}, "BoxProposals proposes regions, whose views cannot be merged"),
        (boxes, {"scales": (0.5, 1.0)}, "BoxProposals proposes regions"),
        (panoptic, {"flip": True}, "PanopticFPN classifies pixels, whose views are not merged"),
        (boxes, {"semantic": True}, "eval.semantic=True needs masks of classes"),
        (UNet(2), {"sliding": True, "margin": 3}, "eval.margin=3: UNet loses 92 pixels"),
    ):
        experiment = config.Experiment(model, eval=config.Eval(**changes))
        with pytest.raises(ValueError, match=words):
            evaluate.run(experiment, tmp_path / "none")
        with pytest.raises(ValueError, match=words):
            preflight.refuse_all([], experiment, "predict")


@pytest.mark.usefixtures("unread")
def test_what_the_other_task_writes_is_refused_before_weights_are_read(tmp_path):
    """There is neither a run nor an image."""
    detector, unet = detectors.experiment(""), config.Experiment(UNet(2))
    arguments = tmp_path / "none", [tmp_path / "no.png"], tmp_path / "out"
    with pytest.raises(ValueError, match="--probabilities are those of pixels, but MaskRCNN"):
        predict.main(detector, *arguments, probabilities=True)
    with pytest.raises(ValueError, match="--score is for detectors, but UNet predicts a class"):
        predict.main(unet, *arguments, score=0.5)
    with pytest.raises(ValueError, match="--protocol=pspnet needs a class for each pixel, but"):
        tasks.only_semantic(detector, "--protocol=pspnet")


COMMANDS = """
import sys
from absl import flags
from jaxseg import main
from jaxseg.cli import command_line
def device(experiment):
    raise AssertionError("a device is touched")
main._start_jax = device
for line in sys.argv[1:]:
    flags.FLAGS.unparse_flags()
    for name in main.mode_flags.FLAGS:
        flags.FLAGS[name].unparse()
    command_line.parse(["jaxseg", *line.split()])
    print(main.main(["jaxseg"]), file=sys.stderr)
"""


def test_the_command_line_refuses_them_before_a_device_is_touched(tmp_path):
    files = {"instance": "experiments/mask_rcnn/shapes.py", "semantic": "experiments/quickstart.py"}
    values = {"protocol": "--protocol=pspnet", "score": "--score=0.5"}
    modes = ("train", "evaluate", "predict", "summary")
    refused = [(mode, flag) for mode, flag in OF_ONE if mode in modes]
    lines = [
        f"--mode={mode} --config={files[OF_ONE[mode, flag]]} --workdir={tmp_path / 'none'} "
        f"{values.get(flag, f'--{flag}')}"
        for mode, flag in refused
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, *lines], cwd=ROOT, capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if line != "(--traceback shows where)"]
    assert len(said) == 2 * len(refused), done.stderr
    for (_, flag), line, status in zip(refused, said[::2], said[1::2], strict=True):
        assert line.startswith(f"jaxseg: --{flag}"), line
        assert status == "1"
