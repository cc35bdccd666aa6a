"""The config tree goes to JSON and back, and every experiment is built."""

import dataclasses
import importlib
import json
import logging

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from jaxseg import config, renamed, tasks, train
from jaxseg.checks import experiment as checks
from jaxseg.cli import stored_config
from jaxseg.data import class_sampling
from jaxseg.data.augment import transforms
from jaxseg.data.builders import camvid, cityscapes, isbi_em, pascal_context, shapes, voc2012
from jaxseg.layers.compute import Compute
from jaxseg.models.fpn import SegmentProposals
from jaxseg.settings import bounds
from jaxseg.training import batches, optim
from tests.conftest import ROOT

SOURCES = {
    ".".join(path.relative_to(ROOT / "experiments").with_suffix("").parts): path.read_text()
    for path in (ROOT / "experiments").rglob("*.py")
}
EXPERIMENTS = sorted(
    name
    for name, text in SOURCES.items()
    if "\ndef get_config(" in text and not name.startswith(("readme_tables.", "robustness."))
)
# Tracing a network of full size takes seconds: the fast suite has one of each paper, and of
# detectors on ResNet-50 and 101 two.
LIKE_THEM = {
    *("faster_rcnn.coco", "fpn.segments", "mask_rcnn.cityscapes", "mask_rcnn.penn_fudan"),
    "panet.coco",
}
FIRST = {name.rpartition(".")[0]: name for name in reversed(EXPERIMENTS) if name not in LIKE_THEM}
TRACED = [
    name if name in FIRST.values() else pytest.param(name, marks=pytest.mark.slow)
    for name in EXPERIMENTS
]
SIZED = [name for name in EXPERIMENTS if "\ndef get_config(size" in SOURCES[name]]
BUILDERS = (camvid, cityscapes, isbi_em, pascal_context, shapes, voc2012)
LABELS = {module.__name__.split(".")[-1]: module.LABELS for module in BUILDERS}


def experiment(name):
    return importlib.import_module(f"experiments.{name}").get_config()


def concrete(name):
    """With three classes where the number is left to the data."""
    built = experiment(name)
    if getattr(built.model, "num_classes", None) == 0:
        built.model = built.model.clone(num_classes=3)
    return built


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_survives_json(name):
    built = experiment(name)
    values = config.to_dict(built)
    again = config.from_dict(json.loads(json.dumps(values)))
    assert config.to_dict(again) == values
    assert dict(config.flatten(again)) == dict(config.flatten(built))


def _detections(model):
    """How many boxes of an image a detector, an RPN or a network of segments gives."""
    if not getattr(model, "proposals", False):
        return model.selection.count
    return model.count if isinstance(model, SegmentProposals) else model.rpn.after_nms[1]


@pytest.mark.parametrize("name", TRACED)
def test_every_experiment_gives_logits_at_the_size_of_its_crops(name):
    built = concrete(name)
    height, width = built.data.crop_size
    images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)

    def forward(images):  # traced once: the outputs with the parameters that gave them
        return built.model.init_with_output(jax.random.key(0), images, train=False)

    outputs, variables = jax.eval_shape(forward, images)
    params = variables["params"]
    if tasks.of(built) is tasks.semantic:
        assert outputs["logits"].shape == (2, height, width, built.model.num_classes)
        assert outputs["logits"].dtype == jnp.float32
    else:
        assert outputs["boxes"].shape == (2, _detections(built.model), 4)
        assert outputs["scores"].dtype == jnp.float32
    if built.data.name in LABELS:
        assert LABELS[built.data.name].num_classes == built.model.num_classes
    assert not built.loss.class_weights or len(built.loss.class_weights) == built.model.num_classes
    optim.build(built.optim, built.train.steps, params)  # refuses multipliers that match nothing


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_names_its_paper_numbers_and_command(name):
    text = importlib.import_module(f"experiments.{name}").__doc__
    assert "arXiv" in text or "without a paper" in text
    for word in ("Expected", "easured"):
        assert word in text
    assert any(
        word in text for word in ("jaxseg.main", "jaxseg train", "jaxseg evaluate", "launch/")
    )


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_keeps_to_its_declared_kinds(name):
    built = concrete(name)
    again = config.from_dict(json.loads(json.dumps(config.to_dict(built))))
    assert type(again.model) is type(built.model)
    for one in (built, again):
        checks.check(one)  # raises


@pytest.mark.parametrize("name", SIZED)
def test_full_size_is_a_whole_experiment_and_other_sizes_are_refused(name):
    get_config = importlib.import_module(f"experiments.{name}").get_config
    full = get_config("full")
    checks.check(full)
    again = config.from_dict(json.loads(json.dumps(config.to_dict(full))))
    assert config.to_dict(again) == config.to_dict(full)
    assert config.to_dict(full) != config.to_dict(get_config("small"))
    assert LABELS[full.data.name].num_classes == full.model.num_classes
    with pytest.raises(ValueError, match=r"'huge': it must be .*small.*full"):
        get_config("huge")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("data.crop_size", (64,), "2 values, each a whole number"),
        ("data.crop_size", 64, "2 values, each a whole number"),
        ("data.crop_size", (64, 64, 64), "2 values"),
        ("data.normalisation.mean", (1.0, 2.0), "3 values, each a number"),
        ("data.augment.flip", 1, "True or False"),
        ("data.name", None, "a text"),
        (
            "optim.multipliers",
            (("head", "ten"),),
            "a list of values, each 2 values: a text, a number",
        ),
        ("train.steps", 1.5, "a whole number"),
        ("train.steps", True, "a whole number"),
        ("model.atrous_rates", ("6", "x"), "a list of values, each a whole number"),
        ("model.backbone.compute.dtype", "float8", "float32, bfloat16, float16"),
        ("model.dropout", 1.0, "at least 0 and below 1"),
        ("data.normalisation.std", (0.0, 1.0, 1.0), "at least 1e-06"),
        ("loss.class_weights", (1.0, -1.0), "at least 0"),
        ("optim.learning_rate", float("nan"), "at least 0"),
        ("train.eval_every", -1, "at least 0"),
        ("loss.reduction", "sum", "one of pixels, images"),
        ("loss.coarse", -1.0, "at least 0"),
        ("data.augment.border", "edge", "one of mean, zero, mirror"),
        ("data.augment.photometric", 0.5, "True or False"),
        ("data.augment.class_crops", None, "True or False"),
        ("data.augment.class_limit", 1.25, "at least 0 and at most 1"),
        ("data.augment.class_limit_draws", 0, "at least 1"),
        ("data.augment.class_limit_draws", 2.5, "a whole number"),
        ("data.duplicate", "car", "a list of values, each a text"),
        ("data.duplicate", (3,), "a list of values, each a text"),
        ("data.balance", "yes", "True or False"),
        ("data.augment.rotation", 360.0, "at least 0 and below 360"),
        ("data.augment.rotation_probability", 1.5, "at least 0 and at most 1"),
        ("data.augment.elastic", float("inf"), "at least 0 and below 1000"),
        ("data.augment.blur", float("nan"), "at least 0 and at most 1"),
        ("train.seed", -1, "at least 0 and below 4.29497e"),
        ("train.steps", 2**31, "finite, and whole numbers below 2.31"),
        ("optim.b2", 1.0, "at least 0 and below 1"),
        ("optim.power", float("inf"), "at least 0 and finite"),
        ("optim.multipliers", (("head", float("nan")),), "finite"),
        ("eval.scales", (1.0, float("inf")), "finite"),
        ("eval.rotations", 361, "at least 1 and below 361"),
        ("model.num_classes", -1, "at least 0"),
        ("model.num_classes", 1, "at least 2, since the background is a class too"),
        ("model.norm.epsilon", float("nan"), "finite"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_value_of_another_kind_is_refused_with_its_field(path, value, words):
    built = experiment("quickstart")

    def changed(node, parts):
        name, *rest = parts
        inner = changed(getattr(node, name), rest) if rest else value
        if isinstance(node, nn.Module):
            return node.clone(**{name: inner})
        return dataclasses.replace(node, **{name: inner})

    with pytest.raises(ValueError, match=f"{path}=.*must be .*{words}"):
        checks.check(changed(built, path.split(".")))


def test_every_setting_of_the_views_reaches_the_loader(monkeypatch):
    given = {}
    monkeypatch.setattr(
        train.loader, "train_iterator", lambda *_, **settings: given.update(settings) or iter(())
    )
    built = experiment("quickstart")
    built.data.crop_size = (33, 65)
    built.data.augment = config.Augment(rotation=7.0, border="zero")
    built.data.normalisation = config.Normalisation((90.0, 80.0, 70.0))
    built.loss = config.Loss(boundary=3.0, boundary_sigma=2.0)
    plan = class_sampling.Plan(np.arange(3))
    list(batches.on_devices(built, None, plan, None, None))
    assert given["plan"] is plan
    assert given["transform"] == transforms.Transform(
        (33, 65), built.data.augment, (90.0, 80.0, 70.0), boundary=3.0, boundary_sigma=2.0
    )


def test_every_number_has_a_bound():
    """A field that is added to the config and not to its bounds could be anything."""
    free = {"eval.scales", "optim.multipliers", "optim.decayed", "data.duplicate"}
    free |= {"eval.output_stride"}  # the network says which it has
    for path, value in config.flatten(config.Experiment(nn.Dense(1))):
        if not path.startswith("model.") and type(value) in (int, float, tuple):
            assert (path in bounds.BOUNDS) != (path in free), path


def test_an_unknown_field_is_refused_by_name():
    values = config.to_dict(experiment(EXPERIMENTS[0]))
    values["optim"]["learning_speed"] = 1.0
    with pytest.raises(ValueError, match="Optim has no field learning_speed"):
        config.from_dict(values)


def test_fields_of_data_that_have_moved_are_found_under_their_old_names(caplog):
    built = experiment("unet.isbi_em")
    values = config.to_dict(built)
    data = values["data"]
    for part in ("augment", "normalisation"):
        data |= {name: value for name, value in data.pop(part).items() if name != "class"}
    assert "rotation" in data
    assert config.from_dict(values) == built
    assert not caplog.records
    assert renamed.current(values) == config.to_dict(built)


def test_an_unknown_class_is_refused_by_name():
    values = config.to_dict(experiment(EXPERIMENTS[0]))
    values["model"]["class"] = "jaxseg.models.deeplab_v9:DeepLabV9"
    with pytest.raises(ValueError, match="deeplab_v9"):
        config.from_dict(values)


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="cannot be part of a config"):
        config.to_dict(config.Loss(class_weights=(jnp.ones(3),)))


def test_a_field_that_an_older_version_lacked_gets_its_default_and_a_warning(caplog):
    values = config.to_dict(experiment("quickstart"))
    del values["data"]["augment"]["jitter"], values["eval"]
    with caplog.at_level(logging.WARNING):
        again = config.from_dict(values)
    assert again.data.augment.jitter == config.Augment.jitter
    assert again.eval == config.Eval()
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        "the config, of an older version, lacks Augment.jitter",
        "the config, of an older version, lacks Experiment.eval",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda values: values["model"].pop("num_classes"), "needs the field num_classes"),
        (lambda values: values["model"].pop("class"), "does not name its class as MODULE:NAME"),
        (
            lambda values: values["data"].update({"class": 3}),
            "does not name its class as MODULE:NAME",
        ),
        (
            lambda values: values["data"].update({"class": ".a:b"}),
            "'.a:b' is not in this package",
        ),
        (lambda values: values["data"].update({"class": "os:path"}), "is not a part of a config"),
        (lambda values: values["model"].update(speed=1), "has no field speed"),
    ],
)
def test_the_config_of_another_version_is_one_line_with_its_file(tmp_path, change, says):
    values = config.to_dict(experiment("quickstart"))
    change(values)
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=says) as error:
        stored_config.get_config(str(tmp_path))
    assert str(error.value).startswith(f"{tmp_path}/config.json: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "3", '"text"', "null", "{", "\xff"])
def test_what_is_not_a_config_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"holds no experiment|is not JSON"):
        stored_config.get_config(str(tmp_path))


def test_a_part_of_another_kind_is_refused():
    built = dataclasses.replace(experiment("quickstart"), data=config.Loss())
    with pytest.raises(ValueError, match=r"^data=.* must be Data"):
        checks.check(built)
    with pytest.raises(ValueError, match=r"^model=3 must be Module"):
        checks.check(dataclasses.replace(experiment("quickstart"), model=3))


def test_float64_is_refused_where_jax_would_compute_in_float32():
    built = experiment("quickstart")
    built.model = built.model.clone(compute=Compute("float64"))
    with pytest.raises(ValueError, match="'float64' must be one of float32, bfloat16"):
        checks.check(built)
    with jax.enable_x64(True):
        checks.check(built)


def test_a_kernel_whose_taps_no_machine_could_trace_is_refused():
    built = experiment("segnet.basic_shapes")
    built.model = built.model.clone(kernel_size=49_586)
    with pytest.raises(ValueError, match=r"kernel_size=49586 must be at least 1 and below 256"):
        checks.check(built)


@pytest.mark.parametrize("part", ["model", "data", "loss", "optim", "train", "eval"])
@pytest.mark.parametrize("value", [[], [1, 2], "text", 3, None, True])
def test_a_stored_part_of_another_kind_is_refused_by_name(tmp_path, part, value):
    values = config.to_dict(experiment("quickstart")) | {part: value}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=rf"config.json: Experiment.{part} is .*, not a "):
        stored_config.get_config(str(tmp_path))


SHARED = """
from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.norm import Norm
from jaxseg.models.deeplab_v3 import DeepLabV3

def get_config():
    norm = Norm(decay=0.97)
    return config.Experiment(model=DeepLabV3(3, ResNet(norm=norm), norm=norm))
"""


def _by_flags(tmp_path, *given):
    """The experiment above with flags."""
    file = tmp_path / "shared.py"
    file.write_text(SHARED)
    values = flags.FlagValues()
    arguments = ["", f"--config={file}", *(f"--config.model.{one}" for one in given)]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    values(arguments)
    return values["config"].value


def test_a_flag_for_a_norm_that_head_and_backbone_share_changes_one(tmp_path):
    model = _by_flags(tmp_path, "norm.decay=0.5").model
    assert (model.norm.decay, model.backbone.norm.decay) == (0.5, 0.97)


def test_a_flag_for_a_part_that_is_a_default_leaves_the_default(tmp_path):
    """The default is one value for all networks of a class."""
    model = _by_flags(tmp_path, "compute.form=plain", "backbone.compute.depthwise=fast").model
    assert (model.compute.of("depthwise"), model.backbone.compute.of("depthwise")) == (
        "plain",
        "fast",
    )
    assert _by_flags(tmp_path).model.compute == Compute()


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("norm.kind", "layer", "one of batch, frozen, group, none"),
        ("compute.form", "quick", "one of auto, plain, fast"),
        ("backbone.compute.dense", "quick", "one of '', auto, plain, fast"),
        ("backbone.compute.dtype", "float8", "one of float32, bfloat16, float16"),
    ],
)
def test_values_that_a_part_of_a_network_may_not_have(tmp_path, path, value, words):
    built = _by_flags(tmp_path, f"{path}={value}")
    with pytest.raises(ValueError, match=f"model.{path}={value!r} must be {words}: set --config"):
        checks.check(built)
