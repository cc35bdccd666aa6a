"""The initialisation of a run: as requested, reported in full, written whole or not at all."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxseg import train
from jaxseg.backbones.vgg import VGG
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from jaxseg.models.fcn import FCN
from jaxseg.runtime.mesh import make_mesh, replicated
from jaxseg.training import start, weight_file
from jaxseg.training.step import init_state, make_optimizer, make_train_step
from jaxseg.weights import adapt, load
from jaxseg.weights.match import Entry, Table, leaves_of
from jaxseg.weights.origins import Origins
from jaxseg.weights.place import Wishes
from jaxseg.weights.tables import torchvision
from jaxseg.workdir import checkpoint, converted, data_identity, lock
from tests.conftest import ROOT
from tests.helpers.programs import tiny
from tests.helpers.variables import random_variables
from tests.weights.torch_names import resnet18_tensors

NAMES = {
    "conv.weight": "params/conv/kernel",
    "norm.weight": "params/norm/scale",
    "norm.bias": "params/norm/bias",
    "norm.mean": "batch_stats/norm/mean",
    "norm.var": "batch_stats/norm/var",
    "fc.weight": "params/classifier/kernel",
    "fc.bias": "params/classifier/bias",
}


def random_file(path, classes=5):
    """Random tensors of a Tiny with the given number of classes."""
    experiment = tiny.experiment(tiny.Tiny(num_classes=classes), seed=7)
    leaves = dict(leaves_of(weight_file.random_start(experiment)))
    tensors = {name: leaves[target] + 1 for name, target in NAMES.items()}
    safetensors.numpy.save_file(tensors, path)
    return tensors


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A weight file of a network of 5 classes, with a name table for it."""
    entries = tuple(Entry(*line) for line in NAMES.items())
    monkeypatch.setattr(load, "table_of", lambda names: Table(entries))
    random_file(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def started(workdir=None, *, save_to=None, labels=None, **fields):
    """The state before the first step of a run, which may be saved as if it were its last."""
    experiment = tiny.experiment(fields.pop("model", None), **fields)
    optimizer, _ = make_optimizer(experiment)
    place = replicated(make_mesh())
    init = jax.jit(
        functools.partial(init_state, experiment, optimizer),
        out_shardings=place,
        compiler_options=tiny.QUICK,
    )
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        jax.eval_shape(init),
    )
    if workdir is not None:
        workdir.mkdir()
    state = start.state(experiment, init, abstract, workdir, labels)
    if save_to is not None:
        if labels is not None:
            data_identity.write_labels(save_to, labels)
        with checkpoint.Checkpoints(save_to / "checkpoints", 1) as checkpoints:
            checkpoints.save(4, state, {}, wait=True)
    return state


def assert_equal_bits(found, expected):
    found, expected = tiny.leaves(found), tiny.leaves(expected)
    assert found.keys() == expected.keys()
    for path, value in found.items():
        assert value.tobytes() == expected[path].tobytes(), path


def test_a_run_starts_from_a_weight_file_and_tells_what_it_took(tmp_path, file, capsys):
    experiment = tiny.experiment(steps=1, init_from=str(file), seed=3, ema_decay=0.9)
    experiment.optim.multipliers = (("conv|bias|classifier", 0.0),)  # all that is compared
    state = train.fit(experiment, tmp_path / "run", data=tiny.sources())
    tensors = safetensors.numpy.load_file(file)
    np.testing.assert_array_equal(state.params["conv"]["kernel"], tensors["conv.weight"])
    np.testing.assert_array_equal(state.ema["params"]["norm"]["bias"], tensors["norm.bias"])
    own = weight_file.random_start(tiny.experiment(seed=3))
    assert_equal_bits(state.params["classifier"], own["params"]["classifier"])
    said = capsys.readouterr().err
    assert "is reinitialised: 5 classes in the file, 3 in the model" in said
    report = json.loads((tmp_path / "run" / "init.json").read_text())
    assert report["taken"]["params/conv/kernel"] == "conv.weight"
    assert set(report["fresh"]) == {"params/classifier/kernel", "params/classifier/bias"}
    assert set(report["sizes"]) == set(report["taken"]) | set(report["fresh"])


def convert(experiment, file, folder):
    make = functools.partial(weight_file.random_start, experiment)
    variables, origins = weight_file.from_file(experiment, file, make, Wishes())
    report = origins.to_dict() | {"summary": origins.summary()}
    converted.save(folder, experiment, variables, report)
    return variables


def test_a_converted_file_starts_the_run_that_the_file_itself_starts(tmp_path, file, capsys):
    experiment = tiny.experiment()
    variables = convert(experiment, file, tmp_path / "converted")
    restored, step = checkpoint.restore_variables(tmp_path / "converted")
    assert step == 0
    assert_equal_bits(restored, variables)
    direct = started(init_from=str(file))
    assert not capsys.readouterr().err  # of a process that is not the main one
    state = started(tmp_path / "run", init_from=str(tmp_path / "converted"))
    assert_equal_bits(state.params, direct.params)
    assert_equal_bits(state.batch_stats, direct.batch_stats)
    said = capsys.readouterr().err
    assert "it was converted from" in said
    assert "5 classes in the file, 3 in the model" in said
    assert sorted(p.name for p in (tmp_path / "converted").iterdir()) == [
        "checkpoints",
        "config.json",
        "converted.json",
    ]


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, file, monkeypatch):
    experiment, folder = tiny.experiment(), tmp_path / "converted"
    killed = tmp_path / "converted.incomplete" / "checkpoints" / "0"
    killed.mkdir(parents=True)
    (killed / "half").touch()
    with monkeypatch.context() as patch:
        patch.setattr(converted, "write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            convert(experiment, file, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors"]
    killed.mkdir(parents=True)
    (killed / "half").touch()
    convert(experiment, file, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "converted"]
    assert not (folder / "checkpoints" / "0" / "half").exists()
    with pytest.raises(ValueError, match="converted exists already"):
        convert(experiment, file, folder)


def test_two_conversions_into_one_folder_do_not_meet(tmp_path, file):
    with (
        lock.lock(tmp_path / "converted.incomplete"),
        pytest.raises(ValueError, match="in use by process"),
    ):
        convert(tiny.experiment(), file, tmp_path / "converted")


def test_a_related_model_starts_from_what_both_have_when_asked(tmp_path, capsys):
    """As FCN-16s from FCN-32s: the new head starts as it would without."""
    origin = started(save_to=tmp_path / "a", seed=5)
    settings = {"init_from": str(tmp_path / "a"), "model": tiny.Tiny(aux=True)}
    with pytest.raises(ValueError, match=r"--config\.train\.init_partial=True") as error:
        started(**settings)
    assert "aux_classifier/kernel: expected float32 [1, 1, 8, 3], found nothing" in str(error.value)
    state = started(tmp_path / "b", save_to=tmp_path / "b", init_partial=True, **settings)
    for part in ("conv", "norm", "classifier"):
        assert_equal_bits(state.params[part], origin.params[part])
    own = weight_file.random_start(tiny.experiment(tiny.Tiny(aux=True)))
    assert_equal_bits(state.params["aux_classifier"], own["params"]["aux_classifier"])
    assert "is reinitialised: not in it" in capsys.readouterr().err
    report = json.loads((tmp_path / "b" / "init.json").read_text())
    assert set(report["fresh"]) == {"params/aux_classifier/kernel", "params/aux_classifier/bias"}
    back = started(tmp_path / "c", init_from=str(tmp_path / "b"), init_partial=True)
    assert_equal_bits(back.params, {k: v for k, v in state.params.items() if "aux" not in k})
    report = json.loads((tmp_path / "c" / "init.json").read_text())
    assert set(report["left"]) == {"params/aux_classifier/kernel", "params/aux_classifier/bias"}


@pytest.mark.parametrize("deconvolution", ["fixed", "learned"])
def test_fcn_in_stages(deconvolution):
    """32s gives 16s, and 16s gives 8s all but the scores of the new skip, which start at zero."""
    width = {"head_features": 8, "deconvolution": deconvolution}
    stages = [FCN(5, VGG(width=2, image_padding=100), stride=s, **width) for s in (32, 16, 8)]
    trained = random_variables(stages[0])
    for model, skip, upscore in zip(
        stages[1:], ("pool4", "pool3"), ("upscore2", "upscore_pool4"), strict=True
    ):
        fresh = random_variables(model, seed=1)
        target = adapt.Model(fresh | {"batch_stats": {}}, lambda *_: {}, 5)
        variables, origins = adapt.take_shared(trained, target, file="RUN")
        new = {f"params/score_{skip}/kernel", f"params/score_{skip}/bias"}
        new |= {f"params/{upscore}/kernel"} if deconvolution == "learned" else set()
        assert set(origins.fresh) == new
        assert not origins.left
        before = dict(leaves_of(trained))
        for path, value in leaves_of(variables):
            expected = dict(leaves_of(fresh))[path] if path in new else before[path]
            np.testing.assert_array_equal(value, expected, err_msg=path)
        trained = variables


def test_a_part_of_nothing_is_refused():
    with pytest.raises(ValueError, match="init_partial=True loads a part of"):
        started(init_partial=True)


class Frozen(nn.Module):
    """A backbone with frozen statistics, and a classifier."""

    num_classes: int = tiny.CLASSES
    norm: Norm = Norm("frozen")

    @nn.compact
    def __call__(self, images, *, train):
        x = ConvNorm(8, norm=self.norm, compute=PLAIN, name="backbone")(images, train=train)
        return {"logits": nn.Conv(self.num_classes, (1, 1), name="classifier")(x)}


def _after_steps(experiment, count=3):
    """The states before and after some steps."""
    optimizer, rate = make_optimizer(experiment)
    compiled = functools.partial(jax.jit, compiler_options=tiny.QUICK)
    before = compiled(functools.partial(init_state, experiment, optimizer))()
    step = compiled(make_train_step(experiment, optimizer, rate))
    state = before
    for seed in range(count):
        state, _ = step(state, tiny.batch(seed=seed))
    return before, state


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_factor_of_zero_freezes_bit_for_bit(name):
    """Parameters and their average, with weight decay; statistics by a frozen norm alone."""
    experiment = tiny.experiment(Frozen(), ema_decay=0.9, steps=6)
    experiment.optim = dataclasses.replace(
        experiment.optim, name=name, weight_decay=0.1, multipliers=(("^backbone/", 0.0),)
    )
    before, after = _after_steps(experiment)
    for average in (False, True):
        old, new = (
            s.ema if average else {"params": s.params, "batch_stats": s.batch_stats}
            for s in (before, after)
        )
        assert_equal_bits(new["params"]["backbone"], old["params"]["backbone"])
        assert_equal_bits(new["batch_stats"], old["batch_stats"])
        moved = np.asarray(new["params"]["classifier"]["kernel"])
        assert (moved != old["params"]["classifier"]["kernel"]).all()
    experiment.model = Frozen(norm=Norm())
    before, after = _after_steps(experiment, 1)
    assert_equal_bits(after.params["backbone"], before.params["backbone"])
    for path, value in tiny.leaves(after.batch_stats).items():
        assert (value != tiny.leaves(before.batch_stats)[path]).any(), path


def _command(*arguments):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", "jaxseg.convert", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_the_command(tmp_path):
    """An ImageNet ResNet-18 of a quarter's width into the quick start's model."""
    tensors = resnet18_tensors(width=16)
    safetensors.numpy.save_file(tensors, tmp_path / "resnet18.safetensors")
    done = _command(
        tmp_path / "resnet18.safetensors",
        "--config=experiments/quickstart.py",
        "--config.model.backbone.stem=7x7",
        "--config.data.normalisation.mean=123.675,116.28,103.53",
        "--config.data.crop_size=64,64",
        f"--output={tmp_path / 'converted'}",
        "--verbose",
    )
    assert done.returncode == 0, done.stderr
    assert "params/backbone/stem1/conv/kernel <- conv1.weight" in done.stdout
    assert "is reinitialised: the file holds only an extractor" in done.stdout
    assert "left out, 2: fc.bias, fc.weight" in done.stdout
    assert "a different data.normalisation.std is folded into the first convolution" in done.stdout
    report = json.loads((tmp_path / "converted" / "converted.json").read_text())
    assert report["sha256"] in done.stdout
    variables, _ = checkpoint.restore_variables(tmp_path / "converted")
    kernel = variables["params"]["backbone"]["stem1"]["conv"]["kernel"]
    expected = torchvision.kernel(tensors["conv1.weight"])
    std = np.array([[58.395], [57.12], [57.375]])
    np.testing.assert_allclose(kernel, expected * 127.5 / std, rtol=1e-5)
    stages = done.stderr.strip().splitlines()[-3:]
    assert [line.split(" ")[1] for line in stages] == ["tensors", "model's", "checkpoint"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "no FILE is named: python -m jaxseg.convert FILE --config="),
        (("a.pth", "--config=experiments/quickstart.py", "--output=/x"), 1, "a.pth: no such file"),
    ],
)
def test_a_wrong_command_gets_one_line(arguments, status, words):
    done = _command(*arguments)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_head_of_other_classes_is_refused_or_left_aside(tmp_path, capsys):
    """Of as many classes: only their names tell."""
    labels = tiny.Squares().labels
    turned = dataclasses.replace(labels, names=("green", "red", "ground"))
    (tmp_path / "a").mkdir()
    before = started(save_to=tmp_path / "a", labels=labels, seed=3)
    origin = str(tmp_path / "a")
    assert_equal_bits(started(init_from=origin, labels=labels).params, before.params)
    with pytest.raises(ValueError, match=r'class 0 is "ground" .*"green" in the data.*partial'):
        started(init_from=origin, labels=turned)
    state = started(tmp_path / "b", init_from=origin, init_partial=True, labels=turned)
    np.testing.assert_array_equal(state.params["conv"]["kernel"], before.params["conv"]["kernel"])
    assert (state.params["classifier"]["kernel"] != before.params["classifier"]["kernel"]).any()
    report = json.loads((tmp_path / "b" / "init.json").read_text())
    assert set(report["fresh"]) == {"params/classifier/kernel", "params/classifier/bias"}
    assert 'is reinitialised: other classes: class 0 is "ground"' in capsys.readouterr().err
    (tmp_path / "a" / "labels.json").unlink()
    started(tmp_path / "c", init_from=origin, labels=turned)
    assert "unknown whether its head has the same classes" in capsys.readouterr().err


def test_a_converted_file_keeps_the_classes_of_its_head_where_it_has_one(tmp_path):
    """Those of the experiment's data, unless the head is reinitialised or has another number."""
    experiment = tiny.experiment(tiny.Tiny(num_classes=7))
    experiment.data.name, experiment.data.data_dir = "shapes/thin", str(tmp_path)
    taken = Origins("a file", sizes={})
    labels = weight_file.labels_of_head(experiment, taken)
    assert labels.names[0] == "background"
    fresh = Origins("a file", sizes={}, fresh={"params/classifier/bias": "5 classes in the file"})
    assert weight_file.labels_of_head(experiment, fresh) is None
    for name in ("camvid", "folder/unknown"):
        experiment.data.name = name
        assert weight_file.labels_of_head(experiment, taken) is None
    variables = jax.tree.map(np.zeros_like, {"params": {"a": np.ones(3)}, "batch_stats": {}})
    converted.save(tmp_path / "converted", experiment, variables, {"summary": []}, labels)
    assert data_identity.read(tmp_path / "converted").labels == labels


def test_a_disk_without_room_for_the_weights_is_one_line(tmp_path, file, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(converted.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(ValueError, match=r"converted needs .* MB, but only 0.0 MB are free there"):
        convert(tiny.experiment(), file, tmp_path / "converted")
    assert not list(tmp_path.glob("converted*"))
